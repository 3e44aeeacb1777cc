"""The model and the controller as C, and the same C called in this process.

A `ControllerSpec` binds release, problem and options; `Compiled` is its C as a controller, a
`ControllerBatch` very many at once.
"""

from typing import TYPE_CHECKING

from lstm_mpc.io.lazy_names import lazy_names

if TYPE_CHECKING:
    from lstm_mpc.codegen.controller_spec import ControllerSpec as ControllerSpec
    from lstm_mpc.codegen.sil import Compiled as Compiled, ControllerBatch as ControllerBatch

__getattr__, __dir__, __all__ = lazy_names(__name__)
