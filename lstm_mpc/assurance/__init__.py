"""What may be claimed of the loop.

`prove_loop` proves that the cost of a closed loop falls, where the problem has a terminal cost;
`verify_loop` runs the exported C through scenarios drawn by a `LoopLaw`; an `MPC` whose evidence
the gate accepts becomes `Cleared`.
"""

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
    from lstm_mpc.assurance.model_plant import ModelPlant as ModelPlant
    from lstm_mpc.assurance.mpc import MPC as MPC, prove_loop as prove_loop

__getattr__, __dir__, __all__ = lazy_names(__name__)
