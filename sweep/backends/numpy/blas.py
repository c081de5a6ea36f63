"""Matrix products whose rounding does not depend on where a column stands.

A BLAS may use different code for different parts of a product. OpenBLAS on AVX2, for example, rounds the columns in the
middle of a float32 product differently from those at its ends. But a set's result must not depend on its place. So every
product has the same number of columns, and so few that all of them are rounded in the same way.
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
    """Limit BLAS to one thread until all threads that have entered this context have left it.

    Our own threads already use all cores, and a tile's product is too small to be divided. The limit holds for the whole
    process, so the first thread that finishes must not remove it while others still need it.
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
    """View ``(..., row, width)`` as ``(..., group, row, column)``, the operands of products with ``columns`` columns."""
    *rest, rows, width = array.shape
    return np.moveaxis(array.reshape(*rest, rows, width // columns, columns), -2, -3)


@lru_cache(maxsize=64)
def uniform_columns(rows: int, inner: int, dtype: np.dtype[np.floating], most: int) -> int:
    """Return the largest number of columns that this machine's BLAS rounds in the same way.

    Parameters
    ----------
    rows, inner : int
        The products are ``(rows, inner) @ (inner, columns)``.
    dtype : dtype
        Type of both operands.
    most : int
        The largest number of columns to try, a power of two.

    Returns
    -------
    int
        A power of two, at most ``most``. It is 1 (products of a matrix and a vector) if no larger number is good.
    """
    random = np.random.default_rng(0)
    left = random.normal(size=(_TRIALS, 1, rows, inner)).astype(dtype)
    vectors = random.normal(size=(_TRIALS, inner, 1)).astype(dtype)
    columns = most
    with one_blas_thread():
        while columns > 1:
            # Equal columns, in the same strided view of a tile that the real products get.
            right = np.ascontiguousarray(np.broadcast_to(vectors, (_TRIALS, inner, 2 * columns)))
            product = np.empty((_TRIALS, rows, 2 * columns), dtype=dtype)
            np.matmul(left, grouped(right, columns), out=grouped(product, columns))
            if (product == product[..., :1]).all():
                break
            columns //= 2
    return columns
