"""The numbers of an input that a design can vary: ``input_frequency`` is the number ``frequency`` of the job's input.

They are derived from the functions that make signals: every argument that is a number, and is kept in a field of the same name,
is one of them. So a new kind of signal has its numbers without any further code.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np

from sweep.checks.values import unit_of, without_none
from sweep.errors import JobError
from sweep.model.parameters import INPUT_NUMBERS as INPUT_NUMBERS
from sweep.model.parameters import PARAMETERS, Array, Parameter
from sweep.signals.recorded import heard
from sweep.signals.recordings import RECORDINGS
from sweep.signals.signal import Numbers, Signal
from sweep.signals.waveforms import WAVEFORMS, Formula

PREFIX = "input_"
#: Whole numbers are stored as float64, which can hold all of them up to here.
_MOST_WHOLE = 2**53
_OF_KIND: dict[type, tuple[str, ...]] = {}


def made_by(maker: Callable[..., Signal]) -> type[Signal]:
    """Return the class of the signals that a function makes."""
    made: type[Signal] = get_type_hints(maker)["return"]
    return made


def _derived(maker: Callable[..., Signal]) -> Iterator[Parameter]:
    """Yield the rows of the parameter table for the numbers of the signals that a function makes."""
    arguments, made = get_type_hints(maker), made_by(maker)
    for field, hint in get_type_hints(made, include_extras=True).items():
        rule = without_none(hint)
        kind = get_args(rule)[0] if get_origin(rule) is Annotated else rule
        # What every signal has, such as its channels, is no number that sets can differ in.
        if field not in arguments or hasattr(Signal, field) or kind not in (int, float, Numbers):
            continue
        unit, whole = unit_of(hint), kind is int
        yield Parameter(
            name=f"{PREFIX}{field}",
            symbol=field,
            units=unit.name if unit else "1",
            default=np.nan,
            lower=0 if whole else -np.inf,
            upper=_MOST_WHOLE if whole else np.inf,
            per_unit=False,
            integer=whole,
            long_name=f"{field.replace('_', ' ')} of the input",
        )


def register(maker: Callable[..., Signal]) -> None:
    """Let the numbers of the signals that a function makes be parameters.

    Raises
    ------
    ValueError
        If a parameter has such a name already, or a number of another kind of signal has it and is counted in other units.
    """
    rows = list(_derived(maker))
    for row in rows:
        if row.name in PARAMETERS or INPUT_NUMBERS.get(row.name, row) != row:
            raise ValueError(f"{maker.__name__}: {row.name} is the name of something else already: rename the argument")
        INPUT_NUMBERS[row.name] = row
    _OF_KIND[made_by(maker)] = tuple(row.name for row in rows)


for _maker in (*WAVEFORMS.values(), *RECORDINGS.values()):
    register(_maker)


def names_of(signal: Signal) -> tuple[str, ...]:
    """Return the names of the numbers of a signal, as parameters."""
    return _OF_KIND.get(type(signal), ())


def own_number(signal: Signal, name: str) -> float:
    """Return a number that a signal has; NaN if it has none, or several for its channels."""
    value = getattr(signal, name.removeprefix(PREFIX))
    values = set(value) if isinstance(value, tuple) else {value}
    found = values.pop() if len(values) == 1 else None
    return np.nan if found is None else float(found)


def check_names(signal: Signal, names: Sequence[str]) -> None:
    """Raise JobError if a signal does not have one of these numbers."""
    known = names_of(signal)
    for name in names:
        if name not in known:
            bare = [one.removeprefix(PREFIX) for one in known]
            close = difflib.get_close_matches(name.removeprefix(PREFIX), bare, n=1)
            hint = f" Did you mean {PREFIX + close[0]!r}?" if close else ""
            what = f"Sweep one of {', '.join(known)}.{hint}" if known else "Sweep something else."
            raise JobError(
                f"design: {name}: the input is of the kind {signal.kind!r}, which has no such number. {what}"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Varied:
    """A signal with several values of some of its numbers: as many stimuli.

    Parameters
    ----------
    signal : Signal
        The signal, which has all the other numbers.
    numbers : mapping of str to ndarray
        The values by the names of the parameters, ``(stimulus,)`` float64, the same for all channels.
    """

    signal: Signal
    numbers: Mapping[str, Array]

    @cached_property
    def _whole(self) -> Formula | None:
        """All stimuli as one signal, if that is possible: a formula with the stimuli as its channels."""
        if not isinstance(self.signal, Formula):
            return None
        return self.signal.repeated({name.removeprefix(PREFIX): values for name, values in self.numbers.items()})

    def sample(self, start: int, stop: int, dt: float) -> Array:
        """Return the values of steps ``start`` to ``stop - 1``, ``(stimulus, channel, step)``.

        Each stimulus has the bits of a signal that is made with its numbers.

        Raises
        ------
        JobError
            If a signal cannot have such a number, or cannot be sampled in these steps.
        """
        if self._whole is not None:
            count = len(next(iter(self.numbers.values())))
            return self._whole.sample(start, stop, dt).reshape(count, self.signal.channels, stop - start)
        # Made anew each time: a recording is copied with its interval, and there may be many.
        return np.stack([each.sample(start, stop, dt) for each in self.each()])

    def together(self) -> Iterator[Signal]:
        """Return signals that have all stimuli as their channels: a single one if that is possible."""
        if self._whole is not None:
            return iter((self._whole,))
        return self.each()

    def each(self) -> Iterator[Signal]:
        """Yield the stimuli one by one, as an input hears them."""
        signal: Any = self.signal
        for row in zip(*self.numbers.values(), strict=True):
            given: dict[str, Any] = {}
            for name, value in zip(self.numbers, row, strict=True):
                number = int(value) if INPUT_NUMBERS[name].integer else float(value)
                per_channel = isinstance(signal, Formula)
                given[name.removeprefix(PREFIX)] = (number,) * signal.channels if per_channel else number
            yield heard(dataclasses.replace(signal, **given))
