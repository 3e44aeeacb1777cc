"""A network that another framework trained, as a `Model`: with signals, scalings and a sampling
time it can be certified and released."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from lstm_mpc.data.scaling import Scaling
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.model.importers import onnx_file, weights
from lstm_mpc.model.importers.feedback import closed
from lstm_mpc.model.importers.gates import Foreign
from lstm_mpc.model.importers.keras_file import model as keras_file
from lstm_mpc.model.importers.onnx_graph import network as onnx_graph
from lstm_mpc.model.lstm import Network
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array, Signal

_REMEDIES = {
    **dict.fromkeys(
        (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"),
        "may hold code (a pickle) and is never opened; save the state_dict as .safetensors, or as"
        " .npz with numpy.savez",
    ),
}


_KINDS = (".onnx", ".keras", ".h5", ".hdf5", ".npz", ".safetensors")


@dataclass(frozen=True)
class ImportOptions:
    """`[import]`: how the network normalises its signals, normalised = (engineering − mid) / span,
    one number per signal.

    Inputs default to their actuator limits (mid and half the range fill [−1, 1]), outputs to mid 0
    and span 1, that is, to engineering units. `Ts` [s] is needed where neither a plant nor data
    give it.

    `feedback` closes a network that is fed with its own outputs: outputs of the design and the
    places, from 0, of the network's inputs that they go to. These are scaled as the outputs are,
    unless u_mid and u_span have one number for each input of the network."""

    u_mid: tuple[float, ...] = ()
    u_span: tuple[float, ...] = ()
    y_mid: tuple[float, ...] = ()
    y_span: tuple[float, ...] = ()
    Ts: float | None = None
    feedback: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.Ts is not None and not (self.Ts > 0 and isfinite(self.Ts)):
            raise InputError(f"[import] Ts must be a positive number of seconds, got {self.Ts}")


def read_foreign(path: str | Path) -> Foreign:
    """The network in a file of at most 64 MiB that another framework wrote; InputError names the
    file and why it cannot be used."""
    path = Path(path)
    try:
        return _read(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _read(path: Path) -> Foreign:
    kind = path.suffix.lower()
    if kind in _REMEDIES:
        raise InputError(_REMEDIES[kind])
    if kind not in _KINDS:
        raise InputError(
            f"a file {path.suffix or 'without suffix'!r} is not read; use {', '.join(_KINDS)}"
        )
    if kind == ".onnx":
        model, data = onnx_file.whole(path, weights.LIMIT)
        foreign = _from_onnx(model)
    else:
        data = artefact_file.read_bytes(path, limit=weights.LIMIT)
        if kind in (".keras", ".h5", ".hdf5"):
            foreign = keras_file.read(data, kind)
        else:
            read = weights.read_npz if kind == ".npz" else weights.read_safetensors
            foreign = weights.network_of(read(data), kind)
    return replace(foreign, sha256=hashlib.sha256(data).hexdigest())


def _from_onnx(data: bytes) -> Foreign:
    try:
        foreign = onnx_graph.network_of(onnx_file.parse(data))
    # attributes of a wrong kind or count, tensors of a wrong length
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"its nodes do not fit together ({error})") from error
    onnx_file.check(data, shapes=True)  # last, since our own reasons say more
    return foreign


def import_model(
    path: str | Path,
    *,
    inputs: Sequence[Signal],
    outputs: Sequence[Signal],
    Ts: float,
    choice: ImportOptions | None = None,
    name: str = "model",
) -> Model:
    """Read the model in a file of another framework.

    With the same start and inputs the foreign y_t is the model's y(k+1): other frameworks give the
    output after the step. So the file is represented exactly, and a network trained on pairs u(k),
    y(k+1) predicts the plant; one trained on pairs u(k), y(k) is a sample late. Scalings stand in
    the file (ONNX) or in `choice`, never in both.

    Args:
        path: The file.
        inputs: The inputs in the order of the network, with their actuator limits.
        outputs: The outputs in the order of the network.
        Ts: The sampling time [s].
        choice: What the file does not say; by default nothing is missing.
        name: Of the model.

    Returns:
        The model; its `origin` names file and digest.

    Raises:
        InputError: The file cannot be read, or something in it does not fit; says what.
    """
    path, choice = Path(path), choice or ImportOptions()
    foreign = read_foreign(path)
    try:
        if choice.feedback:
            foreign, choice = _fed_back(foreign, choice, [signal.name for signal in outputs])
        scaling, origin = _scaling(foreign, tuple(inputs), tuple(outputs), choice)
        record = {
            "imported": {
                "file": path.name,
                "kind": foreign.kind,
                "sha256": foreign.sha256,
                "scaling": origin,
                "notes": list(foreign.notes),
                **({"feedback": dict(choice.feedback)} if choice.feedback else {}),
            }
        }
        return Model(foreign.network, scaling, tuple(inputs), tuple(outputs), Ts, record, name)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def told(model: Model) -> tuple[str, ...]:
    """What is to be known about an imported model, in sentences."""
    origin, sizes = model.origin["imported"], model.sizes
    scaled = (
        f"scaling: inputs by {origin['scaling']['inputs']}, outputs by"
        f" {origin['scaling']['outputs']}"
    )
    return (
        (
            f"{origin['file']} ({origin['kind']}): {sizes.nu} input(s),"
            f" {' + '.join(map(str, sizes.nx))} cells, {sizes.ny} output(s)"
        ),
        (
            f"{scaled}; the actuator limits reach |u| ≤ {model.scaling.radius:.6g}; Ts ="
            f" {model.Ts:g} s"
        ),
        "the model's y(k+1) is the output that the other framework gives after sample k",
        *(f"note: {note}" for note in origin["notes"]),
    )


def _fed_back(
    foreign: Foreign, choice: ImportOptions, outputs: list[str]
) -> tuple[Foreign, ImportOptions]:
    """The network closed by `choice.feedback`, and what `choice` says of its other inputs."""
    nu, u_scale, y_scale = foreign.network.nu, foreign.u_scale, foreign.y_scale
    per_input = len(choice.u_mid) == len(choice.u_span) == nu
    if u_scale is None and per_input:
        u_scale = np.array(choice.u_mid), np.array(choice.u_span)
        rest = [j for j in range(nu) if j not in choice.feedback.values()]
        kept = (tuple(values[j] for j in rest) for values in (choice.u_mid, choice.u_span))
        choice = replace(choice, u_mid=next(kept), u_span=next(kept))
    if u_scale is None and y_scale is not None:
        raise InputError(
            f"scales its outputs and not its inputs; say how the inputs that outputs go to are"
            f" scaled: [import] u_mid and u_span with {nu} numbers each, one an input of the file"
        )
    if y_scale is None and len(choice.y_mid) == len(choice.y_span) == foreign.network.ny:
        y_scale = np.array(choice.y_mid), np.array(choice.y_span)
    if u_scale is not None and not (u_scale[1] > 0).all():
        raise InputError(f"[import] u_span = {u_scale[1].tolist()} must be positive")
    return closed(foreign, choice.feedback, outputs, u_scale, y_scale), choice


def _check_sizes(network: Network, inputs: Sequence[Signal], outputs: Sequence[Signal]) -> None:
    if (network.nu, network.ny) == (len(inputs), len(outputs)):
        return
    remedy = ""
    if len(inputs) < network.nu <= len(inputs) + network.ny and network.ny == len(outputs):
        remedy = (
            "; if some of its inputs are its own outputs (autoregressive), say which by [import]"
            f" feedback = {{ {outputs[0].name} = 0 }}: outputs and the places of the inputs that"
            " they go to, from 0"
            if len(network.layers) == 1
            else "; if some of its inputs are its own outputs (autoregressive), it is not supported"
            f" with its {len(network.layers)} LSTM layers: with one it is closed by [import]"
            " feedback"
        )
    raise InputError(
        f"the network has {network.nu} inputs and {network.ny} outputs, the design has"
        f" {len(inputs)} and {len(outputs)}{remedy}"
    )


def _scaling(
    foreign: Foreign, inputs: tuple[Signal, ...], outputs: tuple[Signal, ...], choice: ImportOptions
) -> tuple[Scaling, dict[str, str]]:
    """The scaling, its radius reaching to the actuator limits, and where it comes from."""
    _check_sizes(foreign.network, inputs, outputs)
    if open_ended := [s.name for s in inputs if not s.bounded]:
        raise InputError(
            f"input {open_ended[0]!r} has no actuator limits; the guarantees need low and high"
        )
    low, high = (np.array([getattr(s, side) for s in inputs]) for side in ("low", "high"))
    _inside(foreign.clip, inputs)
    limits = ((low + high) / 2, (high - low) / 2)
    plain = (np.zeros(len(outputs)), np.ones(len(outputs)))
    (u_mid, u_span), u_origin = _choose(
        "u", foreign.u_scale, (choice.u_mid, choice.u_span), limits, "actuator limits"
    )
    (y_mid, y_span), y_origin = _choose(
        "y", foreign.y_scale, (choice.y_mid, choice.y_span), plain, "none: engineering units"
    )
    if u_origin == "actuator limits":
        radius = 1.0
    else:
        radius = (
            float(np.max(np.maximum(high - u_mid, u_mid - low) / u_span))
            if (u_span > 0).all()
            else 1.0
        )
    return Scaling(u_mid, u_span, y_mid, y_span, radius), {"inputs": u_origin, "outputs": y_origin}


def _choose(
    letter: str,
    graph: tuple[Array, Array] | None,
    chosen: tuple[Any, Any],
    default: tuple[Array, Array],
    words: str,
) -> tuple[tuple[Array, Array], str]:
    """(mid, span) from the file, from `[import]`, or the default."""
    if graph is not None:
        if any(chosen):
            raise InputError(
                f"normalises its {'inputs' if letter == 'u' else 'outputs'} itself; leave"
                f" {letter}_mid, {letter}_span out"
            )
        return graph, "the file"
    if not any(chosen):
        return default, words
    if any(len(values) != default[0].size for values in chosen):
        raise InputError(
            f"[import] {letter}_mid and {letter}_span need {default[0].size} number(s) each, got"
            f" {list(chosen[0])} and {list(chosen[1])}"
        )
    return (
        np.array(chosen[0], dtype=np.float64),
        np.array(chosen[1], dtype=np.float64),
    ), "[import]"


def _inside(clip: tuple[Array, Array] | None, inputs: tuple[Signal, ...]) -> None:
    """The model clips to the actuator limits, so that a narrower clip in the file would be lost."""
    if clip is None:
        return
    for signal, low, high in zip(inputs, *clip, strict=True):
        if signal.low < low or signal.high > high:
            limits = f"[{signal.low:g}, {signal.high:g}] {signal.unit}"
            raise InputError(
                f"clips {signal.name!r} to [{low:g}, {high:g}], inside its actuator limits"
                f" {limits}; tighten the limits"
            )
