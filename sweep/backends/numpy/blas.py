"""Matrix products whose rounding does not depend on where a column stands.

The kernels of a BLAS differ within one product: OpenBLAS on AVX2, for one, rounds the columns in the middle of a
float32 product otherwise than those at its ends. A set's result must not depend on its place, so products are made of
so few columns that all are rounded alike, and always of that many.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

_TRIALS = 8
_lock = threading.Lock()
_users = 0
_limit: Any = None


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController  # here: only who simulates needs it

    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread until the last of those who asked for it is done.

    The threads of the blocks use the cores, and a product of a tile is too small to share. The limit belongs to the
    process, so that the first of several threads to finish must not lift it for the others.
    """
    global _users, _limit
    with _lock:
        _users += 1
        if _users == 1:
            _limit = _controller().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _limit.restore_original_limits()
                _limit = None


def grouped(array: np.ndarray, columns: int) -> np.ndarray:
    """View ``(..., row, width)`` as ``(..., group, row, column)``, the operands of products of so many columns."""
    *rest, rows, width = array.shape
    return np.moveaxis(array.reshape(*rest, rows, width // columns, columns), -2, -3)


@lru_cache(maxsize=64)
def uniform_columns(rows: int, inner: int, dtype: np.dtype[np.floating], most: int) -> int:
    """Return how many columns a product may have so that all are rounded alike here.

    Parameters
    ----------
    rows, inner : int
        The products are ``(rows, inner) @ (inner, columns)``.
    dtype : dtype
        Of both operands.
    most : int
        A power of two.

    Returns
    -------
    int
        A power of two of at most `most`; 1, a product of a matrix and a vector, if nothing else will do.
    """
    random = np.random.default_rng(0)
    left = random.normal(size=(_TRIALS, 1, rows, inner)).astype(dtype)
    vectors = random.normal(size=(_TRIALS, inner, 1)).astype(dtype)
    columns = most
    with one_blas_thread():
        while columns > 1:
            # Equal columns, in the strided view of a tile that the products will really see.
            right = np.ascontiguousarray(np.broadcast_to(vectors, (_TRIALS, inner, 2 * columns)))
            product = np.empty((_TRIALS, rows, 2 * columns), dtype=dtype)
            np.matmul(left, grouped(right, columns), out=grouped(product, columns))
            if (product == product[..., :1]).all():
                break
            columns //= 2
    return columns
