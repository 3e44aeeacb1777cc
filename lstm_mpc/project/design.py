"""The design file: every number a human chose, in `design.toml`. Its keys are the fields of the
package's option records; others are errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lstm_mpc.assurance.loop_law import LoopLaw
from lstm_mpc.assurance.loop_verification import LoopVerifyOptions
from lstm_mpc.assurance.model_plant import REPLAY, ModelPlant
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.certificates.scenarios import VerifyOptions
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.data.csv_file import read_csv
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.log_options import LogOptions
from lstm_mpc.data.log_preparation import Prepared, prepare_log
from lstm_mpc.errors import InputError
from lstm_mpc.identification.options import TrainingOptions
from lstm_mpc.identification.starts import SearchOptions
from lstm_mpc.io.schema import noun, refuse_unknown, table_of, tables_of
from lstm_mpc.model.importers.import_file import ImportOptions
from lstm_mpc.plants.roles import as_disturbances, driven_by
from lstm_mpc.plants.system import Signal, System
from lstm_mpc.project import design_tables as tables
from lstm_mpc.project.artefacts import DATA
from lstm_mpc.project.design_content import content_of, signals_of, start_of
from lstm_mpc.project.design_tables import DataOptions, Experiment, Plant, ReportOptions
from lstm_mpc.project.variations import variations


@dataclass(frozen=True)
class Design:
    """A design directory as read.

    Attributes:
        folder: The directory.
        name: What the design is called.
        plant: The simulated plant, where it has one.
        inputs: The input signals.
        outputs: The output signals.
        experiment: How data are recorded on that plant.
        data: The files of data, and their split.
        train: How a model is trained.
        search: How starts are drawn, and models judged.
        safe_set: (low, high) of each output [engineering].
        verify: How a model is verified.
        release: What evidence a release needs.
        control: The control problem.
        solver: The options of its solver.
        u_start: Inputs in force before the first sample, (nu,) [engineering].
        scenarios: Closed loops that are simulated.
        foreign: How a network of others is brought in.
        loop_law: How closed loops are drawn for their verification.
        verify_loop: How the loop is verified.
        log: How raw logs are read.
        model_plant: The model as the plant, where it is to be that.
        report: What the report shows.
    """

    folder: Path
    name: str
    plant: Plant | None
    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    experiment: Experiment
    data: DataOptions
    train: TrainingOptions
    search: SearchOptions
    safe_set: tuple[tuple[float, float], ...]
    verify: VerifyOptions
    release: Policy
    control: ControlProblem
    solver: SolverOptions
    u_start: tuple[float, ...]
    scenarios: tuple[Scenario, ...] = field(default=())
    foreign: ImportOptions = field(default=ImportOptions())
    loop_law: LoopLaw | None = None
    verify_loop: LoopVerifyOptions = field(default=LoopVerifyOptions())
    log: LogOptions = field(default=LogOptions())
    model_plant: ModelPlant | None = None
    report: ReportOptions = field(default=ReportOptions())

    @property
    def system(self) -> System | None:
        """The simulated plant, where the design has one, with an ideal probe."""
        return None if self.plant is None else self.plant.system()

    @property
    def disturbances(self) -> tuple[Signal, ...]:
        """Those of the simulated plant."""
        if self.model_plant is not None:
            return (*as_disturbances(self.inputs), REPLAY)
        return () if self.system is None else self.system.disturbances

    @property
    def experiment_plant(self) -> System | None:
        """The simulated plant as experiments and the verification of the model drive it: by the
        inputs of the design, the measured ones among them."""
        return None if self.system is None else driven_by(self.system, self.inputs)

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of the inputs that are measured and never moved."""
        return tuple(s.name for s in self.inputs if s.measured)

    def plant_of(self, scenario: Scenario | LoopLaw) -> System:
        """The simulated plant as a scenario, or a law of scenarios, needs it.

        Args:
            scenario: The scenario or the law.

        Returns:
            The plant.

        Raises:
            InputError: The design has none.
        """
        if self.plant is None or scenario.mismatch == 0:
            return self.nominal_plant
        return dataclasses.replace(self.plant, uncertain=True).system()

    @property
    def nominal_plant(self) -> System:
        """The plant of closed loops without mismatch.

        Raises:
            InputError: The design has none.
        """
        if self.model_plant is not None:
            return self._variations
        if self.system is None:
            raise InputError(
                f"{self.folder}: a closed loop needs a [plant] to simulate; {tables.ANYWAY}"
            )
        return self.system

    @cached_property
    def _variations(self) -> System:
        """The identified model and what is known of its error, as the plant."""
        assert self.model_plant is not None
        recorded = self.data.validation or self.file(DATA["validation"]).exists()
        validation = self.records("validation") if recorded else None
        return variations(self.model_plant, self.folder, validation, **self.judge)

    @property
    def files(self) -> tuple[str, ...]:
        """The files that make the design: design.toml and the data that it names."""
        data, log = self.data, self.log
        return (
            "design.toml",
            *data.training,
            *data.validation,
            *log.files,
            *log.validation_files,
        )

    def file(self, name: str) -> Path:
        """The place of a file of the directory.

        Args:
            name: Its name.

        Returns:
            Its path.
        """
        return self.folder / name

    @property
    def judge(self) -> dict[str, Any]:
        """What of a record counts in a validation: keyword arguments of `validate`."""
        return {"transient": self.search.transient, "window": self.search.window}

    def records(self, which: str) -> Dataset:
        """The data of the design: what `record` wrote, or its own files.

        Args:
            which: "training" or "validation".

        Returns:
            The data.
        """
        files = getattr(self.data, which) or (DATA[which],)
        return read_csv([self.folder / path for path in files], self.inputs, self.outputs)

    def sampling_time(self) -> float:
        """Ts [s] of the plant or the data; `[import]` Ts where there is neither, and never another
        one."""
        asked = self.foreign.Ts
        Ts = asked
        if self.system:
            Ts = self.system.Ts
        elif self.data.training or self.log.files:
            Ts = self.records("training").Ts
        if Ts is None:
            raise InputError(
                f"{self.folder}: the design has no [plant], no [log] and no [data]; give Ts [s] in"
                " [import]"
            )
        if asked is not None and abs(asked - Ts) > 1e-9 * Ts:
            raise InputError(
                f"{self.folder}: [import] Ts = {asked:g} s, but the plant or the data of the design"
                f" have {Ts:g} s"
            )
        return Ts

    def logged(
        self, on_progress: Callable[[float, str], None] = lambda share, file: None
    ) -> Prepared:
        """The records made of the raw files of `[log]`.

        Args:
            on_progress: Hears the share done and the file.

        Returns:
            The records, with what was done to them.
        """
        return prepare_log(
            self.log, self.folder, self.inputs, self.outputs, on_progress=on_progress
        )

    def experiment_records(self) -> dict[str, Dataset]:
        """Run the experiment on the simulated plant: "training" and "validation" data."""
        if self.experiment_plant is None:
            raise InputError(
                f"{self.folder}: the design has no [plant] to record from and no [log]; its data"
                " come from [data] files"
            )
        return self.experiment.records(self.experiment_plant, self.inputs, self.outputs)


def load_design(folder: str | Path) -> Design:
    """Read `design.toml`.

    Args:
        folder: The design directory.

    Returns:
        The design.

    Raises:
        InputError: Something is unknown, missing or of a wrong type; with the file and the key.
    """
    folder = Path(folder)
    content = content_of(folder)
    try:
        return design_of(folder, content)
    except InputError as error:
        raise InputError(f"{folder / 'design.toml'}: {error}") from error


def design_of(folder: Path, content: dict[str, Any]) -> Design:
    """The design that the content of a design.toml means; InputError as for `load_design`."""
    refuse_unknown(content, tables.TABLES, "the design", tables.RENAMED["the design"])
    plant, model_plant = tables.plant(content)
    inputs, outputs = signals_of(content, plant.system() if plant else None)
    system = plant.system() if plant else None
    modelled = (*as_disturbances(inputs), REPLAY)
    disturbances = modelled if model_plant else system.disturbances if system else None
    safe, control = table_of(content, "safe_set"), table_of(content, "control")
    refuse_unknown(safe, [s.name for s in outputs], "[safe_set]")
    u_start = start_of(control.pop("u_start", None), inputs)
    names = [f.name for f in dataclasses.fields(ControlProblem) if f.name != "observer"]
    refuse_unknown(control, names, "[control]")
    problem: ControlProblem = noun(ControlProblem, control, "[control]")
    policy: Policy = tables.options(Policy, content, "release")
    law, loop = (
        tables.loop_options(table_of(content, "verify_loop"), disturbances)
        if "verify_loop" in content
        else (None, LoopVerifyOptions())
    )
    # what the gate asks is trained in
    training = {"conditions": list(policy.conditions), **table_of(content, "train")}
    return Design(
        folder=folder,
        name=noun(str, content.get("name", folder.resolve().name), "name"),
        plant=plant,
        inputs=inputs,
        outputs=outputs,
        experiment=tables.options(Experiment, content, "experiment"),
        data=tables.options(DataOptions, content, "data"),
        train=tables.options(TrainingOptions, {"train": training}, "train"),
        search=tables.options(SearchOptions, content, "search"),
        safe_set=tuple(tables.interval(safe.get(s.name, [s.low, s.high]), s) for s in outputs),
        verify=tables.options(VerifyOptions, content, "verify"),
        release=policy,
        control=dataclasses.replace(
            problem, observer=tables.observer(table_of(content, "observer"))
        ),
        solver=tables.options(SolverOptions, content, "solver"),
        u_start=u_start,
        scenarios=tuple(
            tables.scenario(row, disturbances) for row in tables_of(content, "scenario")
        ),
        foreign=tables.options(ImportOptions, content, "import"),
        log=tables.options(LogOptions, content, "log"),
        report=tables.options(ReportOptions, content, "report"),
        loop_law=law,
        verify_loop=loop,
        model_plant=model_plant,
    )
