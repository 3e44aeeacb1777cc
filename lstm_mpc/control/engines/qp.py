"""A dense quadratic program with exact L1 soft rows, by a dual active-set method after Goldfarb and
Idnani (1983).

    minimise ½ pᵀH p + gᵀp + Σ_soft cap·max(0, n·p − b)     subject to n·p ≤ b for every hard row

A soft row needs no slack variable: its multiplier cannot exceed `cap`. A row that reaches it is
released and pushes with its full price from then on, which is the exact penalty. H⁻¹ = J Jᵀ, and
Jᵀ[normals of the working set] = [R; 0] is kept up to date by one reflection for each row that
enters and rotations for each that leaves. The C of the exported controller does the same, step by
step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from lstm_mpc.plants.system import Array

# share of a normal, squared, that must lie outside the working set's span; a flat Hessian makes
# honest ones small
_DEPENDENT = 1e-14
_SLACK = 1e-12  # violation of a row that counts as none


# how a row stands: out of the working set, in it, or violated and pushing with its full price
FREE, ACTIVE, CAPPED = 0, 1, 2


@dataclass(frozen=True)
class Rows:
    """Rows n·p ≤ b: `normals` (m, n), `rhs` (m,), `cap` (m,), infinite for hard rows."""

    normals: Array
    rhs: Array
    cap: Array


@dataclass(frozen=True)
class Step:
    """`p` (n,), the marks of the rows, `changes` of the working set; `complete` unless they ran
    out; `feasible` unless rows contradict."""

    p: Array
    active_set: Array
    qp_iterations: int
    complete: bool
    feasible: bool


class WorkingSet:
    """J, R and the active rows of a factorised Hessian."""

    def __init__(self, H: Array) -> None:
        factor, failed = lapack.dpotrf(H, lower=0)
        if failed:
            raise ArithmeticError("the Hessian is not positive definite")
        self.J: Array = lapack.dtrtri(factor)[0]
        self.R: Array = np.zeros((len(H), len(H)))
        self.active: list[int] = []

    def enter(self, rows: NDArray[np.intp], normals: Array) -> list[int]:
        """Begin with `rows`, as many as are independent; the rest is returned."""
        count = len(rows)
        if not 0 < count <= len(self.J):
            return [int(row) for row in rows if not self.add(int(row), normals[row])]
        images = (normals[rows] @ self.J).T
        packed, tau, _, _ = lapack.dgeqrf(images)
        if (packed.diagonal()[:count] ** 2 <= _DEPENDENT * (images * images).sum(axis=0)).any():
            return [int(row) for row in rows if not self.add(int(row), normals[row])]
        self.J = lapack.dormqr("R", "N", packed, tau, self.J, 64 * len(self.J))[0]
        self.R[:count, :count] = packed[:count] * _upper(len(self.J))[:count, :count]
        self.active = rows.tolist()
        return []

    def add(self, row: int, normal: Array) -> bool:
        """Take `row` in, unless its normal depends on those that are in."""
        q, d = len(self.active), normal @ self.J
        tail = d[q:].copy()
        length = np.sqrt(tail @ tail)
        if length * length <= _DEPENDENT * (d @ d):
            return False
        head = -length if d[q] > 0 else length
        tail[0] -= head
        # the reflection that takes d[q:] to head·e₁
        self.J[:, q:] -= np.outer(self.J[:, q:] @ tail, tail / (0.5 * (tail @ tail)))
        self.R[:q, q], self.R[q, q] = d[:q], head
        self.active.append(row)
        return True

    def drop(self, place: int) -> None:
        """Let the row at `place` of the working set go."""
        q = len(self.active)
        self.R[:, place : q - 1] = self.R[:, place + 1 : q]
        for k in range(place, q - 1):
            a, b = self.R[k, k], self.R[k + 1, k]
            length = np.sqrt(a * a + b * b)
            turn = np.array([[a, -b], [b, a]]) / length
            self.R[k : k + 2, k : q - 1] = turn.T @ self.R[k : k + 2, k : q - 1]
            self.J[:, k : k + 2] = self.J[:, k : k + 2] @ turn
        del self.active[place]

    def solve(self, g: Array, b: Array) -> tuple[Array, Array]:
        """The minimiser of ½ pᵀH p + gᵀp on the active rows n·p = b, and their multipliers."""
        q = len(self.active)
        slope = g @ self.J
        w = -slope
        w[:q] = self.back(b, transposed=True)
        return self.J @ w, -self.back(w[:q] + slope[:q])

    def back(self, b: Array, *, transposed: bool = False) -> Array:
        """R⁻¹ b, or R⁻ᵀ b."""
        q = len(b)
        return np.asarray(lapack.dtrtrs(self.R[:q, :q], b, trans=int(transposed))[0]) if q else b


@cache
def _upper(n: int) -> Array:
    """Ones on and above the diagonal, (n, n)."""
    return np.triu(np.ones((n, n)))


def solve(
    working: WorkingSet, g: Array, rows: Rows, active_set: Array, *, qp_iterations: int
) -> Step:
    """Solve from the guess `marks` (m,), whose active rows `working` already holds, with at most
    `changes` of the working set."""
    active_set, used = active_set.copy(), 0
    pushing = np.flatnonzero(active_set == CAPPED)
    push = g + rows.cap[pushing] @ rows.normals[pushing]
    while True:  # a guess may want multipliers that cannot be: let those rows go, the worst first
        p, multiplier = working.solve(push, rows.rhs[working.active])
        wrong = np.maximum(-multiplier, multiplier - rows.cap[working.active])
        if not wrong.size or wrong.max() <= 0:
            break
        if used >= qp_iterations:
            return Step(p, active_set, used, False, True)
        used += 1
        place = int(wrong.argmax())
        push = _release(working, rows, active_set, push, place, capped=bool(multiplier[place] > 0))
    while True:
        excess = rows.normals @ p - rows.rhs
        violation = np.where(
            active_set == FREE, excess, np.where(active_set == CAPPED, -excess, 0.0)
        )
        row = int(violation.argmax())
        if violation[row] <= _SLACK:
            return Step(
                working.solve(push, rows.rhs[working.active])[0] if used else p,
                active_set,
                used,
                True,
                True,
            )
        # its multiplier rises from 0, or falls from its cap
        sign = 1.0 if active_set[row] == FREE else -1.0
        own, left = (0.0 if sign > 0 else rows.cap[row]), violation[row]
        while True:
            if used >= qp_iterations:
                return Step(p, active_set, used, False, True)
            used += 1
            q = len(working.active)
            d = rows.normals[row] @ working.J
            r = working.back(d[:q])
            curvature = d[q:] @ d[q:]
            whole = left / curvature if curvature > _DEPENDENT * (d @ d) else np.inf
            ends = np.where(sign * r > 0, multiplier, rows.cap[working.active] - multiplier)
            with np.errstate(divide="ignore", invalid="ignore"):
                blocked = np.where(r != 0, np.maximum(ends, 0.0) / np.abs(r), np.inf)
            place = int(blocked.argmin()) if q else -1
            partial = blocked[place] if q else np.inf
            edge = rows.cap[row] - own if sign > 0 else own
            length = min(whole, partial, edge)
            if not np.isfinite(length):
                return Step(p, active_set, used, False, False)
            own += sign * length
            multiplier = multiplier - sign * length * r
            p = p - sign * length * (working.J[:, q:] @ d[q:])
            left -= length * curvature
            if length == whole:
                working.add(row, rows.normals[row])
                push = push if sign > 0 else push - rows.cap[row] * rows.normals[row]
                active_set[row], multiplier = ACTIVE, np.append(multiplier, own)
                break
            if length == edge:
                push = push + sign * rows.cap[row] * rows.normals[row]
                active_set[row] = CAPPED if sign > 0 else FREE
                break
            capped = bool(sign * r[place] < 0)
            push = _release(working, rows, active_set, push, place, capped=capped)
            multiplier = np.delete(multiplier, place)


def _release(
    working: WorkingSet, rows: Rows, active_set: Array, push: Array, place: int, *, capped: bool
) -> Array:
    """Drop a row whose multiplier has come to its end, and what pushes from then on."""
    row = working.active[place]
    active_set[row] = CAPPED if capped else FREE
    working.drop(place)
    return push + rows.cap[row] * rows.normals[row] if capped else push
