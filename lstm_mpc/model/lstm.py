"""The LSTM of eq. (2), strictly proper, of any width and depth. Leaves are NumPy arrays or CasADi
expressions.

    f = σ(W_f u + U_f ξ + b_f)        i = σ(W_i u + U_i ξ + b_i)
    o = σ(W_o u + U_o ξ + b_o)        c = tanh(W_c u + U_c ξ + b_c)
    x⁺ = f∘x + i∘c        ξ⁺ = o∘tanh(x⁺)        y = C ξ + b_y

The paper's x is the usual cell state c_t and its ξ the usual hidden state h_t. In a stack (Remark
6) layer ℓ+1 reads the *updated* ξ⁺ of layer ℓ, as every deep-learning framework does; |ξ⁺| < 1
holds as for ξ, so the remark applies unchanged, and y still depends on u up to k−1 only. The state
is χ = [x₁; ξ₁; x₂; ξ₂; …]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array, frozen_array

GATES = ("f", "i", "o", "c")


@dataclass(frozen=True)
class Layer:
    """One LSTM layer with its gates f, i, o and c.

    Weights of the inputs, (nx, nu), are `W_f`, `W_i`, `W_o`, `W_c`; of the states, (nx, nx), `U_f`,
    `U_i`, `U_o`, `U_c`; biases, (nx,) or (nx, 1), `b_f`, `b_i`, `b_o`, `b_c`.
    """

    W_f: Any
    U_f: Any
    b_f: Any
    W_i: Any
    U_i: Any
    b_i: Any
    W_o: Any
    U_o: Any
    b_o: Any
    W_c: Any
    U_c: Any
    b_c: Any

    def gate(self, g: str) -> tuple[Any, Any, Any]:
        """The numbers of a gate.

        Args:
            g: "f", "i", "o" or "c".

        Returns:
            (W_g, U_g, b_g), of the shapes (nx, nu), (nx, nx) and (nx,) or (nx, 1).
        """
        return getattr(self, f"W_{g}"), getattr(self, f"U_{g}"), getattr(self, f"b_{g}")

    @property
    def nx(self) -> int:
        return int(self.U_f.shape[0])

    @property
    def nu(self) -> int:
        return int(self.W_f.shape[1])


@dataclass(frozen=True)
class Network:
    """Eq. (2): a stack of `layers` and the output map y = `C` ξ_last + `b_y`.

    All in normalised units; C is (ny, nx of the last layer), b_y (ny,) or (ny, 1).
    """

    layers: tuple[Layer, ...]
    C: Any
    b_y: Any

    @property
    def nu(self) -> int:
        return self.layers[0].nu

    @property
    def ny(self) -> int:
        return int(self.C.shape[0])

    @property
    def nx(self) -> tuple[int, ...]:
        """Cells per layer."""
        return tuple(layer.nx for layer in self.layers)

    @property
    def n(self) -> int:
        """Number of states, 2·Σnx."""
        return 2 * sum(self.nx)


def sigmoid(z: Any) -> Any:
    """σ(z) = ½(1 + tanh(z/2)): no overflow, numbers or symbols."""
    return 0.5 * (1.0 + tanh(0.5 * z))


def tanh(z: Any) -> Any:
    return ca.tanh(z) if isinstance(z, (ca.SX, ca.MX, ca.DM)) else np.tanh(z)


def step(network: Network, chi: Any, u: Any) -> Any:
    """χ⁺ = f(χ, u), eq. (2a–b). `chi` (n, 1) and `u` (nu, 1) are CasADi columns (DM, SX or MX)."""
    at, below, after = 0, u, []
    for layer in network.layers:
        nx = layer.nx
        x, xi = chi[at : at + nx, :], chi[at + nx : at + 2 * nx, :]
        f, i, o, c = (
            ca.mtimes(W, below) + ca.mtimes(U, xi) + b for W, U, b in map(layer.gate, GATES)
        )
        x_next = sigmoid(f) * x + sigmoid(i) * tanh(c)
        below = sigmoid(o) * tanh(x_next)
        after += [x_next, below]
        at += 2 * nx
    return ca.vertcat(*after)


def output(network: Network, chi: Any) -> Any:
    """y = C ξ + b_y, eq. (2c)."""
    return ca.mtimes(network.C, chi[network.n - network.nx[-1] :, :]) + network.b_y


# -- parameters as one vector ----------------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    """The shape of a network: inputs, cells per layer, outputs. Fixes the order of the parameter
    vector θ."""

    nu: int
    nx: tuple[int, ...]
    ny: int

    def __post_init__(self) -> None:
        if min((self.nu, self.ny, *self.nx), default=0) < 1 or not self.nx:
            raise InputError(
                f"a network needs nu, ny and every nx of at least 1, got nu={self.nu},"
                f" nx={self.nx}, ny={self.ny}"
            )

    @property
    def n(self) -> int:
        return 2 * sum(self.nx)

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Name -> shape of every parameter, in the order of θ (column-major inside each), e.g.
        `0.W_f`, …, `C`, `b_y`."""
        shapes: dict[str, tuple[int, int]] = {}
        below = self.nu
        for number, nx in enumerate(self.nx):
            for g in GATES:
                shapes |= {
                    f"{number}.W_{g}": (nx, below),
                    f"{number}.U_{g}": (nx, nx),
                    f"{number}.b_{g}": (nx, 1),
                }
            below = nx
        return shapes | {"C": (self.ny, below), "b_y": (self.ny, 1)}

    @property
    def slices(self) -> dict[str, slice]:
        """Name -> its place in θ."""
        places, at = {}, 0
        for name, (rows, columns) in self.shapes.items():
            places[name] = slice(at, at + rows * columns)
            at += rows * columns
        return places

    @property
    def parameters(self) -> int:
        return sum(rows * columns for rows, columns in self.shapes.values())


def sizes_of(network: Network) -> Sizes:
    return Sizes(network.nu, network.nx, network.ny)


def unpack(theta: Any, sizes: Sizes) -> Network:
    """The network whose parameters are the vector `theta` (numbers or a CasADi column)."""
    symbolic = isinstance(theta, (ca.SX, ca.MX, ca.DM))
    leaves: dict[str, Any] = {}
    for name, (rows, columns) in sizes.shapes.items():
        piece = theta[sizes.slices[name], :] if symbolic else np.asarray(theta)[sizes.slices[name]]
        leaves[name] = (
            ca.reshape(piece, rows, columns)
            if symbolic
            else piece.reshape((rows, columns), order="F")
        )
    layers = [
        Layer(**{k[2:]: v for k, v in leaves.items() if k.startswith(f"{number}.")})
        for number in range(len(sizes.nx))
    ]
    network = Network(tuple(layers), leaves["C"], leaves["b_y"])
    return network if symbolic else numeric(network)


def pack(network: Network) -> Array:
    """The parameter vector of a numeric network; the inverse of `unpack`."""
    return np.concatenate(
        [np.asarray(leaf).ravel(order="F") for leaf in parameters(network).values()]
    )


def parameters(network: Network) -> dict[str, Any]:
    """Name -> parameter, in the order of θ."""
    named: dict[str, Any] = {}
    for number, layer in enumerate(network.layers):
        for g in GATES:
            W, U, b = layer.gate(g)
            named |= {f"{number}.W_{g}": W, f"{number}.U_{g}": U, f"{number}.b_{g}": b}
    return named | {"C": network.C, "b_y": network.b_y}


def from_parameters(named: dict[str, ArrayLike]) -> Network:
    """A numeric network from `parameters`; InputError when a name is missing, unknown or of a wrong
    shape."""
    arrays = {name: frozen_array(value, 2, name) for name, value in named.items()}
    try:
        count = 1 + max(int(name.split(".")[0]) for name in arrays if "." in name)
        sizes = Sizes(
            arrays["0.W_f"].shape[1],
            tuple(arrays[f"{n}.U_f"].shape[0] for n in range(count)),
            arrays["C"].shape[0],
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"the network's parameters are incomplete: {error} is missing") from error
    if set(arrays) != set(sizes.shapes):
        odd = sorted(set(arrays) ^ set(sizes.shapes))
        raise InputError(
            f"the network's parameters do not fit together: {', '.join(odd)} missing or unknown"
        )
    for name, shape in sizes.shapes.items():
        if arrays[name].shape != shape:
            raise InputError(
                f"parameter {name} must be {shape[0]}×{shape[1]}, got"
                f" {arrays[name].shape[0]}×{arrays[name].shape[1]}"
            )
    return unpack(np.concatenate([arrays[name].ravel(order="F") for name in sizes.shapes]), sizes)


def numeric(network: Network) -> Network:
    """The same network with read-only, finite NumPy leaves."""
    frozen = {name: frozen_array(leaf, 2, name) for name, leaf in parameters(network).items()}
    layers = [
        Layer(**{k[2:]: v for k, v in frozen.items() if k.startswith(f"{n}.")})
        for n in range(len(network.layers))
    ]
    return Network(tuple(layers), frozen["C"], frozen["b_y"])
