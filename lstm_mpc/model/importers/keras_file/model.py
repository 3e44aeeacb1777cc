"""Keras models as data: the configuration says what the layers are, the arrays what they hold, and
nothing in the file is ever run."""

from __future__ import annotations

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers import weights
from lstm_mpc.model.importers.gates import Foreign
from lstm_mpc.model.importers.keras_file.config import Step, chain
from lstm_mpc.model.importers.keras_file.hdf5 import Tree, parse_json, read_archive, read_hdf5
from lstm_mpc.model.importers.keras_file.layers import network_of


def read(data: bytes, kind: str) -> Foreign:
    """The network in the bytes of a `kind` of file, ".keras" or ".h5"; InputError with the reason
    where the model cannot represent it."""
    if kind == ".keras":
        config, tree = read_archive(data, weights.LIMIT)
        steps = chain(config)
        trees = _by_order(steps, tree)
    else:
        tree = read_hdf5(data, weights.LIMIT)
        if "model_config" not in tree.texts:
            return weights.network_of(_weights_only(tree), kind)
        steps = chain(parse_json(tree.texts["model_config"]))
        trees = _by_name(steps, tree)
    try:
        return network_of(steps, trees, f"Keras model ({kind})")
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise InputError(
            "has settings of layers that are no numbers where Keras has numbers"
            f" ({type(error).__name__}); save the model again"
        ) from error


# -- where the arrays of a layer are --------------------------------------------------------------


def _by_name(steps: list[Step], tree: Tree) -> list[Tree]:
    """The groups of .h5 files, one a layer, under its name."""
    groups = tree.groups.get("model_weights", Tree()).groups
    return [groups.get(step.name, Tree()) for step in steps]


def _by_order(steps: list[Step], tree: Tree) -> list[Tree]:
    """The groups of .keras files: by the name that they carry, or else by class and number."""
    groups: dict[str, Tree] = {}
    for container in ("layers", "_layer_checkpoint_dependencies"):
        groups |= tree.groups.get(container, Tree()).groups
    carried = {g.groups["vars"].texts.get("name"): g for g in groups.values() if "vars" in g.groups}
    return [carried.get(s.name) or groups.get(s.place, Tree()) for s in steps]


def _weights_only(tree: Tree) -> weights.Tensors:
    """The arrays of a file without configuration under the names that a .npz would have."""
    arrays: weights.Tensors = {}
    for path, array in tree.flat().items():
        parts = path.split("/")
        if "optimizer" in parts[0] or "seed_generator" in parts:
            continue
        if parts[-1].isdecimal() and "vars" in parts:
            parts = [
                p for p in parts if p not in ("layers", "vars", "_layer_checkpoint_dependencies")
            ]
            cell = len(parts) > 2 and parts[-2] == "cell"
            names = ("kernel", "recurrent_kernel", "bias") if cell else ("kernel", "bias")
            number = int(parts[-1])
            parts[-1] = names[number] if number < len(names) else f"variable_{number}"
        elif len(parts) > 2:
            parts = parts[1:]  # the group of a layer, whose arrays carry its name again
        arrays["/".join(parts)] = array
    return arrays
