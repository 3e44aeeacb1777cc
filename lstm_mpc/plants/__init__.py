"""What is controlled: a `System`, χ⁺ = f(χ, u, d), y = g(χ), with its signals.

The pH plant and the quadruple tank come along; `from_python` and `from_fmu` bring your own;
`simulate` gives a `Trajectory`.
"""

from typing import TYPE_CHECKING

from lstm_mpc.io.lazy_names import lazy_names

if TYPE_CHECKING:
    from lstm_mpc.plants.batch import simulate_batch as simulate_batch
    from lstm_mpc.plants.fmu import from_fmu as from_fmu
    from lstm_mpc.plants.python_function import from_python as from_python
    from lstm_mpc.plants.system import (
        Signal as Signal,
        System as System,
        Trajectory as Trajectory,
        simulate as simulate,
    )

__getattr__, __dir__, __all__ = lazy_names(__name__)
