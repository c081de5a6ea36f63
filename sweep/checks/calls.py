"""Calls with wrong arguments: what Python says of them becomes an error with the remedy."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from inspect import BoundArguments, Parameter, Signature
from typing import Any, ParamSpec, TypeVar

from sweep.errors import JobError, short, suggest

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=type)


def called(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function refuse arguments that it does not have, and calls without those that it needs.

    Raises
    ------
    JobError
        From the function, with a did-you-mean.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except TypeError:
            bound(function, args, kwargs)  # which says what is wrong with the call, if it is the call
            raise

    return call


def built(cls: C) -> C:
    """Make the constructor of a dataclass refuse what :func:`called` makes a function refuse."""
    own = vars(cls).get("__init__")
    if own is not None:
        own.__name__ = cls.__name__
        type.__setattr__(cls, "__init__", called(own))
    return cls


def bound(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> BoundArguments:
    """Return which argument of a function has which value.

    Raises
    ------
    JobError
        If they do not fit the function.
    """
    signature = inspect.signature(function)
    try:
        return signature.bind(*args, **kwargs)
    except TypeError:
        raise JobError(_misfit(function.__name__, signature, args, kwargs)) from None


def _misfit(name: str, signature: Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Say what is wrong with a call, and what would be right."""
    own = [argument for argument in signature.parameters.values() if argument.name != "self"]
    args = args[len(signature.parameters) - len(own) :]
    named = [one.name for one in own if one.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)]
    placed = [one.name for one in own if one.kind is Parameter.POSITIONAL_OR_KEYWORD]
    if not any(one.kind is Parameter.VAR_KEYWORD for one in own):
        for key in (key for key in kwargs if key not in named):
            hint = f"Did you mean {named[0]!r}?" if len(named) == 1 else suggest(key, named)
            return f"{name}: {key} = {short(kwargs[key])}: there is no such argument. {hint}"
    if len(args) > len(placed):
        example = next(iter([*named[len(placed) :], *named]), "tau_s")
        return (
            f"{name}: {short(args[len(placed)])} is one value too many: it takes {len(placed) or 'none'} without a name. "
            f"Give the others by name, such as {example}=..."
        )
    for key in placed[: len(args)]:
        if key in kwargs:
            return f"{name}: {key} = {short(kwargs[key])}: it is given twice. Leave one of the two out."
    given = {*placed[: len(args)], *kwargs}
    missing = [
        one.name for one in own if one.name in named and one.default is Parameter.empty and one.name not in given
    ]
    return f"{name}: {' and '.join(missing)} must be given. Add {', '.join(f'{key}=...' for key in missing)}."
