"""Scenarios of the loop's verification again, alone, held against what the evidence says of
them."""

from __future__ import annotations

from dataclasses import dataclass

from lstm_mpc.assurance import loop_verification
from lstm_mpc.assurance.loop_law import LoopLaw
from lstm_mpc.assurance.loop_verification import LoopVerifyOptions
from lstm_mpc.assurance.loops.experiment import reach_of, same_reach
from lstm_mpc.certificates.evidence import LoopVerification
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.control.simulation import Run
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.plants.system import System
from lstm_mpc.project import judged
from lstm_mpc.project.artefacts import ASSURANCE
from lstm_mpc.project.design import Design
from lstm_mpc.project.steps.loop_steps import loop_law


@dataclass(frozen=True)
class Replay:
    """One scenario of a loop verification in full; `evidence` is the verification that lies in the
    directory, where there is one."""

    index: int
    run: Run
    plant: System
    safe_set: tuple[tuple[float, float], ...]
    evidence: LoopVerification | None

    @property
    def reach(self) -> float:
        """The share of the safe set that the run needs."""
        return reach_of(self.run, self.safe_set)


def replay(design: Design, index: int) -> Replay:
    """One scenario of the loop verification again, in full. The law is that of the evidence, where
    there is some.

    Args:
        design: plant, law and controller.
        index: the number of the scenario.

    Returns:
        The run, and the evidence to compare it with.

    Raises:
        InputError: there is no usable release, no plant or no law, or no such scenario.
    """
    law, how = loop_law(design), design.verify_loop
    evidence = judged.loop_record(design, "verify-loop")
    passed = judged.passed(design, "verify-loop")
    if evidence is not None and index >= evidence.scenarios:
        raise InputError(
            f"verify-loop: there is no scenario {index}; {design.file(ASSURANCE)} holds"
            f" {evidence.scenarios}, numbered from 0 to {evidence.scenarios - 1}"
        )
    if evidence is not None:
        law, how = LoopLaw.from_description(evidence.law), LoopVerifyOptions.of(evidence)
    spec, plant = ControllerSpec(passed, design.control, design.solver), design.plant_of(law)
    run = loop_verification.replay_loop(spec, plant, law, how, index=index)
    if evidence is not None and index == evidence.worst and spec.controller == evidence.controller:
        _refuse_other(design, "verify-loop", evidence, index, run)
    return Replay(index, run, plant, passed.safe_set, evidence)


def refuse_other_worst(
    design: Design, spec: ControllerSpec, loop: LoopVerification, engine: str = "c"
) -> None:
    """`Refused` where the worst closed loop of a verification, run again under an engine, does not
    do what the record says."""
    law, how = LoopLaw.from_description(loop.law), LoopVerifyOptions.of(loop)
    index = min(max(loop.worst, 0), loop.scenarios - 1)
    plant = design.plant_of(law)
    run = loop_verification.replay_loop(spec, plant, law, how, index=index, engine=engine)
    _refuse_other(design, "export", loop, index, run)


def _refuse_other(design: Design, verb: str, loop: LoopVerification, index: int, run: Run) -> None:
    """`Refused` where a run is not what the evidence says of its worst scenario."""
    reach = reach_of(run, loop.safe_set)
    if index != loop.worst or not same_reach(reach, loop.reach):
        raise Refused(
            verb,
            [
                f"{design.file(ASSURANCE)} says that scenario {loop.worst} needs {loop.reach:.3f}"
                f" of the safe set; run again, number {index} needs {reach:.3f};"
                f" {judged.command(design, 'verify-loop')} judges anew"
            ],
        )
