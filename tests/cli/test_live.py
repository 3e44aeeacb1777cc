"""The running loop on the screen, without one."""

from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from lstm_mpc.cli import console, live
from lstm_mpc.cli.command_line import main
from lstm_mpc.control.controller import OPTIMAL, ControlAction, Status
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import Sample
from lstm_mpc.data.excitation import Steps
from lstm_mpc.plants.system import Signal
from lstm_mpc.plots import style

# its strip goes from 6.3 to 8.7, 0.06 a character
SCENARIO = Scenario("up", Steps((0.0, 50.0), [7.0, 8.0]), 100.0)


def sample(y, *, k=3, reference=7.0, flags=OPTIMAL):
    move = ControlAction(np.array([15.6]), flags, 0, 0.0, np.zeros((1, 1)), np.zeros(1), 0.0)
    return Sample(k, 10, 10.0 * k, np.array([y]), np.array([reference]), move)


def test_a_line_of_the_running_loop(plant):
    above = live.heading(plant, SCENARIO).splitlines()
    assert above[0] == "up"
    assert above[1].split() == [
        "t",
        "[s]",
        "pH",
        "[pH]",
        "setpoint",
        "q3",
        "[mL/s]",
        "6.3",
        "8.7",
        "(o",
        "pH,",
        "|",
        "setpoint)",
    ]
    said = live.line(plant, SCENARIO, sample(7.5))
    assert said.split()[:4] == ["30", "7.500", "7.000", "15.600"]
    strip = said.split()[4]
    assert (strip.index("|"), strip.index("o"), len(strip), len(said.split())) == (12, 20, 41, 5)
    assert said.index(strip) == above[1].index("6.3")


@pytest.mark.parametrize(("y", "at"), [(7.0, 12), (3.0, 0), (12.0, 40), (np.nan, None)])
def test_the_output_covers_the_setpoint_and_stays_on_the_strip(plant, y, at):
    strip = live.line(plant, SCENARIO, sample(y)).split()[4]
    assert len(strip) == 41
    assert strip.find("o") == (-1 if at is None else at)
    assert ("|" in strip) == (at != 12)


def test_flags_are_told_in_words(plant):
    assert live.line(plant, SCENARIO, sample(7.0, flags=Status.SETPOINT_INVALID)).endswith(
        ".  setpoint not finite; last valid one kept"
    )


def test_the_strip_of_an_output_without_a_range(plant):
    free = replace(plant, outputs=(Signal("h", "m"),))
    assert (
        live.line(free, replace(SCENARIO, setpoint=Steps((0.0,), [0.0])), sample(0.0))
        .split()[4]
        .index("o")
        == 20
    )
    assert (
        live.line(free, replace(SCENARIO, setpoint=Steps((0.0,), [10.0])), sample(10.0))
        .split()[4]
        .index("o")
        == 20
    )


# -- the window ------------------------------------------------------------------------------------


def test_the_window_draws_every_sample_and_begins_anew(plant):
    window = style.Window(plant, Figure())
    for k in range(3):
        window.show(SCENARIO, sample(7.0 + k, k=k, flags=Status.BUDGET if k == 1 else OPTIMAL))
    above, below = window._figure.axes
    assert above.lines[0].get_xydata().tolist() == [[0, 7], [1 / 6, 8], [1 / 3, 9]]
    assert above.lines[1].get_ydata().tolist() == [7, 7, 7]
    assert below.lines[0].get_ydata().tolist() == [15.6] * 3
    assert len(below.lines) == 2  # and where a flag was
    assert above.get_title("left") == "up: optimal"
    assert (above.get_ylabel(), below.get_ylabel()) == ("pH [pH]", "q3 [mL/s]")
    window.show(replace(SCENARIO, name="next"), sample(7.0, k=0))
    assert window._figure.axes[0].get_title("left") == "next: optimal"
    assert len(window._figure.axes[0].lines[0].get_xdata()) == 1


def test_a_closed_window_stays_closed(plant, monkeypatch):
    window, slept, looped = style.Window(plant, Figure()), [], []
    monkeypatch.setattr(style, "sleep", slept.append)
    monkeypatch.setattr(window._figure.canvas, "start_event_loop", looped.append)
    window.wait(0.5)
    window.wait(-0.5)
    assert (slept, looped) == ([0.0], [0.5])
    window._figure.canvas.callbacks.process("close_event", None)
    window.show(SCENARIO, sample(7.0, k=0))
    assert window._figure.axes == []
    window.wait(0.25)
    assert (slept, looped) == ([0.0, 0.25], [0.5])


def test_without_a_display_there_is_no_window(plant, monkeypatch):
    with matplotlib.rc_context():
        matplotlib.use("agg")
        assert style.window(plant) is None
        from matplotlib import pyplot

        def refuse(*_, **__):
            raise ImportError("Cannot load backend 'TkAgg'")

        monkeypatch.setattr(pyplot, "figure", refuse)
        assert style.window(plant) is None


# -- the command line ------------------------------------------------------------------------------


def test_control_live_without_a_display(short_design, capsys, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    slept = []
    monkeypatch.setattr(console.time, "sleep", slept.append)
    assert (
        main(
            ["control", str(short_design), "--engine", "sqp", "--live", "--speed", "100", "--json"]
        )
        == 0
    )
    out, err = capsys.readouterr()
    assert out.startswith("{")
    lines = err.splitlines()
    assert lines[0] == "no display for a window: the loop runs down here, a line a sample"
    assert (lines[1], lines[13]) == ("step", "lost")
    assert len(lines) == 1 + 2 * (2 + 10)
    assert lines[-4].split()[:2] == ["60", "nan"]
    assert lines[-4].endswith("measurement not finite or out of range; disturbance held")
    assert len(slept) == 20
    assert 0 <= max(slept) <= 0.9  # [s] 90 s of the loop at most


def test_a_window_is_used_where_there_is_one(short_design, capsys, monkeypatch):
    class Seen:
        samples, waits = [], []

        def show(self, scenario, sample):
            self.samples.append((scenario.name, sample.k))

        def wait(self, seconds):
            self.waits.append(seconds)

    monkeypatch.setattr(style, "window", lambda system: Seen())
    assert main(["control", str(short_design), "--engine", "sqp", "--live", "--speed", "1e6"]) == 0
    assert len(Seen.waits) == 20
    assert Seen.samples == [(name, k) for name in ("step", "lost") for k in range(10)]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast"])
def test_a_speed_must_be_positive(capsys, text):
    with pytest.raises(SystemExit):
        main(["control", "models/ph", "--live", f"--speed={text}"])
    assert f"needs a positive number, got '{text}'" in capsys.readouterr().err
