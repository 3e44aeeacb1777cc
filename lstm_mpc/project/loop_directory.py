"""The steps of a design directory that close loops around its release: each returns its noun and
writes its artefact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lstm_mpc.plots as plots
from lstm_mpc.assurance.loop_proof import LoopProof
from lstm_mpc.certificates.evidence import LoopVerification
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.run_log import RunLog, write_log
from lstm_mpc.errors import SolverError
from lstm_mpc.project import artefacts, campaign_log
from lstm_mpc.project.design import load_design
from lstm_mpc.project.directory import Directory
from lstm_mpc.project.operation.history import FILE, columns
from lstm_mpc.project.operation.opcua.plant_server import ServerOptions
from lstm_mpc.project.operation.page.options import PageOptions
from lstm_mpc.project.steps import loop_steps, operate_steps, replay_steps, tune_steps
from lstm_mpc.project.steps.loop_steps import ClosedLoops
from lstm_mpc.project.steps.operate_steps import Operated
from lstm_mpc.project.steps.replay_steps import Replay


@dataclass(frozen=True)
class LoopDirectory(Directory):
    """A design directory as far as its loops, simulated and beside a plant; `Project` goes on."""

    def tune_observer(self, disturbance: str = "input") -> KalmanTuning:
        """The Kalman filter's numbers from the validation data; nothing is written.

        Args:
            disturbance: Where it acts, at the "input" or at the "output".

        Returns:
            The tuning in engineering units, for `[observer]` of the design.

        Raises:
            InputError: There is no usable model.json, or there are no validation data.
        """
        return loop_steps.tune_observer(self.design, self.options, disturbance=disturbance)

    def tune(
        self,
        *,
        port: int = 8470,
        ready: Callable[[str], None] = print,
        on_write: Callable[[list[str]], None] = lambda lines: None,
    ) -> list[list[str]]:
        """A page on which the numbers of the controller are tried → design.toml.

        It is served to this machine only, until Ctrl-C.

        Args:
            port: Where it listens.
            ready: Hears the address, with the token that opens it.
            on_write: Hears every change of design.toml, line by line.

        Returns:
            The changes that were written.

        Raises:
            InputError: There is no usable release, or the address is taken.
        """
        return tune_steps.tune(self.design, port=port, ready=ready, on_write=on_write)

    def control(
        self,
        engine: str = "dompc",
        *,
        log: RunLog | None = None,
    ) -> ClosedLoops:
        """Closed loops under an engine, one per scenario → closed-loop.json.

        Args:
            engine: As for `MPC`.
            log: Where and how a log of the runs is written; by default none is.

        Returns:
            The runs, with their plants and figures.

        Raises:
            InputError: The artefact is there and may not be replaced, or there is no usable
                release, no plant or no scenario.
        """
        self._refuse(artefacts.LOOP)
        if log:
            artefacts.refuse_overwrite(log.path, self.options)
        design = self.design
        loops = loop_steps.control(design, self.options, engine=engine)
        campaign_log.log_campaign(design, loops.campaign)
        self._write(artefacts.LOOP, loops.save)
        for run, plant in zip(loops.runs, loops.plants, strict=True):
            self._draw(f"loop-{run.scenario.name}", plots.plot_loop(run, plant))
        if log:
            write_log(log, loops.runs, loops.plants[-1])
        return loops

    def operate(
        self,
        others: Sequence[str | Path] = (),
        *,
        connection: Path | None = None,
        history: Path | None = None,
        speed: float = 1.0,
        page: PageOptions | None = None,
        on_event: Callable[[str, str, str], None] = lambda name, what, text: None,
        ready: Callable[[], None] = lambda: None,
    ) -> list[Operated]:
        """The cleared controller beside its plant, until Ctrl-C → history.db.

        Args:
            others: Directories of other designs that run in the same process.
            connection: Where the plant is; by default connection.toml of each design.
            history: What is kept of it; by default history.db of each design.
            speed: How many times faster than real the plants are simulated.
            page: Where the operator's page listens; by default there is none.
            on_event: Hears who did what, and more of it.
            ready: Called when every controller was cleared.

        Returns:
            What became of each.

        Raises:
            Refused: The gate of a controller says no.
            InputError: There is no usable release, or the plant is another one.
        """
        return operate_steps.operate_designs(
            [self.design, *map(load_design, others)],
            connection=connection,
            history=history,
            speed=speed,
            page=page,
            on_event=on_event,
            ready=ready,
        )

    def simulate(
        self,
        options: ServerOptions | None = None,
        *,
        scenario: str = "",
        ready: Callable[[str], None] = print,
    ) -> str:
        """The plant of the design as an OPC UA server, until Ctrl-C.

        Args:
            options: Where it listens and how fast it goes; by default on this machine, as fast as
                time.
            scenario: The name of a scenario of the design; by default the plant rests.
            ready: Hears the address.

        Returns:
            The address that it had.

        Raises:
            InputError: The design has no plant or no such scenario, or the address is taken.
        """
        options = options or ServerOptions()
        return operate_steps.simulate(self.design, options, scenario=scenario, ready=ready)

    def history(self, file: Path | None = None, table: str = "samples") -> dict[str, list[Any]]:
        """What a controller did beside its plant.

        Args:
            file: Where it was kept; by default history.db.
            table: "samples", "events" or "runs".

        Returns:
            The columns of the table by their names.

        Raises:
            InputError: There is no such history.
        """
        return columns(file or self.folder / FILE, table)

    def prove_loop(self) -> LoopProof:
        """The proof that the cost of the closed loop falls → loop-proof.json.

        Returns:
            The proof, with what it covers and what it claims.

        Raises:
            InputError: The artefact is there and may not be replaced, there is no usable release,
                or the problem has no terminal cost.
        """
        self._refuse(artefacts.PROOF)
        proof = loop_steps.prove_loop(self.design)
        self._write(artefacts.PROOF, proof.save)
        return proof

    def verify_loop(
        self,
        *,
        cluster: str | None = None,
        unprotected: bool = False,
        scenarios: int | None = None,
    ) -> LoopVerification:
        """Scenario verification of the exported C → loop-verification.json.

        A line of campaigns.jsonl says how it ended.

        Args:
            cluster: Scheduler of a Dask cluster that does the work (tls://host:port); by default
                the processes of the options do.
            unprotected: Whether that may be one without TLS on another machine.
            scenarios: So many only, to try it; fewer than ε and β need are no evidence.

        Returns:
            What may be claimed of the loop.

        Raises:
            InputError: The artefact is there and may not be replaced, or there is no usable
                release, no plant or no law.
            Refused: The release speaks of another design.
            SolverError: A plant leaves what its equations can describe, or a kept part does not
                hold what its scenarios do.
        """
        self._refuse(artefacts.ASSURANCE)
        design = self.design
        try:
            evidence = loop_steps.verify_loop(
                design,
                self.options,
                cluster=cluster,
                unprotected=unprotected,
                scenarios=scenarios,
            )
        except SolverError as error:
            campaign_log.log_campaign(design, loop_steps.lost_campaign(design, scenarios, error))
            raise
        evidence = campaign_log.logged(design, evidence)
        self._write(artefacts.ASSURANCE, evidence.save)
        return evidence

    def replay(self, index: int) -> Replay:
        """One scenario of the loop verification again, with its figure.

        Args:
            index: The number of the scenario, from 0.

        Returns:
            The run, its plant and the safe set.

        Raises:
            InputError: There is no usable release, no plant or no law, or no such scenario.
        """
        replay = replay_steps.replay(self.design, index)
        figure = plots.plot_loop(replay.run, replay.plant, safe_set=replay.safe_set)
        self._draw(f"loop-number-{index}", figure)
        return replay
