"""The identified `Model`: a `Network` of LSTM layers, scalings and signals.

It simulates and predicts; training asks CasADi or a `Kernel` in C for sensitivities;
`import_model` brings networks of others.
"""

from typing import TYPE_CHECKING

from lstm_mpc.io.lazy_names import lazy_names

if TYPE_CHECKING:
    from lstm_mpc.model.data_fit import estimate_start as estimate_start, record_fits as record_fits
    from lstm_mpc.model.importers.import_file import import_model as import_model
    from lstm_mpc.model.lstm import Layer as Layer, Network as Network
    from lstm_mpc.model.model import Model as Model

__getattr__, __dir__, __all__ = lazy_names(__name__)
