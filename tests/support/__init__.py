"""What the tests share: jobs, a plain reference, fakes, an emulated GPU and an emulated processor."""

from pathlib import Path

#: The clone that is tested.
ROOT = Path(__file__).parents[2]
