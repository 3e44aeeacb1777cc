"""From logs and experiments to a `Dataset`.

Excitation (`Mprs`, `Steps`), records (`Record`) and their `Scaling`; raw logs
are read (`read_log`), prepared (`prepare_log`) and looked at (`look`).
"""

from typing import TYPE_CHECKING

from lstm_mpc.io.lazy_names import lazy_names

if TYPE_CHECKING:
    from lstm_mpc.data.csv_file import read_csv as read_csv, write_csv as write_csv
    from lstm_mpc.data.dataset import Dataset as Dataset, Record as Record, thin as thin
    from lstm_mpc.data.excitation import (
        Mprs as Mprs,
        Steps as Steps,
        own_signal as own_signal,
        record as record,
    )
    from lstm_mpc.data.fit import Fit as Fit, fit_index as fit_index
    from lstm_mpc.data.log_options import LogOptions as LogOptions
    from lstm_mpc.data.log_preparation import prepare_log as prepare_log, read_log as read_log
    from lstm_mpc.data.look.inspection import Inspection as Inspection
    from lstm_mpc.data.scaling import Scaling as Scaling, scale as scale

__getattr__, __dir__, __all__ = lazy_names(__name__)
