"""From a release to the closed loop on an emulated board: export the controller, close the loop
with its C on the plant, repeat it on a Cortex-M4F in QEMU.

The board answers every measurement of the loop with the very bits of the C that closed it here. So
the loop with the board in it is this loop, sample by sample, and its pH is the pH below.

Needs gcc, make, gcc-arm-none-eabi and qemu-system-arm; run from anywhere: `python
examples/embedded/board.py`."""

from pathlib import Path

import numpy as np

from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.certificates.evidence import LoopVerification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.control.loop_metrics import metrics
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.export import differences, replay
from lstm_mpc.export.pil_frames import Frames, Run
from lstm_mpc.project.design import load_design

design = load_design(Path(__file__).resolve().parents[2] / "models" / "ph")
released = Release.load(design.file("release.json"))  # passes the gate again

# 1. Export: the C is compiled and self-tested before a file is written.
loop = LoopVerification.load(design.file("loop-verification.json"))
cleared = MPC(released, design.control, "c", design.solver).clear(loop=loop)
written = cleared.export("controller", u_start=design.u_start)
print(f"controller/: {', '.join(written.files)}")
print(
    f"self-test: {written.facts['agreement']['float']['to_python']:.1e} of the input range to the"
    " twin in Python"
)

# 2. Software in the loop: the same C, compiled here, controls the plant.
scenario, mpc = design.scenarios[0], MPC.of(cleared.spec, "c")
run = simulate_closed_loop(design.system, mpc, scenario, u_start=design.u_start)
figures = metrics(run, band=0.1)  # [pH]
print(f"{scenario.name}: IAE {figures['iae']:.1f} pH·s, largest offset {figures['offset']:.4f} pH")

# 3. Processor in the loop: the board meets the same measurements and must answer with the same
# bits.
frames = Frames((Run(run.y[0], run.u_start, run.y, run.ahead),))
board, here = replay(cleared, frames, core="cortex-m4f"), replay(cleared, frames)
assert differences(here, board) is None
assert np.array_equal(board.u, run.u.astype(np.float32))

counts = board.instructions.sum(axis=1)
ram = board.struct_bytes["state"] + board.struct_bytes["work"] + board.stack_bytes
print(
    f"Cortex-M4F: {len(counts)} samples equal in every bit; {counts.mean():.0f} instructions a"
    f" sample, at most {counts.max()}"
)
print(f"flash {board.sizes.code + board.sizes.constants} bytes, RAM with stack {ram} bytes")

u = np.vstack([run.u_start, board.u])
assert np.abs(np.diff(u, axis=0)).max() <= 1.0 + 1e-6, "the rate limit of the design"
assert figures["offset"] < 0.05
assert counts.max() < 1_100_000
assert ram < 6000
