"""lstm_mpc: LSTM models whose stability is a theorem, from data to a released controller model and
C code.

System → Dataset → Model → Certificate → Verification → Release → Controller → C
"""

from typing import TYPE_CHECKING, Any

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.evidence import Bound, Certificate, Validation, Verification
from lstm_mpc.certificates.gate import Release, release
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.certificates.scenarios import scenario_count, verify
from lstm_mpc.data.csv_file import read_csv, write_csv
from lstm_mpc.data.dataset import Dataset, Fit, Record, Scaling, fit_index, record, scale
from lstm_mpc.data.excitation import Mprs, Steps, own_signal
from lstm_mpc.errors import DataError, InputError, LstmMpcError, Refused, SolverError
from lstm_mpc.identification.continuation import train
from lstm_mpc.identification.multistart import Identification, identify, validation_of
from lstm_mpc.identification.training import Outcome, TrainingOptions
from lstm_mpc.io.artefact_file import VERSION
from lstm_mpc.model.importers.import_file import import_model
from lstm_mpc.model.lstm import Layer, Network
from lstm_mpc.model.model import Model, estimate_start, validate
from lstm_mpc.plants.fmu import from_fmu
from lstm_mpc.plants.python_function import from_python
from lstm_mpc.plants.system import Signal, System, Trajectory, simulate, simulate_batch

if TYPE_CHECKING:
    from lstm_mpc.directory import Project

__version__ = VERSION

__all__ = [
    "Bound",
    "Certificate",
    "DataError",
    "Dataset",
    "Fit",
    "Identification",
    "InputError",
    "Layer",
    "LstmMpcError",
    "Model",
    "Mprs",
    "Network",
    "Outcome",
    "Policy",
    "Project",
    "Record",
    "Refused",
    "Release",
    "Scaling",
    "Signal",
    "SolverError",
    "Steps",
    "System",
    "TrainingOptions",
    "Trajectory",
    "Validation",
    "Verification",
    "certify",
    "estimate_start",
    "fit_index",
    "from_fmu",
    "from_python",
    "identify",
    "import_model",
    "own_signal",
    "read_csv",
    "record",
    "release",
    "scale",
    "scenario_count",
    "simulate",
    "simulate_batch",
    "train",
    "validate",
    "validation_of",
    "verify",
    "write_csv",
]


def __getattr__(name: str) -> Any:
    """What needs every room is loaded when it is first asked for."""
    if name == "Project":
        from lstm_mpc.directory import Project

        return Project
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
