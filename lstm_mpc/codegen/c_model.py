"""C99 code of a released model's step: CasADi's own code generation behind a small documented
interface, with a self-test.

This is the *reference export*: the very graph that certifies and controls, unrolled, in double
precision."""

from __future__ import annotations

import re
from textwrap import wrap

import casadi as ca
import numpy as np

from lstm_mpc.certificates.gate import Release, checked
from lstm_mpc.codegen.templates import claims_list
from lstm_mpc.data.excitation import Mprs
from lstm_mpc.plants.system import Array, System, simulate

KIND = "lstm_mpc C model"
PRODUCTS = ("selftest", "*.o")  # what the Makefile builds
STEPS = 1000  # length of the self-test
# [output unit, relative to 1] another libm may round exp and tanh differently in the last digit
TOLERANCE = 1e-12

_MAKEFILE = """\
CC ?= cc
CFLAGS ?= -std=c99 -O2 -Wall -Wextra -Wpedantic -Werror
.PHONY: test clean
test: selftest
	./selftest
selftest: selftest.o {name}.o {name}_graph.o
	$(CC) -o $@ $^ -lm
# CasADi's generated functions have one fixed signature, so that some arguments stay unused.
{name}_graph.o: {name}_graph.c
	$(CC) $(CFLAGS) -Wno-unused-parameter -c -o $@ $<
%.o: %.c {name}.h
	$(CC) $(CFLAGS) -c -o $@ $<
clean:
	rm -f selftest *.o
"""


def c_model(release: Release) -> dict[str, str]:
    """The files of the C model, name -> text. The same release gives the same bytes."""
    release = checked(release)
    name = identifier(release.model.name) + "_model"
    system = release.model.system
    return {
        f"{name}.h": _header(release, name),
        f"{name}.c": _wrapper(system, name),
        f"{name}_graph.c": _graph(system, name),
        "selftest.c": _selftest(release, name),
        "Makefile": _MAKEFILE.format(name=name),
        "README.md": _readme(release, name),
    }


def identifier(name: str) -> str:
    word = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "lstm"
    return word if word[0].isalpha() else f"m_{word}"


def number(value: float) -> str:
    return repr(float(value))


def _array(values: Array) -> str:
    return ", ".join(number(v) for v in np.asarray(values).ravel())


def comment(text: str, indent: str = " * ") -> list[str]:
    return [indent + line for line in wrap(text.replace("*/", "* /"), 110)]


def _header(release: Release, name: str) -> str:
    model, upper = release.model, name.upper()
    lines = [
        "/*",
        (
            f" * {name}: one sample of the LSTM model {model.name!r}, C99, reference export of"
            " lstm_mpc."
        ),
        " *",
    ]
    lines += [f" * model    SHA-256 {model.digest}", f" * sampling {model.Ts!r} s", " *"]
    for role, signals in (("input ", model.inputs), ("output", model.outputs)):
        for j, s in enumerate(signals):
            span = f", clipped to [{s.low!r}, {s.high!r}]" if role == "input " else ""
            span += (
                f", {model.delays[j]} sample(s) late"
                if role == "input " and model.delays[j]
                else ""
            )
            lines.append(f" * {role} {j}: {s.label}{span}")
    lines += [
        " *",
        " * All values at this interface are in engineering units; the scalings are inside:",
    ]
    lines.append(
        f" *   u = {_array(model.scaling.u_mid)} + {_array(model.scaling.u_span)} * normalised"
    )
    lines.append(
        f" *   y = {_array(model.scaling.y_mid)} + {_array(model.scaling.y_span)} * normalised"
    )
    lines += [" *", " * Released, because:"]
    for kind, sentence in release.claims():
        lines += comment(f"{kind}: {sentence}", " *   ")
    lines += [" */", f"#ifndef {upper}_H", f"#define {upper}_H", ""]
    for what, count in (
        ("STATES", model.system.n),
        ("INPUTS", len(model.inputs)),
        ("OUTPUTS", len(model.outputs)),
    ):
        lines.append(f"#define {upper}_{what} {count}")
    lines += [
        f"#define {upper}_TS {number(model.Ts)} /* [s] */",
        f'#define {upper}_DIGEST "{model.digest}"',
        "",
    ]
    lines += [
        "/* The state before any sample. */",
        f"void {name}_init(double state[{upper}_STATES]);",
        "",
    ]
    lines += [
        "/* Move `state` on by one sample under the input `u`, which is clipped to its limits; a"
        " NaN counts as the lower limit. */"
    ]
    lines += [
        f"void {name}_step(double state[{upper}_STATES], const double u[{upper}_INPUTS]);",
        "",
    ]
    lines += ["/* The output at `state`, before this sample's input acts. */"]
    lines += [
        f"void {name}_output(const double state[{upper}_STATES], double y[{upper}_OUTPUTS]);",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _wrapper(system: System, name: str) -> str:
    upper = name.upper()
    return f"""\
#include "{name}.h"

int {name}_graph_step(const double** arg, double** res, int* iw, double* w, int mem);
int {name}_graph_output(const double** arg, double** res, int* iw, double* w, int mem);

void {name}_init(double state[{upper}_STATES]) {{
  static const double start[{upper}_STATES] = {{{_array(system.x0)}}};
  int i;
  for (i = 0; i < {upper}_STATES; ++i) state[i] = start[i];
}}

void {name}_step(double state[{upper}_STATES], const double u[{upper}_INPUTS]) {{
  double next[{upper}_STATES];
  const double* arg[3];
  double* res[1];
  int i;
  arg[0] = state;
  arg[1] = u;
  arg[2] = 0;
  res[0] = next;
  (void){name}_graph_step(arg, res, 0, 0, 0);
  for (i = 0; i < {upper}_STATES; ++i) state[i] = next[i];
}}

void {name}_output(const double state[{upper}_STATES], double y[{upper}_OUTPUTS]) {{
  const double* arg[1];
  double* res[1];
  arg[0] = state;
  res[0] = y;
  (void){name}_graph_output(arg, res, 0, 0, 0);
}}
"""


def _graph(system: System, name: str) -> str:
    """CasADi's code of step and output."""
    chi, u, d = ca.SX.sym("chi", system.n), ca.SX.sym("u", system.nu), ca.SX.sym("d", 0)
    generator = ca.CodeGenerator(
        f"{name}_graph", {"with_header": False, "casadi_int": "int", "with_export": False}
    )
    generator.add(ca.Function(f"{name}_graph_step", [chi, u, d], [system.step(chi, u, d)]))
    generator.add(ca.Function(f"{name}_graph_output", [chi], [system.output(chi)]))
    return (
        "/* Generated by CasADi's code generator; see the header for what it computes. */\n"
        + str(generator.dump())
    )


def _vectors(release: Release) -> tuple[Array, Array]:
    """Inputs (STEPS, nu), a little beyond the limits so that clipping is tested, and the outputs
    (STEPS, ny) from CasADi."""
    model = release.model
    reach = 0.05 * (model.u_high - model.u_low)
    law = Mprs(tuple(model.u_low - reach), tuple(model.u_high + reach), (model.Ts, 60 * model.Ts))
    u = law.draw(np.random.default_rng(0), STEPS, model.Ts).signal(STEPS)
    return u, simulate(model.system, u).y


def _selftest(release: Release, name: str) -> str:
    u, y = _vectors(release)
    upper = name.upper()

    def table(label: str, size: str, values: Array) -> str:
        rows = ",\n".join("  {" + _array(row) + "}" for row in values)
        return f"static const double {label}[{len(values)}][{upper}_{size}] = {{\n{rows}\n}};\n"

    return f"""\
/* Runs {STEPS} steps and compares with the outputs that CasADi computed. Exit code 0: agreement to {TOLERANCE!r}. */
#include <math.h>
#include <stdio.h>
#include "{name}.h"

{table("input", "INPUTS", u)}
{table("expected", "OUTPUTS", y)}
int main(void) {{
  double state[{upper}_STATES], y[{upper}_OUTPUTS], worst = 0.0;
  int k, j;
  {name}_init(state);
  for (k = 0; k < {STEPS}; ++k) {{
    {name}_output(state, y);
    for (j = 0; j < {upper}_OUTPUTS; ++j) {{
      double scale = fmax(1.0, fabs(expected[k][j]));
      double error = fabs(y[j] - expected[k][j]) / scale;
      if (!(error <= worst)) worst = error;
    }}
    {name}_step(state, input[k]);
  }}
  printf("{name} %.12s: {STEPS} steps, largest error %.3g (tolerance {TOLERANCE!r})\\n", {upper}_DIGEST, worst);
  return worst <= {TOLERANCE!r} ? 0 : 1;
}}
"""


def _readme(release: Release, name: str) -> str:
    model = release.model
    return f"""\
# {name}

C99 code of the released LSTM model {model.name!r} (model {model.digest[:12]}), double precision, no memory allocation, no globals.
`make test` compiles it with warnings as errors and compares {STEPS} steps with CasADi.

    double state[{name.upper()}_STATES], y[{name.upper()}_OUTPUTS];
    {name}_init(state);
    for (;;) {{
      {name}_output(state, y);   /* {", ".join(s.label for s in model.outputs)} */
      {name}_step(state, u);     /* {", ".join(s.label for s in model.inputs)}, once every {model.Ts:g} s */
    }}

Released, because:

{claims_list(release.claims())}
"""
