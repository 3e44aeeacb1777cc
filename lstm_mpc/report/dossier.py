"""What lies in a design directory, read once: every artefact with what is wrong with it, in words.
Nothing here raises for one bad file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lstm_mpc.assurance.clearance import clear
from lstm_mpc.assurance.loop_claims import sentence
from lstm_mpc.assurance.loop_proof import LoopProof
from lstm_mpc.assurance.loop_reasons import loop_reasons
from lstm_mpc.certificates.evidence import (
    VERIFY_LOOP,
    Certificate,
    LoopVerification,
    Tubes,
    Verification,
)
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.provenance.manifest import Manifest
from lstm_mpc.certificates.verdict.sampled import scenario_reasons
from lstm_mpc.codegen.controller_spec import ControllerSpec, tuning_digest
from lstm_mpc.control.problem import input_range
from lstm_mpc.data.csv_file import read_csv
from lstm_mpc.data.dataset import Dataset, thin
from lstm_mpc.errors import InputError, LstmMpcError, Refused
from lstm_mpc.export import controller_folder
from lstm_mpc.identification.starts import SearchOptions
from lstm_mpc.io import artefact_file
from lstm_mpc.io.export_folder import MANIFEST
from lstm_mpc.io.schema import noun
from lstm_mpc.model.data_fit import simulations
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array, Signal
from lstm_mpc.project import campaign_log, judged
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
from lstm_mpc.project.steps import model_steps
from lstm_mpc.project.steps.sign_steps import signers_of

EXPORT = f"controller/{MANIFEST}"
DESIGN = "design.toml"


@dataclass(frozen=True)
class DesignFile:
    """A file of a design directory: what it holds (None where it is missing or cannot be used), the
    verb that makes it, the SHA-256 of its bytes; `problem` says why it cannot be used, `stale` that
    it speaks of something else than this design and model, `refused` why the gate says no to it."""

    file: str
    verb: str
    value: Any = None
    digest: str | None = None
    problem: str = ""
    stale: str = ""
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clearance:
    """The word of the gate of controllers: what cleared one as (kind, sentence), or every reason
    why it is not to be exported."""

    evidence: tuple[tuple[str, str], ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dossier:
    """A design directory as read.

    Attributes:
        folder: The directory.
        design: What `design.toml` says; None where there is none.
        text: That file as it stands.
        model: The model; None where there is none.
        files: File name -> `DesignFile`, present or not.
        data: "training" and "validation" -> `DesignFile` of a `Dataset`.
    """

    folder: Path
    design: Design | None
    text: str
    model: Model | None
    files: Mapping[str, DesignFile]
    data: Mapping[str, DesignFile]

    @property
    def name(self) -> str:
        return (
            self.design.name
            if self.design
            else self.model.name
            if self.model
            else self.folder.resolve().name
        )

    @property
    def described(self) -> Model | Design:
        """What says which signals there are; `read` makes sure of one."""
        found = self.model or self.design
        assert found is not None
        return found

    @property
    def inputs(self) -> tuple[Signal, ...]:
        return self.described.inputs

    @property
    def outputs(self) -> tuple[Signal, ...]:
        return self.described.outputs

    @property
    def judge(self) -> dict[str, Any]:
        """What of a record counts, by the design or by default: the keyword arguments of
        `validate`."""
        search = self.design.search if self.design else SearchOptions()
        return {"transient": search.transient, "window": search.window}

    @cached_property
    def runs(self) -> dict[str, tuple[Array, ...]]:
        """The model's outputs for every record of the data that it can be compared with."""
        data = {which: found.value for which, found in self.data.items() if found.value is not None}
        if self.model is None:
            return {}
        window = self.judge["window"]
        return {
            which: simulations(self.model, own, window=window)
            for which, own in data.items()
            if fits(own, self.model)
        }

    @cached_property
    def refusals(self) -> tuple[str, ...]:
        """Why the gate of models refuses what lies here; none where it was not asked yet: evidence
        that it needs is not there."""
        release = self.files[RELEASE]
        if release.value is not None and not release.stale:
            return ()
        if release.refused and not release.stale:
            return release.refused
        if self.design is None or self.model is None:
            return ()
        try:
            model_steps.release(self.design)
        except Refused as refused:
            return refused.reasons
        except LstmMpcError:
            return ()
        return ()

    @cached_property
    def clearance(self) -> Clearance:
        """What the gate of controllers says of the release with the design as it stands."""
        passed, loop = self.files[RELEASE], self.files[ASSURANCE].value
        if self.design is None or passed.value is None or passed.stale:
            return Clearance()
        try:
            spec = ControllerSpec(passed.value, self.design.control, self.design.solver)
            log = campaign_log.campaigns(self.design)
            signers = signers_of(self.design, passed.value, "report")
            cleared = clear(spec, loop=loop, log=log, signers=signers, folder="DESIGN")
        except Refused as refused:
            return Clearance(reasons=refused.reasons)
        return Clearance(cleared.evidence)

    @cached_property
    def sampled_reasons(self) -> tuple[str, ...]:
        """Why the scenario verification here is no claim about the model; none where it is."""
        found, model, design = self.files[VERIFICATION], self.model, self.design
        if found.value is None or found.stale or model is None or design is None:
            return (found.stale or "there is none of this model",)
        low, high = input_range(model, design.control)
        ends = design.safe_set, low, high
        why = [why for _, why in scenario_reasons(model, found.value, design.release, *ends)]
        return (*why, *judged.history(design, found.value).against)

    @cached_property
    def loop_reasons(self) -> tuple[str, ...]:
        """Why the verification of closed loops here is no claim about the controller."""
        passed, loop = self.files[RELEASE], self.files[ASSURANCE]
        if loop.value is None or loop.stale or self.design is None:
            return (loop.stale or "there is none of this design",)
        if passed.value is None or passed.stale:
            return ("there is no release of this design",)
        spec = ControllerSpec(passed.value, self.design.control, self.design.solver)
        return tuple(loop_reasons(spec, loop.value, "DESIGN"))

    @property
    def loop_claim(self) -> str:
        """What the verification of closed loops claims, where nothing speaks against that."""
        assert self.design is not None
        count = campaign_log.campaigns(self.design).count(VERIFY_LOOP)
        return sentence(self.of(ASSURANCE), self.of(RELEASE), count)

    @property
    def certificates(self) -> tuple[DesignFile, ...]:
        return tuple(a for name, a in self.files.items() if name.startswith("certificate-"))

    def of(self, name: str) -> Any:
        """What a file holds.

        Args:
            name: The file.

        Returns:
            The noun, or None where it is missing or cannot be used.
        """
        return self.files[name].value


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


def fits(data: Dataset, model: Model) -> bool:
    """Can the model be compared with the data?"""
    same = all(
        [s.label for s in a] == [s.label for s in b]
        for a, b in ((data.inputs, model.inputs), (data.outputs, model.outputs))
    )
    return same and abs(data.Ts - model.Ts) <= 1e-9 * model.Ts
