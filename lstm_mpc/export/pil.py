"""Processor in the loop: a cleared controller replays frames on this computer and on emulated
cores, compared to the bit."""

from __future__ import annotations

import tempfile

from lstm_mpc.assurance.clearance import Cleared, checked_clearance
from lstm_mpc.export.pil_bench import run_on_core, run_on_host
from lstm_mpc.export.pil_frames import Frames, Replay
from lstm_mpc.io.export_folder import write_sources


def replay(
    cleared: Cleared,
    frames: Frames,
    *,
    core: str = "host",
    double: bool = False,
    timeout: float = 60.0,
) -> Replay:
    """Answers of a controller on a processor.

    Args:
        cleared: The controller.
        frames: What it measures and is asked for, sample by sample.
        core: "host", this computer, or a core of `CORES`, emulated by QEMU.
        double: In double instead of single precision.
        timeout: [s] After which it is taken to hang.

    Returns:
        Inputs and status of every sample; of an emulated core sizes and instruction counts too.

    Raises:
        Refused: What `cleared` holds does not pass its gate.
        InputError: A tool is missing, the compiler's first error, a fault, or the time is over.
    """
    spec = checked_clearance(cleared).spec
    with tempfile.TemporaryDirectory() as folder:
        write_sources(folder, spec.sources)
        if core == "host":
            return run_on_host(folder, spec.name, frames, double=double, timeout=timeout)
        return run_on_core(folder, spec.name, frames, core=core, double=double, timeout=timeout)
