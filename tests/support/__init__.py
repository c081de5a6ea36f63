"""What the tests share: jobs, a plain reference, fakes, an emulated GPU and an emulated processor."""

from pathlib import Path

#: The clone that is tested.
ROOT = Path(__file__).parents[2]
#: The folder of a CuPy that is made of the emulated GPU.
FAKES = ROOT / "tests" / "support" / "fakes"
