"""Control with a released model: problem, engines, observers, faults.

A `ControlProblem` says what is minimised; a `Controller` answers each sample with a
`ControlAction`; `simulate_closed_loop` makes a `Run` of a `Scenario`.
"""

from typing import TYPE_CHECKING

from lstm_mpc.io.lazy_names import lazy_names

if TYPE_CHECKING:
    from lstm_mpc.control.controller import (
        ControlAction as ControlAction,
        Controller as Controller,
        Status as Status,
    )
    from lstm_mpc.control.engines.sqp import SolverOptions as SolverOptions
    from lstm_mpc.control.faults import Fault as Fault
    from lstm_mpc.control.loop_metrics import metrics as metrics
    from lstm_mpc.control.observers.model_alarm import ModelAlarm as ModelAlarm
    from lstm_mpc.control.observers.options import (
        GatedTuning as GatedTuning,
        KalmanTuning as KalmanTuning,
        MheTuning as MheTuning,
    )
    from lstm_mpc.control.problem import ControlProblem as ControlProblem
    from lstm_mpc.control.scenario import Scenario as Scenario
    from lstm_mpc.control.simulation import Run as Run, simulate_closed_loop as simulate_closed_loop

__getattr__, __dir__, __all__ = lazy_names(__name__)
