"""The configuration of a Keras model as one chain of layers from the inputs to the output."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lstm_mpc.errors import InputError

_DEPTH = 30  # of lists within lists in which a configuration names the layers before


@dataclass(frozen=True)
class Step:
    """One layer: its class, name, settings, those of the cell or layer within it, its `place` among
    the weights of a .keras file, and which of its outputs goes on (0: the first)."""

    kind: str
    name: str
    config: dict[str, Any]
    cell: dict[str, Any]
    place: str
    taken: int = 0


def chain(model: Any) -> list[Step]:
    """The layers in the order of the signals, without the inputs; InputError when they are no
    chain."""
    try:
        kind, config = model["class_name"], model["config"]
        listed = config["layers"] if isinstance(config, dict) else config
        if kind == "Sequential":
            return [s for s in _steps(listed) if s.kind != "InputLayer"]
        if kind in ("Functional", "Model"):
            return _walk(listed, config["input_layers"], config["output_layers"])
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise InputError(
            "its configuration is not that of a Keras model"
            f" ({type(error).__name__}: {_printable(str(error))})"
        ) from error
    raise InputError(
        f"is a model of the class {str(kind)[:60]!r}, which is code of its own; save a Sequential"
        " or functional model of standard layers, or its weights as .npz"
    )


def _steps(listed: Any) -> list[Step]:
    """All layers as they are listed."""
    steps, numbers = [], Counter[str]()
    for layer in listed:
        config = dict(layer["config"])
        kind, name = _name(layer["class_name"]).rpartition(">")[2], _name(config["name"])
        snake = _snake(kind)
        place = snake + (f"_{numbers[snake]}" if numbers[snake] else "")
        numbers[snake] += 1
        inner = config.get("cell", config.get("layer"))
        if kind in ("RNN", "TimeDistributed"):
            wanted = {"RNN": "LSTMCell", "TimeDistributed": "Dense"}[kind]
            if not isinstance(inner, dict) or inner["class_name"] != wanted:
                word = inner.get("class_name") if isinstance(inner, dict) else "several cells"
                raise InputError(
                    f"layer {name!r} ({kind}) holds {str(word)[:60]!r}; only {wanted} can"
                    " be represented"
                )
        cell = dict(inner["config"]) if isinstance(inner, dict) and "config" in inner else {}
        steps.append(Step(kind, name, config, cell, place))
    return steps


def _name(value: Any) -> str:
    """A name as it may stand in a sentence."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > 200:
        raise ValueError("a name is no printable text")
    return value


def _printable(words: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in words)[:80]


def _snake(name: str) -> str:
    """The name of a class as Keras writes it in paths: TimeDistributed, time_distributed."""
    name = re.sub(r"\W+", "", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


# -- functional models ----------------------------------------------------------------------------


def _walk(listed: Any, inputs: Any, outputs: Any) -> list[Step]:
    """The chain that ends in the one output."""
    steps = {step.name: step for step in _steps(listed)}
    before = {str(layer["config"]["name"]): layer["inbound_nodes"] for layer in listed}
    ends = list(_histories(outputs))
    if len(ends) != 1:
        raise InputError(f"gives {len(ends)} outputs; save a model with one")
    path: list[Step] = []
    ((name, taken),) = ends
    while True:
        step = steps[name]
        if step.kind == "InputLayer":
            break
        if name in [earlier.name for earlier in path]:
            raise InputError(f"layer {name!r} reads its own output, which cannot be represented")
        if len(before[name]) > 1:
            raise InputError(f"layer {name!r} is used {len(before[name])} times")
        sources = list(dict.fromkeys(_histories(before[name])))
        if _joins_inputs(step, sources, steps, inputs):
            break
        if len(sources) != 1:
            raise InputError(
                f"layer {name!r} ({step.kind}) joins {len(sources)} layers, which cannot be"
                " represented; a model is one chain of layers"
            )
        path.append(Step(step.kind, name, step.config, step.cell, step.place, taken))
        ((name, taken),) = sources
    return path[::-1]


def _joins_inputs(
    step: Step, sources: list[tuple[str, int]], steps: dict[str, Step], inputs: Any
) -> bool:
    """Does the layer put all inputs side by side, in their order?"""
    names = [name for name, _ in sources]
    return (
        step.kind == "Concatenate"
        and step.config.get("axis", -1) in (-1, 2)
        and all(steps[name].kind == "InputLayer" for name in names)
        and names == [name for name, _ in _histories(inputs)]
    )


def _histories(value: Any, depth: int = 0) -> Iterator[tuple[str, int]]:
    """(layer, which of its outputs) wherever a configuration names one: ["lstm", 0, 0, …] in
    Keras 2, within {"keras_history": …} in Keras 3."""
    if depth > _DEPTH:
        raise InputError("its configuration is nested too deeply")
    if isinstance(value, dict):
        for item in value.values():
            yield from _histories(item, depth + 1)
    elif isinstance(value, (list, tuple)):
        if (
            len(value) >= 3
            and isinstance(value[0], str)
            and all(isinstance(number, int) for number in value[1:3])
        ):
            yield value[0], value[2]
        else:
            for item in value:
                yield from _histories(item, depth + 1)
