"""Records that others made, each from `new` to a certified model with default settings, beside a
linear model and published figures.

    python benchmarks/datasets.py FOLDER [--only exchanger dryer …] [--keep FOLDER] [--controller]

FOLDER holds the records under the names in SOURCES: of DaISy exchanger, dryer, cstr, winding,
heating and hairdryer, the coupled electric drives (ced), Cascaded Tanks (tanks), the gas furnace of
Box and Jenkins (gasfurnace) and the paper's pH plant (ph6000), and where they are known the test
parts under the same names with `test` (or `val`) for `est`. Where a test part is not there, the
last fifth of each record is cut off before anything looks at it, and judged on. Simulation, no
measurement used but the first samples, from which the state is estimated and which are not counted.
FIT is mean-removed. The linear model is output-error, one transfer function from each input, orders
1 … 4 chosen on the same validation part. About twenty minutes.

With --controller the records are whole, and `new`, `run` and `report` follow each other with no
edits: what each ends in, the FIT on the validation part that `new` keeps, by which the start is
chosen, and what the drafted gate asks of it."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lstm_mpc import Model, record_fits
from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.data.fit import fit_index
from lstm_mpc.identification.linear_model import fit_linear
from lstm_mpc.io import parallel
from lstm_mpc.project.design import load_design

LIMIT = 180.0  # [s] the bar, from `new` to the certificate


@dataclass(frozen=True)
class Source:
    """A set: its files, sampling time [s], signals as `new` takes them, and figures that others
    published."""

    files: tuple[str, ...]
    Ts: float
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    published: str = ""
    validation: tuple[str, ...] = ()


SOURCES = {
    "exchanger": Source(("exchanger_est.csv",), 1.0, ("q:-:0.1:0.7",), ("T:°C",)),
    "dryer": Source(
        ("dryer_est.csv",),
        10.0,
        ("u1_fuel:-", "u2_fan:-", "u3_raw:-"),
        ("y1_dry_bulb:-", "y2_wet_bulb:-", "y3_moisture:-"),
    ),
    "ced": Source(
        ("ced_est_1.csv", "ced_est_2.csv"),
        0.02,
        ("u:V",),
        ("y:ticks/s",),
        "LSTM: RMSE 0.303 / 0.145",
    ),
    "tanks": Source(
        ("tanks_est.csv",),
        4.0,
        ("u:V",),
        ("y:V",),
        "RMSE: LSTM 0.490, GRU 0.396, CT-SUBNET 0.306, grey box 0.191 (test part)",
    ),
    "cstr": Source(("cstr_est.csv",), 6.0, ("q:L/min",), ("Ca:mol/L", "T:K")),
    "winding": Source(
        ("winding_est.csv",),
        0.1,
        ("u1_S1", "u2_S2", "u3_S3", "u4_I1", "u5_I3"),
        ("y1_T1", "y2_T3"),
    ),
    "heating": Source(("heating_est.csv",), 2.0, ("u:V",), ("y:°C",)),
    "hairdryer": Source(("hairdryer_est.csv",), 0.08, ("u:V",), ("y:V",)),
    "gasfurnace": Source(("gasfurnace_est.csv",), 9.0, ("u",), ("y:%",)),
    "ph6000": Source(
        ("ph6000_train.csv",), 10.0, ("q3:mL/s",), ("pH",), validation=("ph6000_val.csv",)
    ),
}


def table_of(path):
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return lines[0], lines[1:]


def parts(folder, source, place):
    """Files to learn from, written to `place`, and the test part of each as an array of its
    columns."""
    learned, tested, cut = [], [], False
    for name in source.files:
        header, rows = table_of(folder / name)
        others = [folder / other for other in source.validation]
        others += [folder / name.replace("est", word) for word in ("test", "val") if "est" in name]
        known = [other for other in others if other.exists()]
        if known:
            kept, held = rows, table_of(known[0])[1]
        else:
            cut, at = True, round(0.8 * len(rows))
            kept, held = rows[:at], rows[at:]
        path = place / name
        path.write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")
        learned.append(path)
        tested.append(np.array([[float(cell) for cell in row.split(",")] for row in held]))
    return learned, tested, cut


def command_line(*words):
    """The command line, as a user runs it."""
    command = [sys.executable, "-m", "lstm_mpc.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def lstm_mpc(*words):
    """What it says as JSON, where nothing goes wrong."""
    done = command_line(*words, "--json")
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def drafted(source, files, validation=()):
    """What follows `new DIRECTORY`."""
    words = [word for file in files for word in ("--data", file)]
    words += [word for file in validation for word in ("--validation-data", file)]
    words += [word for signal in source.inputs for word in ("--input", signal)]
    words += [word for signal in source.outputs for word in ("--output", signal)]
    return [*words, "--Ts", source.Ts]


def ours(source, files, folder):
    """(design, model, seconds) from `new` to the certificates."""
    began = time.perf_counter()
    lstm_mpc("new", folder, *drafted(source, files))
    for verb in ("record", "train", "certify"):
        found = lstm_mpc(verb, folder)
    assert all(c["holds"] for c in found["certificates"].values())
    return load_design(folder), Model.load(folder / "model.json"), time.perf_counter() - began


def numbers(values):
    return " / ".join(f"{v:.3f}" if abs(v) < 10 else f"{v:.1f}" for v in values)


def judge(name, source, folder, keep):
    with tempfile.TemporaryDirectory() as temporary:
        learned, tested, cut = parts(folder, source, Path(temporary))
        place = (keep or Path(temporary)) / name
        design, model, seconds = ours(source, learned, place)
        nu = len(model.inputs)
        records = tuple(Record(f"test-{k}", t[:, :nu], t[:, nu:]) for k, t in enumerate(tested))
        test = Dataset(model.inputs, model.outputs, model.Ts, records)
        window = min(50, min(len(r.u) for r in records) // 5)
        fits = record_fits(model, test, transient=window, seed=0, window=window)
        units = [s.unit for s in model.outputs]
        recorded = (design.records("training"), design.records("validation"))
        line = fit_linear(*recorded, transient=window, delays=model.delays)
        lines = [line.simulate(r.u) for r in records]
        beside = [
            fit_index(r.y, y, scaling=model.scaling, units=units, transient=window)
            for r, y in zip(records, lines, strict=True)
        ]
        conditions = " + ".join(model.origin["settings"]["conditions"])
        row = [
            name,
            "last fifth" if cut else "test part",
            conditions,
            f"{seconds:.0f}" + (" (over the bar)" if seconds > LIMIT else ""),
        ]
        for which in (fits, beside):
            row.append(numbers([v for fit in which for v in fit.mean_removed]))
            row.append(numbers([v for fit in which for v in fit.rmse]))
        print("| " + " | ".join([*row, source.published or "–"]) + " |", flush=True)


def processor_seconds():
    """Of all commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def to_the_controller(name, source, folder, keep):
    """A row: what `new`, `run` and `report` end in."""
    with tempfile.TemporaryDirectory() as temporary:
        place, began = (keep or Path(temporary)) / name, processor_seconds()
        files = [[folder / file for file in part] for part in (source.files, source.validation)]
        lstm_mpc("new", place, *drafted(source, *files))
        out = place.parent / f"{name}-run"
        done = command_line("run", place, "--out", out, "--quiet")
        command_line("report", out, "--quiet")
        reasons = [line[4:] for line in done.stderr.splitlines() if line.startswith("  - ")]
        end = "a cleared controller in C" if not done.returncode else "; ".join(reasons)
        beside = json.loads((out / "training.json").read_text(encoding="utf-8"))["baselines"]
        asked = load_design(place).release.min_fit
        row = [name, end or done.stderr.strip()[-300:], numbers(beside["lstm"]), f"{asked:g}"]
        row += [numbers(beside["linear"]), f"{processor_seconds() - began:.0f}"]
        print("| " + " | ".join(row) + " |", flush=True)


def main_to_controllers(folder, only, keep):
    print(
        "| set | ends in | FIT [%] | asked | linear: FIT [%] | CPU s |\n|---|---|---|---|---|---|"
    )
    for name in only:
        to_the_controller(name, SOURCES[name], folder, keep)


def main(folder, only, keep):
    print(f"{parallel.cores()} cores; default settings of `lstm-mpc new`, {len(only)} sets.\n")
    print(
        "| set | judged on | certified | s | FIT [%] | RMSE | linear: FIT [%] | linear: RMSE |"
        " published |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in only:
        judge(name, SOURCES[name], folder, keep)


if __name__ == "__main__":
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=tuple(SOURCES), default=list(SOURCES))
    parser.add_argument("--keep", type=Path, help="folder that keeps the designs")
    parser.add_argument("--controller", action="store_true", help="whole records, to the C")
    choice = parser.parse_args()
    run = main_to_controllers if choice.controller else main
    run(choice.folder, choice.only, choice.keep)
