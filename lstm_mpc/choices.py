"""What the command line lets one choose from; apart, so that its help needs no import of what makes it."""

ENGINES = ("dompc", "sqp", "c", "c-double")
TARGETS = ("c", "controller", "onnx", "fmu", "simulink", "arduino")
OF_THE_MODEL = ("c", "onnx")  # targets without a controller
CORES = ("cortex-m3", "cortex-m4f", "cortex-m7", "cortex-m55")
SHELLS = ("bash", "zsh", "fish")
CONDITIONS = (
    "iss",
    "weighted_iss",
    "delta_iss",
    "weighted_iss_1",
    "weighted_iss_2",
    "weighted_iss_inf",
    "delta_iss_1",
    "delta_iss_2",
    "delta_iss_inf",
)
RESAMPLING = ("auto", "none", "mean", "linear", "hold")
PARTS = ("auto", "end", "start", "middle")  # of a log, kept for validation
