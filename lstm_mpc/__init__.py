"""lstm_mpc: LSTM models whose stability is a theorem, from data to a cleared controller and C code.

System → Dataset → Model → Certificate → Verification → Release → MPC → Cleared → C / FMU

Names are loaded when they are first asked for, so that the import is light.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_mpc.assurance.clearance import Cleared, clear
    from lstm_mpc.assurance.loop_law import LoopLaw
    from lstm_mpc.assurance.loop_verification import LoopVerifyOptions, replay_loop, verify_loop
    from lstm_mpc.assurance.mpc import MPC
    from lstm_mpc.certificates.certification import certify
    from lstm_mpc.certificates.evidence import (
        Bound,
        Certificate,
        LoopVerification,
        Tube,
        Tubes,
        Validation,
        Verification,
    )
    from lstm_mpc.certificates.gate import Release, release
    from lstm_mpc.certificates.policy import Policy
    from lstm_mpc.certificates.reachability import reach
    from lstm_mpc.certificates.scenarios import VerifyOptions, scenario_count, verify
    from lstm_mpc.codegen.controller_spec import ControllerSpec
    from lstm_mpc.control.controller import ControlAction, Status
    from lstm_mpc.control.engines.sqp import SolverOptions
    from lstm_mpc.control.problem import ControlProblem, GatedTuning, KalmanTuning, MheTuning
    from lstm_mpc.control.simulation import Run, Scenario, metrics, simulate_closed_loop
    from lstm_mpc.data.csv_file import read_csv, write_csv
    from lstm_mpc.data.dataset import Dataset, Fit, Record, Scaling, fit_index, record, scale, thin
    from lstm_mpc.data.excitation import Mprs, Steps, own_signal
    from lstm_mpc.directory import Project
    from lstm_mpc.errors import DataError, InputError, LstmMpcError, Refused, SolverError
    from lstm_mpc.identification.continuation import train
    from lstm_mpc.identification.multistart import Identification, SearchOptions, identify
    from lstm_mpc.identification.training import Outcome, TrainingOptions
    from lstm_mpc.identification.validation import Score, score, validate
    from lstm_mpc.model.importers.import_file import import_model
    from lstm_mpc.model.lstm import Layer, Network
    from lstm_mpc.model.model import Model, estimate_start, record_fits
    from lstm_mpc.plants.fmu import from_fmu
    from lstm_mpc.plants.python_function import from_python
    from lstm_mpc.plants.system import Signal, System, Trajectory, simulate, simulate_batch

__version__ = version("lstm_mpc")
_FACE = {
    "Bound": "certificates.evidence",
    "Certificate": "certificates.evidence",
    "Cleared": "assurance.clearance",
    "ControlAction": "control.controller",
    "ControlProblem": "control.problem",
    "ControllerSpec": "codegen.controller_spec",
    "DataError": "errors",
    "Dataset": "data.dataset",
    "Fit": "data.dataset",
    "GatedTuning": "control.problem",
    "Identification": "identification.multistart",
    "InputError": "errors",
    "KalmanTuning": "control.problem",
    "Layer": "model.lstm",
    "LoopLaw": "assurance.loop_law",
    "LoopVerification": "certificates.evidence",
    "LoopVerifyOptions": "assurance.loop_verification",
    "LstmMpcError": "errors",
    "MPC": "assurance.mpc",
    "MheTuning": "control.problem",
    "Model": "model.model",
    "Mprs": "data.excitation",
    "Network": "model.lstm",
    "Outcome": "identification.training",
    "Policy": "certificates.policy",
    "Project": "directory",
    "Record": "data.dataset",
    "Refused": "errors",
    "Release": "certificates.gate",
    "Run": "control.simulation",
    "Scaling": "data.dataset",
    "Scenario": "control.simulation",
    "Score": "identification.validation",
    "SearchOptions": "identification.multistart",
    "Signal": "plants.system",
    "SolverError": "errors",
    "SolverOptions": "control.engines.sqp",
    "Status": "control.controller",
    "Steps": "data.excitation",
    "System": "plants.system",
    "TrainingOptions": "identification.training",
    "Trajectory": "plants.system",
    "Tube": "certificates.evidence",
    "Tubes": "certificates.evidence",
    "Validation": "certificates.evidence",
    "Verification": "certificates.evidence",
    "VerifyOptions": "certificates.scenarios",
    "certify": "certificates.certification",
    "clear": "assurance.clearance",
    "estimate_start": "model.model",
    "fit_index": "data.dataset",
    "from_fmu": "plants.fmu",
    "from_python": "plants.python_function",
    "identify": "identification.multistart",
    "import_model": "model.importers.import_file",
    "metrics": "control.simulation",
    "own_signal": "data.excitation",
    "reach": "certificates.reachability",
    "read_csv": "data.csv_file",
    "record": "data.dataset",
    "record_fits": "model.model",
    "release": "certificates.gate",
    "replay_loop": "assurance.loop_verification",
    "scale": "data.dataset",
    "scenario_count": "certificates.scenarios",
    "score": "identification.validation",
    "simulate": "plants.system",
    "simulate_batch": "plants.system",
    "simulate_closed_loop": "control.simulation",
    "thin": "data.dataset",
    "train": "identification.continuation",
    "validate": "identification.validation",
    "verify": "certificates.scenarios",
    "verify_loop": "assurance.loop_verification",
    "write_csv": "data.csv_file",
}

__all__ = [
    "MPC",
    "Bound",
    "Certificate",
    "Cleared",
    "ControlAction",
    "ControlProblem",
    "ControllerSpec",
    "DataError",
    "Dataset",
    "Fit",
    "GatedTuning",
    "Identification",
    "InputError",
    "KalmanTuning",
    "Layer",
    "LoopLaw",
    "LoopVerification",
    "LoopVerifyOptions",
    "LstmMpcError",
    "MheTuning",
    "Model",
    "Mprs",
    "Network",
    "Outcome",
    "Policy",
    "Project",
    "Record",
    "Refused",
    "Release",
    "Run",
    "Scaling",
    "Scenario",
    "Score",
    "SearchOptions",
    "Signal",
    "SolverError",
    "SolverOptions",
    "Status",
    "Steps",
    "System",
    "TrainingOptions",
    "Trajectory",
    "Tube",
    "Tubes",
    "Validation",
    "Verification",
    "VerifyOptions",
    "certify",
    "clear",
    "estimate_start",
    "fit_index",
    "from_fmu",
    "from_python",
    "identify",
    "import_model",
    "metrics",
    "own_signal",
    "reach",
    "read_csv",
    "record",
    "record_fits",
    "release",
    "replay_loop",
    "scale",
    "scenario_count",
    "score",
    "simulate",
    "simulate_batch",
    "simulate_closed_loop",
    "thin",
    "train",
    "validate",
    "verify",
    "verify_loop",
    "write_csv",
]


def __getattr__(name: str) -> Any:
    """A name of the face, from the file that holds it."""
    if name not in _FACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_FACE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
