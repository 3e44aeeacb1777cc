"""lstm_mpc: LSTM models whose stability is a theorem, from data to a cleared controller and C code.

System → Dataset → Model → Certificate → Verification → Release → MPC → Cleared → C / FMU

Names are loaded when they are first asked for, so that the import is light.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

from lstm_mpc.io.lazy_names import lazy_names

if TYPE_CHECKING:
    from lstm_mpc.assurance.clearance import Cleared as Cleared, clear as clear
    from lstm_mpc.assurance.loop_law import LoopLaw as LoopLaw
    from lstm_mpc.assurance.loop_proof import LoopProof as LoopProof
    from lstm_mpc.assurance.loop_verification import (
        LoopVerifyOptions as LoopVerifyOptions,
        replay_loop as replay_loop,
        verify_loop as verify_loop,
    )
    from lstm_mpc.assurance.mpc import MPC as MPC, prove_loop as prove_loop
    from lstm_mpc.certificates.certification import certify as certify
    from lstm_mpc.certificates.evidence import (
        Bound as Bound,
        Certificate as Certificate,
        LoopVerification as LoopVerification,
        Tube as Tube,
        Tubes as Tubes,
        Validation as Validation,
        Verification as Verification,
    )
    from lstm_mpc.certificates.gate import Release as Release, release as release
    from lstm_mpc.certificates.policy import Policy as Policy
    from lstm_mpc.certificates.reachability import reach as reach
    from lstm_mpc.certificates.scenarios import (
        VerifyOptions as VerifyOptions,
        scenario_count as scenario_count,
        verify as verify,
    )
    from lstm_mpc.codegen.controller_spec import ControllerSpec as ControllerSpec
    from lstm_mpc.control.controller import ControlAction as ControlAction, Status as Status
    from lstm_mpc.control.engines.sqp import SolverOptions as SolverOptions
    from lstm_mpc.control.loop_metrics import metrics as metrics
    from lstm_mpc.control.observers.options import (
        GatedTuning as GatedTuning,
        KalmanTuning as KalmanTuning,
        MheTuning as MheTuning,
    )
    from lstm_mpc.control.problem import ControlProblem as ControlProblem
    from lstm_mpc.control.scenario import Scenario as Scenario
    from lstm_mpc.control.simulation import Run as Run, simulate_closed_loop as simulate_closed_loop
    from lstm_mpc.data.csv_file import read_csv as read_csv, write_csv as write_csv
    from lstm_mpc.data.dataset import Dataset as Dataset, Record as Record, thin as thin
    from lstm_mpc.data.excitation import (
        Mprs as Mprs,
        Steps as Steps,
        own_signal as own_signal,
        record as record,
    )
    from lstm_mpc.data.fit import Fit as Fit, fit_index as fit_index
    from lstm_mpc.data.scaling import Scaling as Scaling, scale as scale
    from lstm_mpc.directory import Project as Project
    from lstm_mpc.errors import (
        DataError as DataError,
        InputError as InputError,
        LstmMpcError as LstmMpcError,
        Refused as Refused,
        SolverError as SolverError,
    )
    from lstm_mpc.identification.continuation import train as train
    from lstm_mpc.identification.multistart import (
        Identification as Identification,
        identify as identify,
    )
    from lstm_mpc.identification.options import TrainingOptions as TrainingOptions
    from lstm_mpc.identification.starts import (
        SearchOptions as SearchOptions,
        TrainingCandidate as TrainingCandidate,
    )
    from lstm_mpc.identification.training import Outcome as Outcome
    from lstm_mpc.identification.validation import (
        Score as Score,
        score as score,
        validate as validate,
    )
    from lstm_mpc.model.data_fit import estimate_start as estimate_start, record_fits as record_fits
    from lstm_mpc.model.importers.import_file import import_model as import_model
    from lstm_mpc.model.lstm import Layer as Layer, Network as Network
    from lstm_mpc.model.model import Model as Model
    from lstm_mpc.plants.batch import simulate_batch as simulate_batch
    from lstm_mpc.plants.fmu import from_fmu as from_fmu
    from lstm_mpc.plants.python_function import from_python as from_python
    from lstm_mpc.plants.system import (
        Signal as Signal,
        System as System,
        Trajectory as Trajectory,
        simulate as simulate,
    )

__version__ = version("lstm_mpc")
__getattr__, __dir__, __all__ = lazy_names(__name__)
