"""What a released controller is handed over as: a folder of C, FMU, Simulink, Arduino, ONNX; and
the proof on emulated cores."""
