"""Reads a design directory: every artefact, with what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lstm_mpc.assurance.loop_proof import LoopProof
from lstm_mpc.certificates.evidence import (
    Certificate,
    LoopVerification,
    Tubes,
    Verification,
)
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.provenance.manifest import Manifest
from lstm_mpc.codegen.controller_spec import tuning_digest
from lstm_mpc.data.csv_file import read_csv
from lstm_mpc.data.dataset import Dataset, thin
from lstm_mpc.errors import InputError, LstmMpcError, Refused
from lstm_mpc.export import controller_folder
from lstm_mpc.io import artefact_file
from lstm_mpc.io.schema import noun
from lstm_mpc.model.model import Model
from lstm_mpc.project import judged
from lstm_mpc.project.artefacts import (
    ASSURANCE,
    LOOP,
    MODEL,
    PIL,
    PROOF,
    RELEASE,
    TRAINING,
    TUBES,
    VERIFICATION,
    certificate_file,
)
from lstm_mpc.project.design import Design, load_design
from lstm_mpc.report.dossier import DESIGN, EXPORT, DesignFile, Dossier, fits


def read(folder: str | Path) -> Dossier:
    """Read a design directory.

    Args:
        folder: The directory.

    Returns:
        All that lies in it, with what is wrong with it.

    Raises:
        InputError: There is neither a design nor a model, or one of these two cannot be used.
    """
    folder = Path(folder)
    if not any((folder / name).exists() for name in (DESIGN, MODEL)):
        raise InputError(
            f"{folder}: holds neither {DESIGN} nor {MODEL}; a report is made of a design directory"
        )
    design = load_design(folder) if (folder / DESIGN).exists() else None
    text = (folder / DESIGN).read_text(encoding="utf-8") if design else ""
    model = Model.load(folder / MODEL) if (folder / MODEL).exists() else None
    files = {
        DESIGN: _artefact(folder, DESIGN, "new", lambda path: design),
        MODEL: _artefact(folder, MODEL, "train", lambda path: model),
    }
    asked = design.release.conditions if design else ()
    there = [
        path.name.removeprefix("certificate-").removesuffix(".json")
        for path in sorted(folder.glob("certificate-*.json"))
    ]
    loaders: dict[str, tuple[str, Callable[[Path], Any]]] = {
        TRAINING: ("train", _json("lstm_mpc training report")),
        **{
            certificate_file(name): ("certify", Certificate.load)
            for name in dict.fromkeys([*asked, *there])
        },
        VERIFICATION: ("verify", Verification.load),
        TUBES: ("reach", Tubes.load),
        RELEASE: ("release", Release.load),
        LOOP: ("control", _json("lstm_mpc closed loop")),
        **_proof(folder, design),
        ASSURANCE: ("verify-loop", LoopVerification.load),
        EXPORT: ("export", _json(controller_folder.KIND)),
        PIL: ("pil", _json("lstm_mpc processor in the loop")),
    }
    for name, (verb, load) in loaders.items():
        found = _artefact(folder, name, verb, load)
        files[name] = DesignFile(**{**found.__dict__, "stale": _stale(found, model, design)})
    data = {which: _data(folder, which, design, model) for which in ("training", "validation")}
    return Dossier(folder, design, text, model, files, data)


def _proof(
    folder: Path, design: Design | None
) -> dict[str, tuple[str, Callable[[Path], LoopProof]]]:
    """The proof of the loop, where one lies there or is to be expected."""
    asked = design is not None and design.control.terminal
    return {PROOF: ("prove-loop", LoopProof.load)} if asked or (folder / PROOF).exists() else {}


def _json(kind: str) -> Callable[[Path], dict[str, Any]]:
    return lambda path: artefact_file.read_json(path, kind)


def _artefact(folder: Path, name: str, verb: str, load: Callable[[Path], Any]) -> DesignFile:
    path = folder / name
    if not path.exists():
        return DesignFile(name, verb)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        return DesignFile(name, verb, load(path), digest)
    except Refused as refused:
        words = "the gate refuses it today: " + "; ".join(refused.reasons)
        return DesignFile(name, verb, None, digest, words, refused=refused.reasons)
    except LstmMpcError as error:
        return DesignFile(name, verb, None, digest, _here(folder, error))


def _here(folder: Path, error: LstmMpcError) -> str:
    """The error without the place of the folder: a report does not depend on it."""
    return str(error).replace(f"{folder}/", "")


def _stale(found: DesignFile, model: Model | None, design: Design | None) -> str:
    """Why evidence does not speak of what lies here now, or nothing."""
    if found.value is None:
        return ""
    spoken = found.value["model"] if isinstance(found.value, dict) else found.value.model
    spoken = spoken.digest if isinstance(spoken, Model) else spoken
    if model is None or spoken != model.digest:
        here = f"the model here is {model.digest[:12]}" if model else "there is no model here"
        return f"speaks of model {spoken[:12]}, but {here}; `lstm-mpc {found.verb}` makes it anew"
    if (
        isinstance(found.value, LoopProof)
        and design
        and found.value.problem != tuning_digest(design.control, design.solver)
    ):
        return (
            "speaks of another [control], [observer] or [solver] than the design has now;"
            f" `lstm-mpc {found.verb}` makes it anew"
        )
    if design is None or found.file not in judged.JUDGED:
        return ""
    of_file = found.value.get("manifest") if isinstance(found.value, dict) else found.value.manifest
    if isinstance(of_file, dict):
        of_file = noun(Manifest, of_file, "manifest")
    words = judged.stale(design, found.file, of_file)
    if not words and isinstance(found.value, Release):
        words = judged.other_history(design, found.value)
    return words.replace(f"{design.folder}/", "").replace(str(design.folder), "DESIGN")


def _data(folder: Path, which: str, design: Design | None, model: Model | None) -> DesignFile:
    """The data of a design; without a design those that lie beside the model under their usual
    name."""
    own = getattr(design.data, which) if design else ()
    name = ", ".join(own) if own else f"data-{which}.csv"
    if not own and not (folder / name).exists():
        return DesignFile(name, "record")
    try:
        signals = design or model
        assert signals is not None
        data = (
            design.records(which)
            if design
            else read_csv(folder / name, signals.inputs, signals.outputs)
        )
    except LstmMpcError as error:
        return DesignFile(name, "record", problem=_here(folder, error))
    paths = [folder / part for part in own] or [folder / name]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    return DesignFile(name, "record", data, digest, stale=_other_data(which, data, model, design))


def _other_data(which: str, data: Dataset, model: Model | None, design: Design | None) -> str:
    if model is None:
        return ""
    if not fits(data, model):
        return (
            "has other signals or another sampling time than the model here, which is not compared"
            " with it"
        )
    origin, trained = model.origin.get("data"), data
    if design is not None and design.data.samples:
        trained = thin(data, samples=design.data.samples, window=design.data.window)
    if which == "training" and origin not in (None, trained.digest):
        return (
            f"is not what the model was trained on (data {str(origin)[:12]}, here"
            f" {trained.digest[:12]})"
        )
    return ""
