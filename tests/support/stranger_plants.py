"""Logs of six plants that nobody here has seen, as historians and loggers would write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Log:
    """A log and how its signals are asked for on the command line."""

    text: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    encoding: str = "utf-8"
    options: tuple[str, ...] = ()

    def words(self, folder: Path) -> list[str]:
        """The file written beside the design `folder`, and what follows `lstm-mpc new`."""
        path = folder.with_suffix(".csv")
        path.write_bytes(self.text.encode(self.encoding))
        signals = [w for s in self.inputs for w in ("--input", s)]
        signals += [w for s in self.outputs for w in ("--output", s)]
        return [str(folder), "--data", str(path), *signals, *self.options]


def levels(rng, count, low, high, dwell):
    """An input that holds levels in [low, high] for times around `dwell` samples."""
    lengths = rng.integers(dwell // 2, 2 * dwell, 4 * count // dwell + 2)
    return np.repeat(rng.uniform(low, high, len(lengths)), lengths)[:count]


def lagged(u, tau, start=None):
    """First order, time constant `tau` samples."""
    pole, y = np.exp(-1.0 / tau), np.empty(len(u))
    x = u[0] if start is None else start
    for k, value in enumerate(u):
        y[k] = x
        x = pole * x + (1.0 - pole) * value
    return y


def late(u, by):
    return np.concatenate([np.full(by, u[0]), u[: len(u) - by]])


def table(header, columns, decimals=4):
    rows = (",".join(f"{v:.{decimals}f}" for v in row) for row in zip(*columns, strict=True))
    return "\n".join([header, *rows]) + "\n"


def exchanger(seed=1, count=2400):
    """A heat exchanger: steam valve to outlet temperature, six samples late, gain falls with the
    valve."""
    rng = np.random.default_rng(seed)
    u = levels(rng, count, 20.0, 80.0, 30)
    y = 40.0 + 35.0 * lagged(lagged(np.tanh(late(u, 6) / 60.0), 8.0), 4.0)
    y = y + 0.1 * rng.standard_normal(count)
    header = "time [s],valve [%],temperature [°C]"
    text = table(header, [5.0 * np.arange(count), u, y])
    return Log(text, ("valve::0:100",), ("temperature",))


def two_by_two(seed=2, count=3000):
    """Two flows, two temperatures that both flows move, and a feed that is measured."""
    rng = np.random.default_rng(seed)
    hot, cold = levels(rng, count, 2.0, 8.0, 25), levels(rng, count, 1.0, 5.0, 40)
    feed = levels(rng, count, 9.0, 11.0, 60)
    top = 60.0 + 3.0 * lagged(hot, 12.0) - 2.0 * lagged(cold, 9.0) - 1.5 * lagged(feed, 15.0)
    low = 35.0 + 1.2 * lagged(hot, 18.0) - 3.5 * lagged(cold, 14.0) + 1.0 * lagged(feed, 10.0)
    noise = 0.08 * rng.standard_normal((2, count))
    header = "t [s],hot [L/min],cold [L/min],feed [L/min],top [°C],bottom [°C]"
    text = table(header, [10.0 * np.arange(count), hot, cold, feed, top + noise[0], low + noise[1]])
    fed = ("--measured", "feed::8:12")
    return Log(text, ("hot::1:9", "cold::0.5:6"), ("top", "bottom"), options=fed)


def level(seed=3, count=2500):
    """A tank between two pumps, its level held by a slow controller."""
    rng = np.random.default_rng(seed)
    out, asked = levels(rng, count, 1.0, 3.0, 60), levels(rng, count, 1.0, 2.0, 150)
    dither = levels(rng, count, -0.4, 0.4, 10)
    h, given, y = 1.5, np.empty(count), np.empty(count)
    for k in range(count):
        y[k] = h + 0.004 * rng.standard_normal()
        given[k] = np.clip(2.0 + 2.0 * (asked[k] - y[k]) + dither[k], 0.0, 4.0)
        h = h + 0.02 * (given[k] - out[k])
    text = table(
        "time [s],qin [L/s],qout [L/s],level [m]", [10.0 * np.arange(count), given, out, y]
    )
    return Log(text, ("qin::0:4", "qout::0:4"), ("level::0:3",))


def stiction(seed=4, count=3000):
    """A flow behind a valve that sticks until the command has moved by 3 %."""
    rng = np.random.default_rng(seed)
    command = np.clip(levels(rng, count, 10.0, 90.0, 15), 0.0, 100.0)
    stem, place = np.empty(count), command[0]
    for k in range(count):
        if abs(command[k] - place) > 3.0:
            place = command[k] - 1.0 * np.sign(command[k] - place)
        stem[k] = place
    flow = lagged(12.0 * (stem / 100.0) ** 1.5, 5.0) + 0.05 * rng.standard_normal(count)
    text = table("time,command [%],flow [m3/h]", [2.0 * np.arange(count), command, flow])
    return Log(text, ("command::0:100",), ("flow",))


def oven(seed=5, count=2400):
    """An oven whose power is driven in ramps; loses heat by radiation."""
    rng = np.random.default_rng(seed)
    knots = np.r_[0, np.sort(rng.choice(np.arange(20, count), count // 40, replace=False)), count]
    power = np.interp(np.arange(count), knots, rng.uniform(0.5, 5.0, len(knots)))
    T, y = 400.0, np.empty(count)
    for k in range(count):
        y[k] = T - 273.15
        lost = 0.004 * (T - 293.0) + 2.0e-11 * (T**4 - 293.0**4)
        T = T + 4.0 * (power[k] - lost)
    y = y + 0.3 * rng.standard_normal(count)
    text = table("time [s],power [kW],oven [°C]", [30.0 * np.arange(count), power, y])
    return Log(text, ("power::0:6",), ("oven",))


def german(seed=6, count=2000):
    """An export of a German historian: Windows-1252, semicolons, decimal commas, points between
    thousands, a byte of a unit, day first, a preamble."""
    rng = np.random.default_rng(seed)
    u = levels(rng, count, 800.0, 1600.0, 25)
    y = 180.0 + 0.06 * lagged(late(u, 2), 10.0) + 0.3 * rng.standard_normal(count)

    def comma(value):
        return f"{value:,.1f}".translate(str.maketrans(",.", ".,"))

    stamps = np.datetime64("2026-03-28T06:00:00") + np.arange(count) * np.timedelta64(60, "s")
    rows = [
        f"{str(t)[8:10]}.{str(t)[5:7]}.{str(t)[:4]} {str(t)[11:]};{comma(a)};{comma(b)}"
        for t, a, b in zip(stamps, u, y, strict=True)
    ]
    head = ["Anlage;Trockner 2", "Zeitstempel;Dampfmenge (kg/h);Abluft (°C)"]
    text = "\r\n".join([*head, *rows]) + "\r\n"
    return Log(text, ("Dampfmenge::600:1800",), ("Abluft",), encoding="cp1252")


PLANTS: dict[str, Callable[..., Log]] = {
    plant.__name__: plant for plant in (exchanger, two_by_two, level, stiction, oven, german)
}
