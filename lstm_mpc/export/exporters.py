"""Every exporter as a `Target`; importing this file registers them."""

from lstm_mpc.codegen import c_model
from lstm_mpc.export import controller_folder, onnx_model, simulink_arduino
from lstm_mpc.export.fmu import archive
from lstm_mpc.io.targets import CONTROLLER, MODEL, Export, Target, register

register(
    Target(
        "c",
        MODEL,
        c_model.KIND,
        lambda release, order: Export(c_model.c_model(release)),
        "C model: {files} → {folder}; `make -C {folder} test` checks it",
        c_model.PRODUCTS,
    )
)
register(
    Target(
        "controller",
        CONTROLLER,
        controller_folder.KIND,
        lambda cleared, order: controller_folder.bundle(
            cleared, u_start=order.u_start, on_progress=order.on_progress
        ),
        "C controller: {files} → {folder}; `make -C {folder} test` checks it",
        controller_folder.PRODUCTS,
    )
)
register(
    Target(
        "onnx",
        MODEL,
        onnx_model.KIND,
        lambda release, order: Export(onnx_model.onnx_model(release)),
        "ONNX model: {files} → {folder}; its LSTM nodes are in single precision",
    )
)
register(
    Target(
        "fmu",
        CONTROLLER,
        archive.KIND,
        lambda cleared, order: Export(
            archive.fmu_folder(cleared, u_start=order.u_start, on_progress=order.on_progress)
        ),
        "FMUs: {files} → {folder}",
    )
)
register(
    Target(
        "simulink",
        CONTROLLER,
        simulink_arduino.SIMULINK,
        lambda cleared, order: Export(
            simulink_arduino.simulink_folder(cleared, u_start=order.u_start)
        ),
        "Simulink S-function: {files} → {folder}",
        simulink_arduino.PRODUCTS,
    )
)
register(
    Target(
        "arduino",
        CONTROLLER,
        simulink_arduino.ARDUINO,
        lambda cleared, order: Export(
            simulink_arduino.arduino_folder(cleared, u_start=order.u_start)
        ),
        "Arduino and PlatformIO library: {files} → {folder}",
    )
)
