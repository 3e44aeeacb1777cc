"""A plant from an FMU for model exchange (FMI 2.0 or 3.0). The only importer of fmpy."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import isfinite
from multiprocessing.util import Finalize
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.errors import InputError, SolverError
from lstm_mpc.plants.python_function import from_python
from lstm_mpc.plants.system import Array, Signal, System


def from_fmu(
    path: str | Path,
    *,
    inputs: tuple[Signal, ...],
    outputs: tuple[Signal, ...],
    Ts: float,
    disturbances: tuple[Signal, ...] = (),
    variables: Mapping[str, str] | None = None,
    starts: Mapping[str, float] | None = None,
    substeps: int = 10,
    x0: ArrayLike | None = None,
) -> System:
    """Make a plant of an FMU for model exchange.

    **An FMU contains machine code, and this runs it**, with the rights of this process: open only
    those whose maker you trust. No design file can name one.

    Time stands at 0, states are set and derivatives asked for, so that a step is a pure function.

    Args:
        path: The file.
        inputs: The signals that are manipulated.
        outputs: The signals that are measured.
        Ts: The sampling time [s].
        disturbances: The signals that nobody manipulates.
        variables: Signal -> name in the FMU, of signals that are called otherwise there.
        starts: Name in the FMU -> value, of its parameters and start values.
        substeps: Runge–Kutta steps of order 4 in a sample.
        x0: The nominal start, (n,), in the order of the states of the FMU; by default where it
            begins.

    Returns:
        The plant, whose state is that of the FMU.

    Raises:
        InputError: It is no FMU or cannot be a plant: made for co-simulation only, with events,
            without a state, an unknown variable, an output that an input acts on at once.
    """
    path = Path(path).resolve()
    if not Ts > 0 or substeps < 1:
        raise InputError(
            f"{path.name}: Ts = {Ts} s must be positive and substeps = {substeps} at least 1"
        )
    names = {
        s.name: (variables or {}).get(s.name, s.name) for s in (*inputs, *disturbances, *outputs)
    }
    if unknown := set(variables or {}) - set(names):
        raise InputError(
            f"{path.name}: variables maps {sorted(unknown)[0]!r}, which is no signal (signals:"
            f" {', '.join(names)})"
        )
    driven, read = (
        tuple(names[s.name] for s in signals) for signals in ((*inputs, *disturbances), outputs)
    )
    rest = tuple(s.typical for s in (*inputs, *disturbances))
    unit = _Unit(str(path), driven, read, tuple((starts or {}).items()), rest, Ts, substeps)
    opened = unit.opened
    _no_feedthrough(unit, (*inputs, *disturbances))
    begin = opened.begin if x0 is None else x0
    return from_python(
        unit.step,
        unit.output,
        name=opened.name,
        inputs=inputs,
        outputs=outputs,
        disturbances=disturbances,
        Ts=Ts,
        x0=begin,
    )


@dataclass(frozen=True)
class _Unit:
    """Which FMU, and how it is used; every process that gets one opens the file for itself."""

    path: str
    driven: tuple[str, ...]
    read: tuple[str, ...]
    starts: tuple[tuple[str, float], ...]
    rest: tuple[float, ...]
    Ts: float
    substeps: int

    @property
    def opened(self) -> _Opened:
        return _open(self.path, self.driven, self.read, self.starts)

    def step(self, chi: Array, u: Array, d: Array) -> Array:
        unit, T = self.opened, self.Ts / self.substeps
        unit.drive(np.concatenate([u, d]))
        for _ in range(self.substeps):
            s1 = unit.slope(chi)
            s2 = unit.slope(chi + 0.5 * T * s1)
            s3 = unit.slope(chi + 0.5 * T * s2)
            s4 = unit.slope(chi + T * s3)
            chi = chi + T / 6.0 * (s1 + 2.0 * s2 + 2.0 * s3 + s4)
        return chi

    def output(self, chi: Array) -> Array:
        return self.seen(chi, np.array(self.rest))

    def seen(self, chi: Array, driven: Array) -> Array:
        """The outputs under these inputs."""
        self.opened.drive(driven)
        return self.opened.outputs(chi)


def _no_feedthrough(unit: _Unit, signals: tuple[Signal, ...]) -> None:
    rest = np.array(unit.rest)
    before = unit.output(unit.opened.begin)
    for j, signal in enumerate(signals):
        moved = rest.copy()
        moved[j] = (
            signal.high if isfinite(signal.high) and signal.high != rest[j] else rest[j] + 1.0
        )
        after = unit.seen(unit.opened.begin, moved)
        for name, one, other in zip(unit.read, before, after, strict=True):
            if one != other:
                raise InputError(
                    f"{Path(unit.path).name}: {signal.name!r} acts on {name!r} at once; outputs"
                    " must follow from the state"
                )


class _Opened:
    """An instance in continuous-time mode. FMPy's calls take C arrays."""

    def __init__(
        self,
        instance: Any,
        description: Any,
        driven: list[int],
        read: list[int],
        begin: Array,
        failure: type[Exception],
    ) -> None:
        self.name, self.begin = str(description.modelName), begin
        self._instance, self._driven, self._read, self._failure = instance, driven, read, failure
        three = description.fmiVersion.startswith("3")
        self._set = instance.setFloat64 if three else instance.setReal
        self._get = instance.getFloat64 if three else instance.getReal
        self._derivatives = (
            instance.getContinuousStateDerivatives if three else instance.getDerivatives
        )

    def drive(self, values: Array) -> None:
        if self._driven:
            self._call(self._set, self._driven, values.tolist())

    def slope(self, chi: Array) -> Array:
        self._state(chi)
        slope = np.empty_like(chi)
        self._call(self._derivatives, _doubles(slope), slope.size)
        return slope

    def outputs(self, chi: Array) -> Array:
        self._state(chi)
        return np.array(self._call(self._get, self._read), dtype=np.float64)

    def _state(self, chi: Array) -> None:
        state = np.ascontiguousarray(chi, dtype=np.float64)
        self._call(self._instance.setContinuousStates, _doubles(state), state.size)

    def _call(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._failure as error:
            raise SolverError(
                f"{self.name}: the FMU refuses {function.__name__} ({error})"
            ) from error


def _doubles(array: Array) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_double))


@cache
def _open(
    path: str, driven: tuple[str, ...], read: tuple[str, ...], starts: tuple[tuple[str, float], ...]
) -> _Opened:
    """The FMU, unpacked for as long as the process lives."""
    fmpy = _fmpy()
    file = Path(path).name
    try:
        with open(path, "rb") as stream:  # fmpy leaves a file open that it opened itself
            description = fmpy.read_model_description(stream)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # whatever a broken archive or description makes of fmpy
        raise InputError(f"{file}: is not an FMU ({_line(error)})") from error
    if description.modelExchange is None:
        raise InputError(
            f"{file}: is made for co-simulation only; export it for model exchange, whose states"
            " can be set"
        )
    if description.numberOfEventIndicators:
        raise InputError(
            f"{file}: has {description.numberOfEventIndicators} event indicator(s); a plant with"
            " events has no pure step"
        )
    if not description.numberOfContinuousStates:
        raise InputError(f"{file}: has no continuous state")
    known = {
        v.name: v
        for v in description.modelVariables
        if v.type in ("Real", "Float64") and not v.dimensions
    }
    for name in (*driven, *read, *(name for name, _ in starts)):
        if name not in known:
            raise InputError(
                f"{file}: has no real variable {name!r} (it has {', '.join(sorted(known))})"
            )
    for name in driven:
        if known[name].causality != "input":
            raise InputError(
                f"{file}: {name!r} is {known[name].causality or 'local'}, not an input"
            )
    references = {name: variable.valueReference for name, variable in known.items()}
    place = tempfile.mkdtemp(prefix="fmu-")
    Finalize(None, rmtree, (place, True), exitpriority=0)  # in worker processes, too
    try:
        unpacked = fmpy.extract(path, place)
        instance = fmpy.simulation.instantiate_fmu(
            unpacked, description, fmi_type="ModelExchange", logger=_quiet
        )
        _begin(
            instance,
            description,
            [references[name] for name, _ in starts],
            [value for _, value in starts],
        )
        begin = np.empty(description.numberOfContinuousStates)
        instance.getContinuousStates(_doubles(begin), begin.size)
    # no binary for this machine, a missing function, a model that does not start
    except Exception as error:
        raise InputError(f"{file}: does not start here ({_line(error)})") from error
    to, of = ([references[name] for name in names] for names in (driven, read))
    return _Opened(instance, description, to, of, begin, fmpy.fmi1.FMICallException)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _quiet(*words: Any) -> None:
    """What an FMU says is not printed; that it fails is an exception."""


def _begin(instance: Any, description: Any, references: list[int], values: list[float]) -> None:
    """From instantiated to continuous-time mode."""
    three = description.fmiVersion.startswith("3")
    if not three:
        instance.setupExperiment(startTime=0.0)
    if references:
        (instance.setFloat64 if three else instance.setReal)(references, values)
    instance.enterInitializationMode(**({"startTime": 0.0} if three else {}))
    instance.exitInitializationMode()
    update = instance.updateDiscreteStates if three else instance.newDiscreteStates
    for _ in range(100):
        again, ended, *_ = update()
        if ended:
            raise InputError("it ends at once")
        if not again:
            break
    instance.enterContinuousTimeMode()


def _fmpy() -> Any:
    try:
        import fmpy
        import fmpy.fmi1
        import fmpy.simulation
    except ImportError as error:
        raise InputError(
            "an FMU as a plant needs the package fmpy: pip install 'lstm_mpc[fmu]'"
        ) from error
    return fmpy
