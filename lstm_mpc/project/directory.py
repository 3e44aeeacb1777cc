"""A design directory and the steps of its model: each returns its noun and writes its artefact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lstm_mpc.plots as plots
from lstm_mpc.certificates.bounds_table import bounds_table
from lstm_mpc.certificates.evidence import Certificate, Tubes, Verification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.data.csv_file import write_csv
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.log_options import LogOptions
from lstm_mpc.identification.model_order import Ordering
from lstm_mpc.io import artefact_file
from lstm_mpc.model.importers.import_file import import_model
from lstm_mpc.model.model import Model
from lstm_mpc.model.step_response import StepResponse, step_responses
from lstm_mpc.project import artefacts, campaign_log
from lstm_mpc.project.artefacts import DEFAULT, Options
from lstm_mpc.project.design import Design, load_design
from lstm_mpc.project.drafting.signal_requests import SignalRequest
from lstm_mpc.project.steps import (
    check_steps,
    draft_steps,
    model_steps,
    training_steps,
)
from lstm_mpc.project.steps.check_steps import Check
from lstm_mpc.project.steps.draft_steps import AS_IT_IS, Draft
from lstm_mpc.project.steps.training_steps import Recording, Trained


@dataclass(frozen=True)
class Directory:
    """A design directory as far as the release of its model; `Project` goes on.

    `folder` is the directory, `options` say who hears of progress and what is asked for again.
    """

    folder: Path
    options: Options = DEFAULT

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

    @property
    def design(self) -> Design:
        """What design.toml says now."""
        return load_design(self.folder)

    @property
    def model(self) -> Model:
        """The model that lies in the directory."""
        return Model.load(self.folder / artefacts.MODEL)

    def new(
        self,
        files: Sequence[Path],
        inputs: Sequence[SignalRequest],
        outputs: Sequence[SignalRequest],
        *,
        log: LogOptions = AS_IT_IS,
        name: str = "",
    ) -> Draft:
        """Draft a design for recorded data → design.toml.

        Copies of the logs and a figure lie beside it.

        Args:
            files: The logs.
            inputs: What is manipulated.
            outputs: What is measured.
            log: How the files are read, their names and columns apart.
            name: Of the design; by default that of the folder.

        Returns:
            The draft that was written.

        Raises:
            InputError: Nothing can be identified from these data, or files are there that may not
                be replaced.
            DataError: A log cannot be used.
        """
        copies = [(file, self.folder / file.name) for file in files]
        copies = [(file, to) for file, to in copies if to.resolve() != file.resolve()]
        self._refuse("design.toml", *(to.name for _, to in copies))
        draft = draft_steps.new(
            self.folder, files, inputs, outputs, self.options, log=log, name=name
        )
        for file, to in copies:
            artefact_file.write_bytes(to, file.read_bytes())
        artefact_file.write_text(self.folder / "design.toml", draft.text)
        load_design(self.folder)  # what is written can be read
        kept = len(draft.validation.records)
        self._draw("data", plots.plot_data(draft.data, kept=kept))
        return draft

    def record(self) -> Recording:
        """Run the experiment, or make records of the raw log → data-training.csv,
        data-validation.csv."""
        self._refuse(*artefacts.DATA.values())
        recording = training_steps.record(self.design, self.options)
        for number, (which, name) in enumerate(artefacts.DATA.items()):
            self.options.progress("record", 0.6 + 0.3 * number, f"{name} is written")
            self._write(name, partial(_write_data, getattr(recording, which)))
        return recording

    def order(
        self, cells: Sequence[tuple[int, ...]] = training_steps.CELLS, starts: int = 3
    ) -> Ordering:
        """Compare numbers of cells → order.json.

        Which one is used stays the design's choice.

        Args:
            cells: Cells per layer of each candidate.
            starts: How many seeds each candidate is trained from.

        Returns:
            The candidates by size, with the recommended one.

        Raises:
            InputError: The artefact is there and may not be replaced.
            SolverError: No start of any size ends in a certified model.
        """
        self._refuse(artefacts.ORDER)
        ordering = training_steps.order(self.design, self.options, cells=cells, starts=starts)
        content = training_steps.ordering_content(ordering)
        self._write_json(artefacts.ORDER, "lstm_mpc order", content)
        self._draw("order", plots.plot_order(ordering))
        return ordering

    def train(self, origin: Path | None = None) -> Trained:
        """Identify the model → model.json, training.json.

        Args:
            origin: File of a model to begin from, in whose scaling and shape training stays.

        Returns:
            Every start, the chosen model, and its validation.

        Raises:
            InputError: The data or the options cannot be used, or the model is there and may not be
                replaced.
            Refused: An output integrates or is unstable.
            SolverError: No start ends in a certified model.
        """
        before, design = None if origin is None else Model.load(origin), self.design
        self._refuse(artefacts.MODEL)
        trained = training_steps.train(design, self.options, origin=before)
        self._write(artefacts.MODEL, trained.model.save)
        self._write_json(artefacts.TRAINING, artefacts.REPORT_KIND, trained.report())
        validation = design.records("validation")
        figure = plots.plot_validation(trained.model, validation, **design.judge)
        self._draw("validation", figure)
        return trained

    def import_network(self, file: Path) -> Model:
        """Take over a network that another framework trained → model.json.

        Args:
            file: The network; `[import]` of the design says what it does not.

        Returns:
            The model.

        Raises:
            InputError: The file does not fit the design, or the model is there and may not be
                replaced.
        """
        self._refuse(artefacts.MODEL)
        design = self.design
        model = import_model(
            file,
            inputs=design.inputs,
            outputs=design.outputs,
            Ts=design.sampling_time(),
            choice=design.foreign,
            name=design.name,
        )
        self._write(artefacts.MODEL, model.save)
        return model

    def certify(self, conditions: Sequence[str] = ()) -> dict[Path, Certificate]:
        """Check stability conditions → certificate-<condition>.json.

        Args:
            conditions: Their names; by default those that the gate asks for and those that the
                model was trained under.

        Returns:
            The certificates by the files that they were written to, whether they hold or not.

        Raises:
            InputError: There is no condition of such a name.
        """
        names = tuple(conditions) or model_steps.asked_conditions(self.design, self.model)
        certificates = model_steps.certify_file(self.folder / artefacts.MODEL, names, self.options)
        artefacts.mark(self.folder, *certificates)
        return certificates

    def validate(self, files: Sequence[Path]) -> Check:
        """The model on a further record → figures validation-<name> and residuals-<name>.

        Args:
            files: CSV files with its signals as columns or, for a design with a [log], logs like
                it.

        Returns:
            Fits, simulations and tests of the residuals.

        Raises:
            DataError: A file cannot be used.
            InputError: The record has another sampling time than the model.
        """
        design = self.design if (self.folder / "design.toml").exists() else None
        check = check_steps.validate(self.model, files, design, self.options)
        name, model = Path(files[0]).stem, check.model
        figure = plots.plot_validation(model, check.dataset, runs=check.runs, transient=0)
        self._draw(f"validation-{name}", figure)
        if check.residuals is not None:
            names = [s.name for s in model.inputs], [s.name for s in model.outputs]
            self._draw(f"residuals-{name}", plots.plot_correlations(*names, check.residuals))
        return check

    def inspect(self) -> tuple[StepResponse, ...]:
        """Step responses and gains of the model → figure steps."""
        model = self.model
        responses = step_responses(model)
        self._draw("steps", plots.plot_step_responses(model, responses))
        return responses

    def verify(self) -> Verification:
        """Scenario verification of the model → verification.json; a line of campaigns.jsonl."""
        self._refuse(artefacts.VERIFICATION)
        design = self.design
        evidence = model_steps.verify(design, self.options)
        evidence = campaign_log.logged(design, evidence)
        self._write(artefacts.VERIFICATION, evidence.save)
        top = max(design.verify.radii)
        self._draw("scenarios", plots.plot_scenarios(self.model, evidence, radius=top))
        self._draw("bounds", plots.plot_bounds(evidence))
        return evidence

    def reach(self) -> Tubes:
        """Interval tubes of the model → tubes.json."""
        self._refuse(artefacts.TUBES)
        design, model = self.design, self.model
        evidence = model_steps.reach(design, self.options)
        self._write(artefacts.TUBES, evidence.save)
        sampled = model_steps.sampled_of(design, model)
        for j, s in enumerate(model.outputs):
            rows = bounds_table(model, evidence, sampled, output=j)
            name = "reach" if len(model.outputs) == 1 else f"reach-{s.name}"
            self._draw(name, plots.plot_reach(model, rows, output=j))
        return evidence

    def release(self) -> Release:
        """Pass the gate → release.json, or raise `Refused` with every reason."""
        self._refuse(artefacts.RELEASE)
        passed = model_steps.release(self.design, self.options)
        self._write(artefacts.RELEASE, passed.save)
        return passed

    def _refuse(self, *names: str) -> None:
        for name in names:
            artefacts.refuse_overwrite(self.folder / name, self.options)

    def _write(self, name: str, save: Callable[[Path], None]) -> None:
        save(self.folder / name)
        artefacts.mark(self.folder, self.folder / name)

    def _write_json(self, name: str, kind: str, content: dict[str, Any]) -> None:
        self._write(name, lambda path: artefact_file.write_json(path, kind, content))

    def _draw(self, name: str, figure: Any) -> None:
        artefacts.mark(self.folder, *plots.save(figure, self.folder / artefacts.FIGURES, name))


def _write_data(dataset: Dataset, path: Path) -> None:
    write_csv(path, dataset)
