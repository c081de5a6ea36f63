"""What jobs may ask of the kernels, drawn for tests: at random, or so that every pair of answers occurs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from support.covering import covering
from sweep.backends.compiled.factors import Factors
from sweep.backends.compiled.kernel import BY_BOTH, BY_SET, BY_UNIT, COMMON, NEUTRAL, WHICH, Needs
from sweep.model.activations import ACTIVATIONS
from sweep.model.populations import Projection

#: Sizes of networks, including the largest that a warp or a thread block can hold.
SIZES: dict[str, tuple[int, ...]] = {
    "few": (1, 2, 3, 4),
    "some": (5, 7, 8, 11, 12),
    "dozens": (13, 16, 17, 20, 24, 31, 32),
    "many": (33, 48, 50, 64),
    "wide": (80, 96, 100, 127, 128, 140),
    "large": (150, 256),
}

_RUNNING = (("x", "lowest"), ("x", "highest"), ("r", "lowest"), ("r", "highest"))
_MODES = (NEUTRAL, COMMON, BY_UNIT, BY_SET, BY_BOTH)

#: The questions, and their possible answers.
ANSWERS: dict[str, tuple[Any, ...]] = {
    "size": tuple(SIZES),
    "activation": tuple(ACTIVATIONS),
    "sequential": (True, False),
    "precision": ("float32", "float64"),
    "compensated": (False, True),
    "coupling": (0, 1, 2),
    "chooses": (False, True),
    "factors": (0, 1, 2),
    "stimuli": (0, 1, 3),
    "input_by_unit": (False, True),
    "moments_x": (0, 1, 2),
    "moments_r": (0, 1, 2),
    "running": ((), _RUNNING, _RUNNING[::3], _RUNNING[1:3]),
    "comparisons": (0, 1, 3, 8),
    "compares": ((True, False), (False, True), (True, True)),
    "target_by_unit": (False, True),
    "readings": (0, 1, 2),
    "record_x": (False, True),
    "record_r": (False, True),
    "detect": (False, True),
    # A rate constant has no neutral value.
    **{f"mode of {name}": _MODES[1:] if name.startswith("alpha") else _MODES for name in WHICH},
}


def needs(units: int, answers: Mapping[str, Any]) -> Needs:
    """Return the needs for some answers, as far as they can occur together in a job."""
    modes = [answers[f"mode of {name}"] for name in WHICH]
    if units == 1:
        modes = [{BY_UNIT: COMMON, BY_BOTH: BY_SET}.get(mode, mode) for mode in modes]
    correlation, mse = answers["compares"] if answers["comparisons"] else (False, False)
    readings = min(answers["readings"], answers["comparisons"])
    reading_of = tuple(c % readings for c in range(answers["comparisons"])) if readings else ()
    half = units // 2
    projections = (Projection(range(half, units), range(half, units)), Projection(range(units), range(half)))
    factors = Factors(units, projections[: min(answers["factors"], 1 + half)] if answers["coupling"] == 2 else ())
    one = Needs(
        units=units,
        precision=answers["precision"],
        activation=answers["activation"],
        sequential=answers["sequential"],
        compensated=answers["compensated"],
        coupling=answers["coupling"],
        chooses=answers["coupling"] == 2 and (answers["chooses"] or not factors.runs),
        factors=factors,
        modes=tuple(modes),
        stimuli=answers["stimuli"],
        input_units=units if answers["stimuli"] and answers["input_by_unit"] else 1,
        moments_x=answers["moments_x"],
        moments_r=2 if correlation else max(answers["moments_r"], int(bool(reading_of))),
        running=answers["running"],
        comparisons=answers["comparisons"],
        correlation=correlation,
        mse=mse,
        target_units=units if answers["comparisons"] and answers["target_by_unit"] else 1,
        reading_of=reading_of,
        record_x=answers["record_x"],
        record_r=answers["record_r"],
    )
    return one.to_detect() if answers["detect"] else one


def every_two_meet(seed: int = 0) -> list[Needs]:
    """Return needs in which every pair of answers to two questions occurs together."""
    rng = np.random.default_rng(seed)
    return [needs(int(rng.choice(SIZES[answers["size"]])), answers) for answers in covering(ANSWERS, seed)]


def plain(units: int, activation: str = "relu", precision: str = "float32") -> Needs:
    """Return the needs of the jobs that budgets are for.

    Time constants and gain by set, one matrix for all, mean and variance of r, no input.
    """
    nothing = dict.fromkeys(ANSWERS, False)
    modes = {f"mode of {name}": BY_SET if name in ("alpha_s", "alpha_r", "gain") else NEUTRAL for name in WHICH}
    none = {"stimuli": 0, "moments_x": 0, "running": (), "comparisons": 0, "readings": 0}
    own = {"activation": activation, "precision": precision, "sequential": True, "coupling": 1, "moments_r": 2}
    return needs(units, nothing | modes | none | own)
