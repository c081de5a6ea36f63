"""The activations f of the firing rate.

Each reads ``z`` and writes ``out``, which may be ``z`` itself. It may use ``scratch``, an array of the same shape. Nothing is
allocated, because a back end calls it millions of times on arrays that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_Floating = npt.NDArray[np.floating]


def _linear(z: _Floating, out: _Floating, scratch: _Floating) -> None:
    np.copyto(out, z)


def _relu(z: _Floating, out: _Floating, scratch: _Floating) -> None:
    np.maximum(z, 0, out=out)


def _tanh(z: _Floating, out: _Floating, scratch: _Floating) -> None:
    np.tanh(z, out=out)


def _sigmoid(z: _Floating, out: _Floating, scratch: _Floating) -> None:
    # 1/(1 + exp(-z)): exp may overflow to inf, and 1/inf = 0 is the right limit.
    np.negative(z, out=out)
    np.exp(out, out=out)
    np.add(out, 1, out=out)
    np.reciprocal(out, out=out)


def _softplus(z: _Floating, out: _Floating, scratch: _Floating) -> None:
    # max(z, 0) + log1p(exp(-|z|)) neither overflows nor loses the tail.
    np.abs(z, out=scratch)
    np.negative(scratch, out=scratch)
    np.exp(scratch, out=scratch)
    np.log1p(scratch, out=scratch)
    np.maximum(z, 0, out=out)
    np.add(out, scratch, out=out)


@dataclass(frozen=True)
class Activation:
    """An activation f, for arrays: ``apply(z, out, scratch)``."""

    name: str
    apply: Callable[[_Floating, _Floating, _Floating], None]


ACTIVATIONS: Mapping[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation("linear", _linear),
        Activation("relu", _relu),
        Activation("tanh", _tanh),
        Activation("sigmoid", _sigmoid),
        Activation("softplus", _softplus),
    )
}
