"""Random edits of a finished design directory, and what its gates make of them.

python tests/support/random_edits.py 10000 [SEED]     counts, and every edit that got through
"""

import json
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
from places import ROOT
from toml_text import at, places, toml_text

from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.errors import LstmMpcError
from lstm_mpc.io import artefact_file
from lstm_mpc.project import judged
from lstm_mpc.project.design import load_design
from lstm_mpc.project.steps import export_steps

MODELS = ROOT / "models"
HARMLESS = ("name", "report", "scenario")  # tables that what is exported does not depend on
JSON = (  # artefacts that an export rests on, or might
    *("release.json", "loop-verification.json", "model.json", "verification.json"),
    *("closed-loop.json", "tubes.json", "training.json", "certificate-iss.json"),
)
CLAIMS = ("proved", "sampled", "measured")


def other_value(rng, value):
    """Another value of the same kind, close by or far away; now and then of another kind."""
    if rng.random() < 0.1:
        return [None, "x", -1, [], {}, True][rng.integers(6)]
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        factor = [1.0 + 1e-6, 1.01, 2.0, 100.0, -1.0, 0.0][rng.integers(6)]
        made = value * factor if value else float(rng.normal())
        return int(made) if isinstance(value, int) else made
    if isinstance(value, str):
        return value[::-1] if rng.random() < 0.5 else f"{value}0"
    if isinstance(value, list) and value:
        at_ = int(rng.integers(len(value)))
        return [*value[:at_], other_value(rng, value[at_]), *value[at_ + 1 :]]
    return [1.0]


def leaves(content, where=()):
    """Where the values of a JSON tree stand."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, item in items:
        if isinstance(item, (dict, list)) and item:
            yield from leaves(item, (*where, key))
        else:
            yield (*where, key)


def edit_design(rng, folder):
    path = folder / "design.toml"
    content = tomllib.loads(path.read_text())
    every = list(places(content))
    *outer, last = every[rng.integers(len(every))]
    table = at(content, outer)
    if rng.random() < 0.2:
        del table[last]
    else:
        table[last] = other_value(rng, table[last])
        if table[last] is None:
            table[last] = "none"
    path.write_text(toml_text(content))
    return ".".join(map(str, (*outer, last)))


def edit_json(rng, folder):
    """A value altered, and a digest that fits."""
    path = folder / JSON[rng.integers(3 if rng.random() < 0.8 else len(JSON))]
    content = json.loads(path.read_text())
    every = list(leaves(content))
    *outer, last = every[rng.integers(len(every))]
    at(content, outer)[last] = other_value(rng, at(content, (*outer, last)))
    content.pop("digest", None)
    content["digest"] = artefact_file.digest(content)
    path.write_text(json.dumps(content))
    return f"{path.name}: {'.'.join(map(str, (*outer, last)))}"


def edit_bytes(rng, folder):
    files = sorted(p for p in folder.iterdir() if p.is_file())
    path = files[rng.integers(len(files))]
    data = bytearray(path.read_bytes())
    place = int(rng.integers(len(data)))
    data[place] = int(rng.integers(256))
    path.write_bytes(bytes(data))
    return f"{path.name}: byte {place}"


def edit_file(rng, folder):
    """A file of the other design, or none."""
    files = sorted(p for p in folder.iterdir() if p.is_file())
    path = files[rng.integers(len(files))]
    other = MODELS / "quadruple_tank" / path.name
    if rng.random() < 0.5 or not other.exists():
        path.unlink()
        return f"{path.name}: deleted"
    shutil.copy(other, path)
    return f"{path.name}: that of the quadruple tank"


def edit_lines(rng, folder):
    """A row of data, or a line of the log, removed, doubled or exchanged."""
    names = ("data-training.csv", "data-validation.csv", "campaigns.jsonl")
    path = folder / names[rng.integers(3)]
    lines = path.read_text().splitlines()
    place, how = int(rng.integers(len(lines))), int(rng.integers(3))
    lines[place : place + 1] = [[], [lines[place]] * 2, lines[place : place + 2][::-1]][how]
    path.write_text("\n".join(lines) + "\n")
    return f"{path.name}: line {place}, {('removed', 'doubled', 'exchanged')[how]}"


EDITS = (edit_design, edit_design, edit_json, edit_json, edit_bytes, edit_file, edit_lines)


def evidence_of(folder):
    """What an export of the model and of the controller would claim; raises where it is refused."""
    design = load_design(folder)
    passed = judged.passed(design, "export")
    claims = {claim for claim in passed.claims() if claim[0] in CLAIMS}
    spec = ControllerSpec(passed, design.control, design.solver)
    cleared = export_steps.cleared_of(design, passed, spec)
    held = {pair for pair in cleared.evidence if pair[0] in CLAIMS}
    return passed.model.digest, spec.tuning_digest, claims, held, design


def same_design(one, other):
    """Do two designs differ only where nothing that is exported depends on it?"""
    harmless = {"name", "report", "scenarios", "folder"}
    return all(
        str(getattr(one, name)) == str(getattr(other, name))
        for name in one.__dataclass_fields__
        if name not in harmless
    )


JOINT = re.compile(r"all (\d+) sampled statements")


def statements(claims):
    """How many statements the joint claim is of: without the void ones it is one of fewer."""
    return sum(int(found[1]) for _, claim in claims if (found := JOINT.match(claim)))


def without_joint(claims):
    return {pair for pair in claims if not JOINT.match(pair[1])}


def got_through(before, after):
    """Does an export after an edit claim what the evidence does not say?"""
    (model, tuning, claims, held, design), (model_, tuning_, claims_, held_, design_) = (
        before,
        after,
    )
    return (
        (model, tuning) != (model_, tuning_)
        or not claims_ <= claims
        or not without_joint(held_) <= without_joint(held)
        or statements(held_) > statements(held)
        or not same_design(design, design_)
    )


def run(count, seed, place, tell=lambda line: None):
    """Edit copies of the shipped pH design; a count of outcomes, and what is wrong."""
    outcomes, wrong, folder = Counter(), [], place / "ph"
    fresh(folder)
    before = evidence_of(folder)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        fresh(folder)
        edit = EDITS[rng.integers(len(EDITS))]
        what = f"number {number}, {edit.__name__}: {edit(rng, folder)}"
        try:
            after = evidence_of(folder)
        except LstmMpcError as error:
            outcomes[type(error).__name__] += 1
            if "\n" in str(error) or not str(error):
                wrong.append(f"{what}: {error!r}")
        except Exception as error:  # what nobody may see
            outcomes["traceback"] += 1
            wrong.append(f"{what}: {error!r}")
        else:
            harmful = got_through(before, after)
            outcomes["exported, not covered" if harmful else "exported, covered"] += 1
            if harmful:
                wrong.append(what)
        if number % 100 == 99:
            tell(f"{number + 1}: {dict(outcomes)}, {len(wrong)} wrong")
    return outcomes, wrong


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(MODELS / "ph", folder, ignore=shutil.ignore_patterns("figures"))


if __name__ == "__main__":
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place_:
        counts, faults = run(
            int(sys.argv[1]),
            int(*sys.argv[2:] or [0]),
            Path(place_),
            lambda s: print(s, flush=True),
        )
    print(*faults, sep="\n")
    print(dict(counts), f"{time.monotonic() - began:.0f} s")
