"""Columns and sampling time of a data frame, of pandas, polars or any library whose frames are
indexed by column names: frames are asked for what they can do, none is imported."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_mpc.errors import InputError

Array = NDArray[np.float64]
_EVEN = 1e-6  # [share of a sample] by which stamps may be uneven: round-off of decimal seconds


def column_of(frame: Any, name: str) -> Array:
    """The numbers of a column, NaN where there is none."""
    names = list(map(str, frame.columns))
    if name not in names:
        raise InputError(f"from_frame: there is no column {name!r}; there are {', '.join(names)}")
    values: ArrayLike = frame[name]
    try:
        return np.array(values, dtype=np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise InputError(
            f"from_frame: column {name!r} does not hold numbers only ({error}); convert it first"
        ) from error


def sampling_time(frame: Any, time: str | None, Ts: float | None) -> float:
    """Ts [s] as said, or of the stamps in the column `time`, in the index, or in the one column of
    dates."""
    stamps = _stamps(frame, time)
    if stamps is None:
        if Ts is None:
            raise InputError(
                "from_frame: the frame has no index of dates and no single column of dates; name"
                " the column of stamps with time=…, or give Ts=… [s]"
            )
        return float(Ts)
    steps = np.diff(stamps)
    if not len(steps) or not np.isfinite(steps).all():
        raise InputError("from_frame: the stamps need at least two, all of them known")
    typical = float(np.median(steps))
    wrong = np.flatnonzero(~(np.abs(steps - typical) <= _EVEN * max(typical, 1e-9)))
    if typical <= 0 or wrong.size:
        k = int(wrong[0]) if wrong.size else 0
        raise InputError(
            f"from_frame: uneven time: row {k + 1} comes {steps[k]:g} s after the one before, most"
            f" come after {typical:g} s; resample the frame first, or write it to a CSV file and"
            " let `prepare_log` do it"
        )
    if Ts is not None and abs(Ts - typical) > _EVEN * typical:
        raise InputError(
            f"from_frame: Ts = {Ts:g} s, but the stamps are {typical:g} s apart; leave Ts out"
        )
    return typical


def _stamps(frame: Any, time: str | None) -> Array | None:
    """Seconds since the first stamp."""
    if time is not None:
        if time not in list(map(str, frame.columns)):
            raise InputError(f"from_frame: there is no column {time!r} of stamps")
        seconds = _seconds(frame[time], numbers=True)
        if seconds is None:
            raise InputError(f"from_frame: column {time!r} holds neither dates nor seconds")
        return seconds
    index = getattr(frame, "index", None)
    if index is not None and not callable(index) and (of := _seconds(index)) is not None:
        return of
    dated = [of for name in frame.columns if (of := _seconds(frame[name])) is not None]
    return dated[0] if len(dated) == 1 else None


def _seconds(values: Any, *, numbers: bool = False) -> Array | None:
    """Dates or durations as seconds since the first, plain `numbers` where they may stand for
    seconds; None for anything else."""
    array = np.asarray(values)
    if array.dtype.kind == "O" and len(array) and hasattr(array[0], "timestamp"):
        array = np.array([stamp.timestamp() for stamp in array])  # with time zones
    elif array.dtype.kind in "mM":
        array = (array - array[0]) / np.timedelta64(1, "s")
    elif not numbers or array.dtype.kind not in "iuf":
        return None
    return np.asarray(array - array[0], dtype=np.float64)
