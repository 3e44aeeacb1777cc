"""One training run of jax-sysid, for benchmarks/jax_sysid.py. Runs in jax-sysid's own environment
and needs nothing of lstm_mpc.

    python -I jax_sysid_worker.py < task.json > answer.json

-I keeps the folder of this file out of the way: jax_sysid.py in it has the name of the package. The
task: normalised `u` and `y` (lists of rows), `cells`, `condition` ("none" or "iss"), `seed`, and
`settings` (see `run`). The answer: `points`, one [seconds, parameters] for each evaluation of the
loss (line-search trials too) with the parameters in the order of `NAMES`, column-major; `seconds`
of the whole fit, `compile` [s] thereof, `cpu` [s], `versions`."""

import contextlib
import json
import sys
import time
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
from jax_sysid.models import Model

jax.config.update("jax_platform_name", "cpu")
jax.config.update("jax_enable_x64", True)  # jax-sysid does the same when it starts to fit

NAMES = [f"{kind}_{g}" for g in "fioc" for kind in "WUb"] + ["C", "b_y"]


def shapes(cells):
    kinds = {"W": (cells, 1), "U": (cells, cells), "b": (cells,)}
    return [kinds[name[0]] for name in NAMES[:-2]] + [(1, cells), (1,)]


def gates(params, u, xi):
    return [params[3 * g] @ u + params[3 * g + 1] @ xi + params[3 * g + 2] for g in range(4)]


@jax.jit
def state(chi, u, params):
    """Eq. (2a–b), χ = [x; ξ]."""
    x, xi = jnp.split(chi, 2)
    f, i, o, c = gates(params, u, xi)
    x = jax.nn.sigmoid(f) * x + jax.nn.sigmoid(i) * jnp.tanh(c)
    return jnp.concatenate([x, jax.nn.sigmoid(o) * jnp.tanh(x)])


@jax.jit
def output(chi, u, params):
    """Eq. (2c)."""
    return params[-2] @ jnp.split(chi, 2)[1] + params[-1]


def quantities(params):
    """The two left-hand sides of condition (7) for |u| ≤ 1."""
    stacked = [
        jnp.concatenate([*params[at : at + 2], params[at + 2][:, None]], axis=1) for at in (0, 3, 6)
    ]
    s_f, s_i, s_o = (jax.nn.sigmoid(jnp.abs(M).sum(axis=1).max()) for M in stacked)
    return jnp.array([(1 + s_o) * s_f, (1 + s_o) * s_i * jnp.abs(params[10]).sum(axis=0).max()])


def start(cells, seed, spread, forget_bias):
    rng = np.random.default_rng(seed)
    params = [rng.uniform(-spread, spread, shape) for shape in shapes(cells)]
    params[2] = params[2] + forget_bias
    return params


def run(task):
    """`settings`: adam_epochs, adam_eta, lbfgs_epochs, memory, rho_th, rho_x0, spread, forget_bias;
    for "iss" also penalty, tightening: penalty·Σ max(0, quantity − 1 + tightening)²."""
    chosen, u, y = task["settings"], np.array(task["u"]), np.array(task["y"])
    points, compiling = [], []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, s, **_: compiling.append(s) if "/compile/" in name else None
    )

    def note(*leaves):
        points.append((time.perf_counter(), [np.asarray(leaf) for leaf in leaves]))

    def regularisation(params, x0):
        jax.debug.callback(
            note, *params
        )  # the iterates, at no more cost than a copy; the only way that shows Adam's as well
        if task["condition"] == "none":
            return 0.0
        return chosen["penalty"] * jnp.sum(
            jnp.maximum(0.0, quantities(params) - 1 + chosen["tightening"]) ** 2
        )

    began, used = time.perf_counter(), time.process_time()
    model = Model(2 * task["cells"], 1, 1, state_fcn=state, output_fcn=output)
    model.loss(
        rho_x0=chosen["rho_x0"], rho_th=chosen["rho_th"], custom_regularization=regularisation
    )
    names = ("adam_epochs", "adam_eta", "lbfgs_epochs", "memory")
    model.optimization(iprint=-1, **{name: chosen[name] for name in names})
    model.init(params=start(task["cells"], task["seed"], chosen["spread"], chosen["forget_bias"]))
    with contextlib.redirect_stdout(sys.stderr):  # it prints whatever iprint says
        model.fit(y, u)
    jax.effects_barrier()
    ended = time.perf_counter(), time.process_time()
    return {
        "points": [
            [at - began, np.concatenate([leaf.ravel(order="F") for leaf in leaves]).tolist()]
            for at, leaves in points
        ],
        "seconds": ended[0] - began,
        "cpu": ended[1] - used,
        "compile": sum(compiling),
        "versions": {package: version(package) for package in ("jax-sysid", "jax", "jaxlib")},
    }


if __name__ == "__main__":
    json.dump(run(json.load(sys.stdin)), sys.stdout)
