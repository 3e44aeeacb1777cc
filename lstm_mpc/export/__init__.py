"""Released models and cleared controllers for elsewhere.

C, ONNX, FMU, Simulink, Arduino, and processors in the loop (`replay`).
Every exporter is a `Target`; `Release.export`, `Cleared.export` and the command line take them by
name.
"""

from typing import TYPE_CHECKING

from lstm_mpc.io.lazy_names import lazy_names

if TYPE_CHECKING:
    from lstm_mpc.export.pil import replay as replay
    from lstm_mpc.export.pil_frames import (
        CORES as CORES,
        Frames as Frames,
        Replay as Replay,
        differences as differences,
    )

__getattr__, __dir__, __all__ = lazy_names(__name__)
