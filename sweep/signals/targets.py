"""Targets that the rates are compared with, recorded or made by a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from numpy.typing import ArrayLike

from sweep.checks import array, check_fields, numbers_of
from sweep.checks.calls import called
from sweep.checks.units import Milliseconds
from sweep.errors import JobError
from sweep.model.labelled import RECURRENT, ordered
from sweep.model.parameters import INPUT_NUMBERS, Array, check_value, parse_name
from sweep.signals.signal import Endless, Signal
from sweep.spec import later, stored

#: Parameters that say which network and which input a set has. A teacher has those of the set that is compared with it, and
#: always hears an input with the same numbers.
_FOLLOWED = ("network", "stimulus")


@stored("ModelOutput")
@dataclass(frozen=True, eq=False)
class ModelOutput(Endless):
    """The rates r of the job's own network with other parameters. This teacher is simulated first."""

    kind: ClassVar[str] = "model"
    channels: ClassVar[int] = 0
    parameters: Mapping[str, float | Array]
    weights: Array | None = None
    #: Teachers of older stores share the noise of the set that equals them.
    own_noise: bool = later(False)
    #: Teachers of older stores have network 0 and hear input 0 where these are swept.
    follows: bool = later(False)

    def __post_init__(self) -> None:
        """Check and freeze names, values and weights."""
        check_fields(self, "model_output")
        parameters: dict[str, float | Array] = {}
        for name, value in self.parameters.items():
            values = check_value(name, value)
            parameters[str(parse_name(name))] = float(values) if values.ndim == 0 else values
        object.__setattr__(self, "parameters", parameters)
        if self.weights is not None:
            weights = array("model_output.weights", self.weights)
            if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
                raise JobError(
                    f"model_output.weights: must be (unit, unit), but has the shape {weights.shape}. "
                    f"Give one network of the ensemble."
                )
            object.__setattr__(self, "weights", weights)

    def followed(self, swept: Collection[str]) -> tuple[str, ...]:
        """Return which of the swept parameters the teacher takes from the set that is compared with it."""
        own = {*self.parameters, *(("network",) if self.weights is not None else ())}
        chosen = [name for name in _FOLLOWED if self.follows and name in swept and name not in own]
        return (*chosen, *(name for name in swept if name in INPUT_NUMBERS))

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Raise JobError, because the values are not known before the model has been simulated."""
        raise JobError(
            "model_output: has no values of its own before it is simulated, so it can be a target and not an input. "
            "Write target=Target(model_output(...))."
        )


@stored("Target")
@dataclass(frozen=True)
class Target:
    """A signal that the rates are compared with, at one or several lags.

    Parameters
    ----------
    signal : Signal
        The measured signal, with one channel for all units, or one for each unit.
    lags : sequence of float
        (lag,), ms, all different. At a lag L the rate after the step from t to t + dt is compared with the target at t + L,
        y(t + L). With a positive L the measured response comes later than the model's.

    Raises
    ------
    JobError
        If ``signal`` is not a signal, or if the lags are not different finite numbers.
    """

    signal: Signal
    lags: Annotated[tuple[float, ...], Milliseconds] = (0.0,)

    def __post_init__(self) -> None:
        """Check the signal and the lags."""
        if not isinstance(self.signal, Signal):
            raise JobError(
                f"target.signal is a {type(self.signal).__name__}: must be a signal. "
                f"Wrap an array as samples(array, interval), times of spikes as spikes(times)."
            )
        lags = numbers_of("target.lags", self.lags, Milliseconds)
        if len(set(lags)) < len(lags):
            twice = next(lag for lag in lags if lags.count(lag) > 1)
            raise JobError(f"target.lags: {twice:g} ms is there twice, and every lag must differ. Drop one.")
        object.__setattr__(self, "lags", lags)


@called
def model_output(parameters: Mapping[str, float | Array], weights: ArrayLike | None = None) -> ModelOutput:
    """Make a target from the rates of the same network with other parameters: a teacher.

    The back end of the run simulates it, so that without noise a set that equals its teacher has a mean squared difference of
    0. (If a GPU needs several kernels for very many lags, it is 0 but for rounding.) Where a job sweeps ``stimulus``,
    ``network`` or a number of the input, every set is compared with the teacher that hears its input and has its network,
    unless the teacher has a ``stimulus``, a ``network`` or weights of its own.

    Parameters
    ----------
    parameters : mapping
        The teacher's parameters by name: a number, or one for each unit (unit,). Other parameters are those of the job's
        model. The noise of a teacher is its own: no set shares it, whatever its replicate is. Another ``replicate`` here
        gives it other noise.
    weights : array, optional
        (unit, unit), the weights of the teacher; by default those of the job's model.

    Returns
    -------
    ModelOutput

    Raises
    ------
    JobError
        If a parameter does not exist or cannot have this value, or if the weights are not square.
    """
    key = "model_output.weights"
    given = None if weights is None else array(key, ordered(key, weights, RECURRENT)[0])
    return ModelOutput(parameters, given, own_noise=True, follows=True)
