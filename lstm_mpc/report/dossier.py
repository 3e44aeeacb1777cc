"""What lies in a design directory, read once: every artefact with what is wrong with it, in words.
Nothing here raises for one bad file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lstm_mpc.assurance.clearance import clear
from lstm_mpc.assurance.loop_claims import sentence
from lstm_mpc.assurance.loop_reasons import loop_reasons
from lstm_mpc.certificates.evidence import (
    VERIFY_LOOP,
)
from lstm_mpc.certificates.verdict.sampled import scenario_reasons
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.control.limits import input_range
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.errors import LstmMpcError, Refused
from lstm_mpc.identification.starts import SearchOptions
from lstm_mpc.io.export_folder import MANIFEST
from lstm_mpc.model.data_fit import simulations
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array, Signal
from lstm_mpc.project import campaign_log, judged
from lstm_mpc.project.artefacts import (
    ASSURANCE,
    RELEASE,
    VERIFICATION,
)
from lstm_mpc.project.design import Design
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
            proof = judged.loop_proof(self.design)
            cleared = clear(spec, loop=loop, log=log, signers=signers, proof=proof, folder="DESIGN")
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


def fits(data: Dataset, model: Model) -> bool:
    """Can the model be compared with the data?"""
    same = all(
        [s.label for s in a] == [s.label for s in b]
        for a, b in ((data.inputs, model.inputs), (data.outputs, model.outputs))
    )
    return same and abs(data.Ts - model.Ts) <= 1e-9 * model.Ts
