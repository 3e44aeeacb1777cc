"""lstm_mpc: LSTM models whose stability is a theorem, from data to a released controller model and C code.

System → Dataset → Model → Certificate → Verification → Release → Controller → C
"""

from lstm_mpc.csv_file import read_csv, write_csv
from lstm_mpc.data import Dataset, Fit, Record, Scaling, fit_index, record, scale
from lstm_mpc.errors import DataError, InputError, LstmMpcError, Refused, SolverError
from lstm_mpc.evidence import Bound, Certificate, Validation, Verification
from lstm_mpc.excitation import Mprs, Steps, own_signal
from lstm_mpc.foreign.adopt import import_model
from lstm_mpc.identify import Identification, identify, validation_of
from lstm_mpc.lstm import Layer, Network
from lstm_mpc.model import Model, estimate_start, validate
from lstm_mpc.proof import certify
from lstm_mpc.release import Policy, Release, release
from lstm_mpc.scenario import scenario_count, verify
from lstm_mpc.system import Signal, System, Trajectory, simulate, simulate_batch
from lstm_mpc.training import Outcome, Settings, train

__version__ = "0.1.0"

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
    "Record",
    "Refused",
    "Release",
    "Scaling",
    "Settings",
    "Signal",
    "SolverError",
    "Steps",
    "System",
    "Trajectory",
    "Validation",
    "Verification",
    "certify",
    "estimate_start",
    "fit_index",
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
