"""PyTorch on the CPU: eager, and with ``torch.compile`` for several steps together.

Eager steps work in place, with as few passes over the arrays as its operations allow (``lerp_``, ``addcmul_``), and with the
units as first or as last dimension. For ``torch.compile`` 1 or 10 steps are one graph, from which inductor makes C++. For few
units the product is written out as a sum over the units, so that a step is one loop over the sets. tanh is written with ``exp``,
which took two thirds of the time of ``torch.tanh`` in compiled code. For two units 4 and 20 steps were not faster than 10.
Normals are drawn by ``randn_like`` as in eager code, because inductor's own are drawn one by one. PyTorch's threads spin while
they wait for each other, so on a machine that is busy with other work it loses much more than the other contenders.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch._inductor.config

from contenders.problem import Compared, Outcome, Problem, Run, Unsuited, correlations, fastest, moments

#: Most units for which the product is written out.
_WRITTEN_OUT = 8
#: Steps between two sums of products with a target.
_CHUNK = 200

torch.set_num_threads(os.cpu_count() or 1)


def make_eager(problem: Problem) -> Run:
    """Return the fastest form without a compiler."""
    if (how := problem.compared) is not None:
        return partial(_correlations, problem, how, partial(_relu_steps, how), 1)
    return fastest({f"units {where}": partial(_eager, problem, where == "first") for where in ("first", "last")})


def make_compiled(problem: Problem) -> Run:
    """Return the fastest form with ``torch.compile``."""
    torch._dynamo.reset()
    # Otherwise inductor draws normals one by one.
    torch._inductor.config.fallback_random = True
    if (how := problem.compared) is not None:
        return fastest({f"{n} steps": partial(_compiled_correlations, problem, how, n) for n in (10, 50)})
    lengths = (1, 10)
    forms: dict[str, Callable[[], Run]] = {}
    for length in lengths:
        if problem.units <= _WRITTEN_OUT and not problem.own_weights:
            forms[f"{length} steps, sum"] = partial(_compiled, problem, length, True)
        else:
            forms[f"{length} steps, product"] = partial(_compiled, problem, length, False)
    return fastest(forms)


def _tensor(value: np.ndarray | None) -> Any:
    return None if value is None else torch.from_numpy(value)


def _eager(problem: Problem, first: bool) -> Run:
    """Return the loop over steps that work in place, with the units as first or as last dimension."""
    at = 0 if first else 1
    gain, alpha_s, alpha_r, scale = (
        None if value is None else _tensor(value).unsqueeze(at)
        for value in (problem.gain, problem.alpha_s, problem.alpha_r, problem.noise_scale)
    )
    weights, u = _tensor(problem.weights), problem.u.tolist()
    shape = (problem.units, problem.sets) if first else (problem.sets, problem.units)
    own = problem.own_weights
    if own and first:
        raise ValueError("a product for each set needs its units last")
    if not (own or first):
        weights = weights.T

    def product(r: Any, out: Any) -> None:
        if own:
            torch.bmm(weights, r.unsqueeze(2), out=out.unsqueeze(2))
        else:
            torch.mm(*((weights, r) if first else (r, weights)), out=out)

    @torch.inference_mode()
    def run() -> Outcome:
        x, r, total, squares = (torch.zeros(shape) for _ in range(4))
        h, drawn, records = torch.empty(shape), torch.empty(shape), []
        for t, now in enumerate(u):
            product(r, h)
            h.mul_(gain).add_(now)
            x.lerp_(h, alpha_s)
            if scale is not None:
                x.addcmul_(drawn.normal_(), scale)
            torch.tanh(x, out=h)
            r.lerp_(h, alpha_r)
            total += r
            squares.addcmul_(r, r)
            if problem.every and (t + 1) % problem.every == 0:
                records.append(r.clone())
        return _outcome(problem, total, squares, r, records, first)

    return run


def _outcome(problem: Problem, total: Any, squares: Any, r: Any, records: list[Any], first: bool) -> Outcome:
    found = moments(total / problem.steps, squares / problem.steps, r)
    if records:
        found["record"] = torch.stack(records, dim=0 if first else 1)
        if first:
            found["record"] = found["record"].permute(2, 0, 1)
    turned = {k: v.T if first and k != "record" else v for k, v in found.items()}
    return {name: value.contiguous().numpy() for name, value in turned.items()}


def _compiled(problem: Problem, length: int, written_out: bool) -> Run:
    """Return the loop over calls that take ``length`` steps each."""
    units = problem.units
    if problem.steps % length or (problem.every and problem.every % length):
        raise Unsuited(f"{length} steps do not divide {problem.steps}")
    first = written_out or not problem.own_weights
    at = 0 if first else 1
    gain, alpha_s, alpha_r = (_tensor(v).unsqueeze(at) for v in (problem.gain, problem.alpha_s, problem.alpha_r))
    scale = None if problem.noise_scale is None else _tensor(problem.noise_scale).unsqueeze(at)
    weights, shape = _tensor(problem.weights), (units, problem.sets) if first else (problem.sets, units)
    # Weights that all sets share become constants in the compiled code.
    common = problem.weights.tolist() if written_out and not problem.own_weights else None
    noisy, own = scale is not None, problem.own_weights

    def activation(x: Any) -> Any:
        return 1 - 2 / (1 + torch.exp(2 * x))

    def step_written(x: Any, r: Any, total: Any, squares: Any, now: Any, values: Any) -> Any:
        gain, alpha_s, alpha_r, scale, _ = values
        h = [sum(w * each for w, each in zip(row, r, strict=True)) for row in common]
        x = [a + alpha_s * (gain * b + now - a) for a, b in zip(x, h, strict=True)]
        if noisy:
            x = [a + scale * torch.randn_like(a) for a in x]
        r = [a + alpha_r * (activation(b) - a) for a, b in zip(r, x, strict=True)]
        total = [a + b for a, b in zip(total, r, strict=True)]
        return x, r, total, [a + b * b for a, b in zip(squares, r, strict=True)]

    def step(x: Any, r: Any, total: Any, squares: Any, now: Any, values: Any) -> Any:
        gain, alpha_s, alpha_r, scale, weights = values
        h = torch.bmm(weights, r.unsqueeze(2)).squeeze(2) if own else weights @ r
        x = x + alpha_s * (gain * h + now - x)
        if noisy:
            x = x + scale * torch.randn_like(x)
        r = r + alpha_r * (activation(x) - r)
        return x, r, total + r, squares + r * r

    def several(x: Any, r: Any, total: Any, squares: Any, now: Any, values: Any) -> Any:
        for i in range(length):
            x, r, total, squares = (step_written if written_out else step)(x, r, total, squares, now[i], values)
        return x, r, total, squares

    ahead = torch.compile(several, dynamic=False, fullgraph=True)
    inputs = _tensor(problem.u).reshape(-1, length).unbind()
    values = (gain, alpha_s, alpha_r, scale, weights)
    if written_out:
        values = (*(None if value is None else value[0] for value in values[:-1]), None)

    @torch.no_grad()
    def run() -> Outcome:
        state: Any = tuple(
            [torch.zeros(problem.sets) for _ in range(units)] if written_out else torch.zeros(shape) for _ in range(4)
        )
        records = []
        for i, now in enumerate(inputs):
            state = ahead(*state, now, values)
            if problem.every and (i + 1) * length % problem.every == 0:
                records.append(torch.stack(state[1]) if written_out else state[1])
        _, r, total, squares = (torch.stack(value) if written_out else value for value in state)
        return _outcome(problem, total, squares, r, records, first)

    return run


# --------------------------------------------------------------------------------------------------------- correlations

Steps = Callable[[Any, Any, Any, Any, Any, Any, Any], Any]


def _relu_steps(how: Compared, x: Any, r: Any, u: Any, alpha_s: Any, alpha_r: Any, threshold: Any, sums: Any) -> Any:
    """Take a step in place for each value of the input, and add the rates to the sums of their bins, if there are any."""
    z = torch.empty_like(x)
    for i, now in enumerate(u.tolist()):
        x.lerp_(z.fill_(now), alpha_s)
        torch.sub(x, threshold, out=z)
        r.lerp_(z.relu_(), alpha_r)
        if sums is not None:
            sums[i // how.steps] += r
    return x, r


def _compiled_correlations(problem: Problem, how: Compared, length: int) -> Run:
    if length % how.steps or problem.transient % length or how.counted.shape[1] * how.steps % length:
        raise Unsuited(f"{length} steps do not divide the transient and the rest into whole bins")

    def several(x: Any, r: Any, u: Any, alpha_s: Any, alpha_r: Any, threshold: Any) -> Any:
        sums = []
        for start in range(0, length, how.steps):
            total = torch.zeros_like(r)
            for i in range(start, start + how.steps):
                x = x + alpha_s * (u[i] - x)
                r = r + alpha_r * (torch.relu(x - threshold) - r)
                total = total + r
            sums.append(total)
        return x, r, torch.stack(sums)

    ahead = torch.compile(several, dynamic=False, fullgraph=True)

    def steps(x: Any, r: Any, u: Any, alpha_s: Any, alpha_r: Any, threshold: Any, sums: Any) -> Any:
        for at in range(0, len(u), length):
            x, r, own = ahead(x, r, u[at : at + length], alpha_s, alpha_r, threshold)
            if sums is not None:
                sums[at // how.steps : (at + length) // how.steps] = own
        return x, r

    return partial(_correlations, problem, how, steps, length // how.steps)


@torch.inference_mode()
def _correlations(problem: Problem, how: Compared, steps: Steps, bins: int) -> Outcome:
    """Simulate some hundred steps at a time, a multiple of some bins, and sum over the windows by products of matrices."""
    values = [_tensor(value) for value in (problem.alpha_s, problem.alpha_r)]
    values.append(torch.zeros(1) if problem.threshold is None else _tensor(problem.threshold))
    deviations, counted, u = _tensor(how.deviations), _tensor(how.counted), _tensor(problem.u)
    found = [torch.zeros(len(counted), problem.sets) for _ in range(3)]
    x, r = steps(*(torch.zeros(problem.sets) for _ in range(2)), u[: problem.transient], *values, None)
    before = torch.zeros(how.bins - 1, problem.sets)
    many = max(1, _CHUNK // (bins * how.steps)) * bins
    for start in range(0, counted.shape[1], many):
        part = slice(start, min(start + many, counted.shape[1]))
        sums = torch.zeros(how.bins - 1 + part.stop - start, problem.sets)
        own = sums[how.bins - 1 :]
        sums[: how.bins - 1] = before
        seen = u[problem.transient + start * how.steps : problem.transient + part.stop * how.steps]
        x, r = steps(x, r, seen, *values, own)
        before = sums[len(own) :]
        means = sums[: len(own)] / how.width
        for i in range(1, how.bins):
            means.add_(sums[i : i + len(own)], alpha=1 / how.width)
        for total, weights, value in zip(
            found, (deviations, counted, counted), (means, means, means * means), strict=True
        ):
            total.addmm_(weights[:, part], value)
    return correlations(*(total.numpy() for total in found))
