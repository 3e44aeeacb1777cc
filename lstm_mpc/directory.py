"""A design directory as an object: every step returns its noun and writes its artefact. The command
line is this object and words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_mpc.certificates.provenance.signing import public_key
from lstm_mpc.codegen.compiler import compiler
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.export.pil_frames import CORES
from lstm_mpc.io import artefact_file, parallel
from lstm_mpc.project import artefacts
from lstm_mpc.project.loop_directory import LoopDirectory
from lstm_mpc.project.steps import check_steps, export_steps, sign_steps
from lstm_mpc.project.steps.export_steps import Export, PilResult
from lstm_mpc.project.steps.sign_steps import Checked, Signed

if TYPE_CHECKING:
    from lstm_mpc.report.write import Comparison, Report

STEPS = (  # of `run`, in their order
    "record",
    "train",
    "certify",
    "verify",
    "reach",
    "release",
    "control",
    "prove-loop",
    "verify-loop",
    "export",
)


@dataclass(frozen=True)
class Project(LoopDirectory):
    """A design directory, `folder`, and what can be done in it.

    Every method reads what the steps before it wrote, returns a noun and writes it into the folder,
    with its figures; `options` say whether earlier artefacts are replaced.
    """

    def export(self, target: str = "controller") -> Export:
        """The model or its controller for elsewhere → a folder of the target's name.

        Args:
            target: One of the targets of `Release.export` and `Cleared.export`.

        Returns:
            What was written.

        Raises:
            Refused: The evidence does not clear what is exported; with every reason.
            InputError: There is no such target or no usable release, or files of others are in the
                way.
        """
        export = export_steps.export(self.design, self.options, target=target)
        export.save(self.folder / target)
        return export

    def pil(self, cores: Sequence[str] = tuple(CORES), *, double: bool = False) -> PilResult:
        """The exported controller on emulated cores → pil.json.

        Args:
            cores: Names of the cores; by default all of them.
            double: Whether in double precision.

        Returns:
            Sizes and instructions; every sample was equal to this computer's in every bit.

        Raises:
            InputError: The artefact is there and may not be replaced, a tool is missing, or there
                is no usable release.
            Refused: The gate of the controller says no.
            LstmMpcError: A core computes other bits than this computer.
        """
        self._refuse(artefacts.PIL)
        result = export_steps.pil(self.design, self.options, cores=cores, double=double)
        self._write(artefacts.PIL, result.save)
        return result

    def sign(self, key: Path) -> Signed:
        """Sign release and evidence of the loop → evidence.dsse.json.

        Args:
            key: PEM file with a private Ed25519 key.

        Returns:
            The files that were signed, and the keys whose signatures are kept.

        Raises:
            InputError: The key cannot be used, or there is no usable release.
            Refused: The evidence speaks of another design, or does not pass its gate.
        """
        signed = sign_steps.sign(self.design, Path(key))
        self._write(artefacts.SIGNATURE, signed.envelope.save)
        return signed

    def check(self, keys: Sequence[str] = ()) -> Checked:
        """Check the evidence and its signature; nothing is written.

        Args:
            keys: Public keys that are trusted, as text or PEM files; by default the signers of the
                policy.

        Returns:
            What was checked, who signed, and what was not checked.

        Raises:
            InputError: No key is trusted, or there is no usable release.
            Refused: The evidence or its signature does not hold.
        """
        return sign_steps.check(self.design, [public_key(str(key)) for key in keys])

    def report(self, out: Path | None = None, *, pdf: bool = False) -> Report:
        """The design report → report.html.

        Args:
            out: The page; by default report.html in the folder.
            pdf: Whether the same is also printed as PDF, beside it.

        Returns:
            The report.

        Raises:
            InputError: A page is there that may not be replaced, or no browser that prints.
        """
        from lstm_mpc.report import write

        page = out or self.folder / "report.html"
        pages = [page, *([page.with_suffix(".pdf")] if pdf else [])]
        for path in pages:
            if not artefacts.of_run(self.folder, path):  # a page follows from what lies beside it
                artefacts.refuse_overwrite(path, self.options)
        browser, most = write.first_browser() if pdf else "", 0.7 if pdf else 1.0
        self.options.progress("report", 0.0, "reading")
        report = write.report(
            self.folder, lambda share, title: self.options.progress("report", most * share, title)
        )
        report.save(page)
        if pdf:
            self.options.progress("report", most, "printing")
            artefact_file.write_bytes(pages[1], write.printed(page, browser))
        artefacts.mark(self.folder, *(path for path in pages if path.is_relative_to(self.folder)))
        return report

    def compare(self, other: Path, out: Path | None = None) -> Comparison:
        """This design beside another → compare-<name of the other>.html.

        Args:
            other: The directory of the other design.
            out: The page; by default in this folder.

        Returns:
            The comparison.

        Raises:
            InputError: The page is there and may not be replaced.
        """
        from lstm_mpc.report import write

        page = out or self.folder / f"compare-{Path(other).resolve().name}.html"
        artefacts.refuse_overwrite(page, self.options)
        self.options.progress("compare", 0.0, "reading")
        comparison = write.compare(
            self.folder,
            Path(other),
            lambda share, title: self.options.progress("compare", share, title),
        )
        comparison.save(page)
        return comparison

    def run(
        self,
        out: Path | None = None,
        *,
        on_step: Callable[[str, Project, Any], None] = lambda step, project, noun: None,
    ) -> dict[str, Any]:
        """Every step in order, in a folder of its own.

        Args:
            out: That folder; by default runs/<name of the design's folder>.
            on_step: Sees each step, the project in that folder, and what the step returned.

        Returns:
            What each step returned, by its name.

        Raises:
            InputError: The folder is that of the design, holds results that may not be replaced, or
                the machine has no C compiler.
        """
        place = out or artefacts.run_folder(self.folder)
        if place.resolve() == self.folder.resolve():
            raise InputError(f"{place}: --out must be another folder than the design")
        compiler()  # what the last steps need is there before the first begins
        artefacts.begin_run(self.folder, place, self.design.files, self.options)
        project, nouns = Project(place, self.options), dict[str, Any]()
        before, steps = parallel.interruptions(), project.steps()
        for number, step in enumerate(steps):
            nouns[step] = project._run_step(step)
            on_step(step, project, nouns[step])
            if parallel.interruptions() > before:
                raise KeyboardInterrupt(
                    f"interrupted; what {step} had found is kept in {place}, and"
                    f" {', '.join(steps[number + 1 :])} were not run"
                )
        return nouns

    def _run_step(self, step: str) -> Any:
        """A step of a run; where a gate refuses, the report says why."""
        try:
            return getattr(self, step.replace("-", "_"))()
        except Refused as refused:
            page = self.folder / "report.html"
            self.report(page)
            refused.add_note(f"what was seen until then: {page}")
            if step != "train" and (design := self.design).log.files:
                for reason in check_steps.physical_reasons(design):
                    refused.add_note(f"the data: {reason}")
            raise

    def steps(self) -> tuple[str, ...]:
        """The steps of this design, in the order in which `run` takes them."""
        design = self.design
        asked = {
            "record": not design.data.training,
            "control": bool(design.scenarios),
            "prove-loop": design.control.terminal,
            "verify-loop": design.loop_law is not None,
        }
        return tuple(step for step in STEPS if asked.get(step, True))
