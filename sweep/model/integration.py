"""Time: the step, the duration, the scheme, and whether Euler's method is stable.

With the rate constants alpha_s = dt/tau_s and alpha_r = dt/tau_r one step is, in increment form::

    x <- x + alpha_s * (gain * W r + input_gain * U u + bias - x) + noise * sqrt(2 alpha_s) * xi
    r <- r + alpha_r * (f(slope * (x - threshold)) - r)

In the scheme "sequential" (that of the paper) r sees the new x. "simultaneous" is the explicit Euler method of textbooks, in
which r sees the old x. Noise is added as in the Euler-Maruyama method. An uncoupled linear unit then has the stationary
variance noise**2 / (1 - alpha_s/2). Where ``tau_s`` is 0, that is white noise with a new number in every step, and what it does
over a longer time depends on dt: white noise of a strength s that does not is noise = s / sqrt(2 dt).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from sweep.checks import Duration, NotNegative, OneOf, check_fields
from sweep.checks.caution import warn
from sweep.checks.units import Milliseconds
from sweep.errors import JobError
from sweep.spec import stored

SCHEMES = ("sequential", "simultaneous")
PRECISIONS = ("float32", "float64")
_MOST_STEPS = 2**32 - 1024


def rate_constant(dt: float, tau: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return alpha = dt/tau. It is 1 where tau is 0, because a time constant of 0 means "instantaneous"."""
    tau = np.asarray(tau, dtype=np.float64)
    alpha: npt.NDArray[np.float64] = np.divide(dt, tau, out=np.ones_like(tau), where=tau > 0)
    return alpha


@stored("Integration")
@dataclass(frozen=True)
class Integration:
    """How the equations are stepped through time.

    Parameters
    ----------
    dt : float
        Length of a step, ms. Times may also carry units, as a quantity or a timedelta.
    duration : float
        Simulated time, ms, a whole number of steps. The transient is part of it.
    transient : float
        Time at the start that no observable includes, ms, a whole number of steps.
    scheme : {"sequential", "simultaneous"}
        Whether r sees the new x (as in the paper) or the old one (explicit Euler).
    precision : {"float32", "float64"}
        Type of the state. Statistics are always kept in float64.
    allow_unstable : bool
        Whether to simulate even if dt/tau is 2 or more, where Euler's method is unstable.

    Raises
    ------
    JobError
        If a value is not possible.
    """

    dt: Duration
    duration: Duration
    transient: Annotated[NotNegative, Milliseconds] = 0.0
    scheme: Annotated[str, OneOf(SCHEMES)] = "sequential"
    precision: Annotated[str, OneOf(PRECISIONS)] = "float32"
    allow_unstable: bool = False

    def __post_init__(self) -> None:
        """Check that the times agree."""
        check_fields(self, "integration")
        if self.duration < self.dt:
            raise JobError(
                f"integration.duration = {self.duration:g} ms: must hold at least one step of {self.dt:g} ms. Lengthen it."
            )
        if self.transient >= self.duration:
            raise JobError(
                f"integration.transient = {self.transient:g} ms: must be shorter than the duration of "
                f"{self.duration:g} ms, which contains it. Shorten it or lengthen the duration."
            )
        if self.duration / self.dt > _MOST_STEPS:
            raise JobError(
                f"integration.duration = {self.duration:g} ms has {self.duration / self.dt:.3g} steps of dt = {self.dt:g} ms: "
                f"there can be at most {_MOST_STEPS:g}, because they are numbered in 32 bits. Shorten it or lengthen dt."
            )
        self.count("integration.duration", self.duration)
        self.count("integration.transient", self.transient)

    def count(self, key: str, time: float) -> int:
        """Return the number of steps in a time.

        Raises
        ------
        JobError
            If it is not a whole number of steps.
        """
        steps = round(time / self.dt)
        if abs(steps * self.dt - time) > 1e-6 * self.dt * max(1, abs(steps)) ** 0.5:
            raise JobError(
                f"{key} = {time:g} ms: must be a whole number of steps of dt = {self.dt:g} ms. "
                f"The nearest is {steps * self.dt:g} ms."
            )
        return steps

    @property
    def steps(self) -> int:
        """Number of Euler steps, including those of the transient."""
        return self.count("integration.duration", self.duration)

    @property
    def transient_steps(self) -> int:
        """Number of steps in the transient."""
        return self.count("integration.transient", self.transient)

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """The type of the state."""
        return np.dtype(self.precision)

    def check_stability(self, shortest: Mapping[str, float]) -> None:
        """Warn if Euler's method overshoots (alpha = dt/tau > 1), and refuse if it is unstable (alpha >= 2).

        Parameters
        ----------
        shortest : mapping
            The shortest time constant above 0 in the job, ms, by parameter. 0 means instantaneous, and is always stable.

        Raises
        ------
        JobError
            If alpha is 2 or more, unless ``allow_unstable``.
        """
        for name, tau in shortest.items():
            alpha = self.dt / tau
            if not math.isfinite(alpha) or alpha > 1e100:
                raise JobError(
                    f"{name}: its range begins at 0, but near 0 Euler's method is unstable with any dt. Begin the range at "
                    f"{self.dt:g} ms, the step; a value of exactly 0, which is instantaneous, can be swept separately."
                )
            if alpha >= 2 and not self.allow_unstable:
                raise JobError(
                    f"{name} = {tau:g} ms with integration.dt = {self.dt:g} ms: dt/tau = {alpha:g}, and Euler's method is "
                    f"unstable from 2 on. Use a dt of at most {tau:g} ms, a longer {name}, or exactly 0 for an instantaneous "
                    "variable. To simulate it as it is, set integration.allow_unstable = true."
                )
            if alpha > 1 + 1e-9:
                warn(
                    f"{name} = {tau:g} ms with integration.dt = {self.dt:g} ms: dt/tau = {alpha:g} is above 1, so every "
                    f"step overshoots. Use a dt of at most {tau:g} ms."
                )
