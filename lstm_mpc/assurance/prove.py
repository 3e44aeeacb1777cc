"""The proof of the loop of a controller, under whatever engine it runs."""

from __future__ import annotations

from lstm_mpc.assurance.loop_proof import LoopProof, prove
from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.codegen.controller_spec import ControllerSpec


def prove_loop(mpc: MPC | ControllerSpec) -> LoopProof:
    """Prove that the cost of a closed loop falls by what each sample costs.

    Args:
        mpc: The controller, of a problem with `terminal = true`; its engine plays no part.

    Returns:
        The proof, decided in outward-rounded arithmetic on the numbers that it holds.

    Raises:
        Refused: The release in it does not pass its gate.
        InputError: The problem has no terminal cost, or none can be proved; with the reason.
    """
    return prove(mpc.spec if isinstance(mpc, MPC) else mpc)
