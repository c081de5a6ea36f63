"""Measure the limits of this machine: float32 multiply-adds, and bytes to and from memory, with all cores together.

    python benchmarks/limits.py

Both loops are a few lines of C++, compiled in the same way as the kernels of the native back end. The multiply-adds go to 12
independent sums of vectors, so that neither latency nor loads slow them down. The speed of the memory is measured with
a[i] = b[i] + s c[i] over arrays of 64 MiB, three for each core. Each i counts as 12 bytes; the cache also reads a before it
writes it, and this is not counted.
"""

from __future__ import annotations

import ctypes
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from sweep.backends.native import _library, compiler, vector_bytes
from sweep.execution.plan import cores

_SUMS = 12
_SOURCE = """
typedef float lane __attribute__((vector_size(VECTOR_BYTES)));

static inline __attribute__((always_inline)) lane multiply_add(lane a, lane b, lane c) {
    lane result;
    for (unsigned i = 0; i < VECTOR_BYTES / 4; ++i) result[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return result;
}

extern "C" float multiply_adds(long times, float factor) {
    lane sum[SUMS], a, b;
    for (unsigned i = 0; i < VECTOR_BYTES / 4; ++i) a[i] = factor + i, b[i] = 0.5f * factor;
    for (int j = 0; j < SUMS; ++j) sum[j] = a * float(j);
    for (long n = 0; n < times; ++n) {
#pragma GCC unroll 12
        for (int j = 0; j < SUMS; ++j) sum[j] = multiply_add(sum[j], b, a);
    }
    lane all = sum[0];
    for (int j = 1; j < SUMS; ++j) all += sum[j];
    float result = 0;
    for (unsigned i = 0; i < VECTOR_BYTES / 4; ++i) result += all[i];
    return result;
}

extern "C" void triad(float *__restrict a, const float *__restrict b, const float *__restrict c, float s, long size) {
    for (long i = 0; i < size; ++i) a[i] = b[i] + s * c[i];
}
"""


def limits(seconds: float = 0.5, size: int = 2**24) -> dict[str, float]:
    """Measure both limits.

    Parameters
    ----------
    seconds : float
        About how long each of three tries takes; the best one counts.
    size : int
        Length of each array in the measurement of the memory.

    Returns
    -------
    dict of str to float
        ``multiply_adds_per_s`` and ``memory_bytes_per_s`` of all cores together; empty if there is no compiler.
    """
    if compiler() is None:
        return {}
    width = vector_bytes()
    library = _library(f"#define VECTOR_BYTES {width}\n#define SUMS {_SUMS}\n{_SOURCE}")
    library.multiply_adds.argtypes = (ctypes.c_long, ctypes.c_float)
    library.multiply_adds.restype = ctypes.c_float
    library.triad.argtypes = (*(ctypes.c_void_p,) * 3, ctypes.c_float, ctypes.c_long)
    library.triad.restype = None
    threads = cores()
    times = 10**6
    made = _best(lambda _: library.multiply_adds(times, 0.25), threads, seconds) * times * _SUMS * width / 4
    arrays = [np.ones((3, size), np.float32) for _ in range(threads)]

    def move(thread: int) -> None:
        a, b, c = (row.ctypes.data for row in arrays[thread])
        library.triad(a, b, c, 0.5, size)

    return {"multiply_adds_per_s": made, "memory_bytes_per_s": _best(move, threads, seconds) * 12 * size}


def _best(work: Callable[[int], object], threads: int, seconds: float) -> float:
    """Return how many calls a second all threads together make, the best of three tries."""
    gate = threading.Barrier(threads)

    def repeat(thread: int) -> float:
        gate.wait()
        start, calls = time.perf_counter(), 0
        while (taken := time.perf_counter() - start) < seconds or not calls:
            work(thread)
            calls += 1
        return calls / max(taken, 1e-9)

    with ThreadPoolExecutor(threads) as pool:
        return max(sum(pool.map(repeat, range(threads))) for _ in range(3))


def main() -> None:
    """Measure and print."""
    print(json.dumps({"cores": cores(), **limits()}, indent=1))


if __name__ == "__main__":
    main()
