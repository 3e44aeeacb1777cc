"""Processor in the loop: cores in QEMU answer with the host's bits, instructions are counted right,
and every failure has its sentence."""

import re
import tempfile
from dataclasses import replace as changed
from types import SimpleNamespace

import numpy as np
import pytest
from compiling import BARE, need

from lstm_mpc.errors import InputError
from lstm_mpc.export import pil_bench
from lstm_mpc.export.pil_bench import missing, run_on_core, run_on_host
from lstm_mpc.export.pil_frames import CORES, Frames, Replay, Run, differences
from lstm_mpc.io.templates import render

NAME = "tiny_controller"
SIZES = {
    "NU": 2,
    "NY": 1,
    "NX": 2,
    "NXI": 2,
    "NCHI": 4,
    "NV": 4,
    "N": 2,
    "LAG": 0,
    "ROWS": 4,
    "GAINS": 4,
}
SIZES |= {"TRIANGLE": 10, "STAGE": 8, "PREDICTED": 2, "REFERENCES": 2, "WEIGHTS": 4}
# All four operations; the last entry of chi decays through the subnormal numbers, and u shows its
# bits.
STUB = """\
#include "@name@.h"

uint32_t @name@_init(const @name@_model *model, @name@_state *state, const @name@_real y[1],
                     const @name@_real u[2]) {
  int i;
  for (i = 0; i < 4; ++i) state->chi[i] = model->weights[i] * y[0] / (1 + u[0] * u[1]);
  state->status = 0;
  return y[0] > 2 ? 128u : 0u;
}

void @name@_prepare(const @name@_model *model, @name@_state *state, @name@_work *work) {
  int i;
  for (i = 0; i < 4; ++i) work->chi[i] = model->weights[i] / (1 + state->chi[i] * state->chi[i]);
  /* prepare */
}

uint32_t @name@_feedback(const @name@_model *model, @name@_state *state, @name@_work *work,
                         const @name@_real y[1],
                         const @name@_real reference[2], @name@_real u[2]) {
  int i;
  if (y[0] == y[0]) state->last_measurement[0] = y[0];
  u[0] = (reference[0] - state->last_measurement[0]) * model->weights[0];
  u[0] = u[0] + reference[1] / (3 + y[0] * y[0]);
  for (i = 0; i < 3; ++i) u[0] -= work->chi[i] * state->chi[i];
  if (!(u[0] == u[0])) u[0] = 0;
  u[1] = state->chi[3] * 3;
  ++state->status;
  return y[0] == y[0] ? state->status & 8u : 1u;
}

void @name@_advance(const @name@_model *model, @name@_state *state, @name@_work *work) {
  int i;
  for (i = 0; i < 3; ++i) {
    state->chi[i] = model->weights[3] * state->chi[i];
    state->chi[i] += work->chi[i] / (2 + state->last_measurement[0] * state->last_measurement[0]);
  }
  state->chi[3] *= model->weights[3];
}
"""
DATA = '#include "@name@.h"\n\nconst @name@_model @name@_data = {.weights = {%s}};\n'
WEIGHTS = np.array([0.6, 0.7, 1.3, 0.25], dtype=np.float32)


def controller(folder, new="", *, old="/* prepare */", weights=WEIGHTS):
    """An export in miniature with the interface of a real one; `new` stands in its code instead of
    `old`."""
    model = SimpleNamespace(name=NAME, digest="d", Ts=1.0, inputs=(), outputs=(), delays=())
    words = {"name": NAME, "model": model, "claims": (), "tables": {}, "floors": {}}
    header = render("codegen", "controller/controller.h", sizes=SIZES, **words, **BARE)
    numbers = ", ".join(f"(@name@_real){float(w).hex()}" for w in weights)
    folder.mkdir()
    assert old in STUB
    for suffix, text in (
        (".h", header),
        (".c", STUB.replace(old, new, 1)),
        ("_data.c", DATA % numbers),
    ):
        for mark, value in (
            ("@name@", NAME),
            ("@NAME@", NAME.upper()),
        ):
            text = text.replace(mark, value)
        (folder / f"{NAME}{suffix}").write_text(text, encoding="utf-8")
    return folder


def run_of(samples, seed=0, *, rows=2):
    rng = np.random.default_rng(seed)
    return Run(
        rng.uniform(1, 1.5, 1),
        rng.uniform(1, 2, 2),
        rng.normal(size=(samples, 1)),
        rng.normal(size=(samples, rows, 1)),
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return controller(tmp_path_factory.mktemp("pil") / "c")


@pytest.fixture(scope="module")
def frames():
    """Two runs, with a measurement that is not a number and one beyond single precision; init of
    the second refuses."""
    first, y = run_of(120), run_of(30, 1).y.copy()
    y[7], y[9] = np.nan, 1e300
    return Frames((first, changed(run_of(30, 1), y0=[3.0], y=y)))


@pytest.fixture(scope="module")
def on_host(tiny, frames):
    need("host")
    return run_on_host(tiny, NAME, frames)


@pytest.mark.parametrize("core", CORES)
def test_a_core_answers_with_the_bits_of_the_host(tiny, frames, on_host, core):
    need(core)
    there = run_on_core(tiny, NAME, frames, core=core)
    assert differences(on_host, there) is None
    # the scratch begins with a pointer, of 4 bytes there and 8 here
    sizes = on_host.struct_bytes | {"work": there.struct_bytes["work"]}
    assert there.struct_bytes == sizes
    assert 0 <= on_host.struct_bytes["work"] - there.struct_bytes["work"] <= 8
    assert there.begin.tolist() == [0, 128]
    assert there.status[[127, 128]].tolist() == [1, 8]
    smallest = np.abs(there.u[:120, 1])
    assert ((smallest > 0) & (smallest < np.finfo(np.float32).tiny)).any()
    assert there.instructions.shape == (150, 3)
    assert there.instructions.min() > 10
    assert there.init_instructions.shape == (2,)
    assert there.resolution == 1
    assert 0 < there.stack_bytes < 200
    assert there.sizes.constants >= there.struct_bytes["model"]
    assert 100 < there.sizes.code < 1500
    assert (there.sizes.data, there.sizes.bss) == (0, 0)


@pytest.mark.parametrize("core", ["cortex-m3", "cortex-m7"])
def test_so_it_does_in_double_precision(tiny, frames, core):
    need("host", core)
    here, there = (
        run_on_host(tiny, NAME, frames, double=True),
        run_on_core(tiny, NAME, frames, core=core, double=True),
    )
    assert here.u.dtype == np.float64
    assert differences(here, there) is None


def test_one_ulp_of_one_weight_is_a_difference(frames, on_host, tmp_path):
    need("cortex-m4f")
    weights = WEIGHTS.copy()
    weights[1] = np.nextafter(weights[1], np.float32(1))
    there = run_on_core(
        controller(tmp_path / "c", weights=weights), NAME, frames, core="cortex-m4f"
    )
    sentence = differences(on_host, there)
    assert sentence.startswith("run 0, sample ")
    assert "host has status 0, u = " in sentence
    assert "cortex-m4f has status 0, u = " in sentence


def test_vectors_of_the_m55_are_switched_off_for_a_reason(tmp_path, monkeypatch):
    need("host", "cortex-m55")
    loop = (
        "static float few[4] = {1, 2, 3, 4}; for (i = 0; i < 4; ++i) few[i] *= model->weights[3];"
        " state->chi[3] = few[0];"
    )
    folder, some = controller(tmp_path / "c", f"{{ {loop} }}"), Frames((run_of(80),))
    here = run_on_host(folder, NAME, some)
    assert differences(here, run_on_core(folder, NAME, some, core="cortex-m55")) is None
    monkeypatch.setitem(
        CORES, "cortex-m55", changed(CORES["cortex-m55"], flags=CORES["cortex-m55"].flags[:2])
    )
    # at -Os GCC makes no vectors, whoever compiles at -O2 gets them
    quick = tuple("-O2" if flag == "-Os" else flag for flag in pil_bench._GCC)
    monkeypatch.setattr(pil_bench, "_GCC", quick)
    sentence = differences(here, run_on_core(folder, NAME, some, core="cortex-m55"))
    assert re.match(
        r"run 0, sample 63: host .*, 8\.816208e-39 \(0x600000\); cortex-m55 .*, 0\.0 \(0x0\)$",
        sentence,
    )


def turns(number):
    """C code of `number` turns of two instructions."""
    return (
        f'{{ uint32_t n = {number}; __asm__ volatile("1: subs %0, %0, #1\\n bne 1b" : "+r"(n) : :'
        ' "cc"); }'
    )


@pytest.mark.parametrize("core", CORES)
def test_every_instruction_is_counted(core, tmp_path):
    need(core)
    some = Frames((run_of(60),))
    rising = run_on_core(
        controller(tmp_path / "c", turns("1 + (state->status & 0xFFFFu)")), NAME, some, core=core
    )
    steady = run_on_core(
        controller(tmp_path / "d", turns("5 + (state->status & 0x10000u)")), NAME, some, core=core
    )
    assert np.diff(rising.instructions[:, 0] - steady.instructions[:, 0]).tolist() == [2] * 59
    assert (rising.instructions[:, 1:] == steady.instructions[:, 1:]).all()


@pytest.mark.parametrize(("core", "resolution"), [("cortex-m4f", 10), ("cortex-m55", 8)])
def test_long_phases_are_counted_more_coarsely(core, resolution, tmp_path):
    need(core)
    some = Frames((run_of(2),))
    short, long = (
        run_on_core(controller(tmp_path / str(n), turns(n)), NAME, some, core=core)
        for n in (50_000, 6_000_000)
    )
    assert (short.resolution, long.resolution) == (1, resolution)
    assert (
        np.abs(long.instructions - short.instructions - [2 * 5_950_000, 0, 0]).max() <= resolution
    )


def test_the_stack_is_the_controllers(tiny, frames, tmp_path):
    need("cortex-m3")
    buffer = "{ volatile unsigned char deep[1000]; deep[0] = 1; deep[999] = deep[0]; }"
    usual = run_on_core(tiny, NAME, frames, core="cortex-m3").stack_bytes
    more = run_on_core(
        controller(tmp_path / "c", buffer), NAME, frames, core="cortex-m3"
    ).stack_bytes
    assert 900 < more - usual < 1100


FAILURES = {
    "float to double": (
        "work->chi[i] = ",
        "work->chi[i] = 1.0 * ",
        r"does not build for cortex-m4f: tiny_controller.c:13:\d+: error: implicit",
    ),
    "syntax": (
        "state->status = 0;",
        "state->status = ;",
        r"does not build for cortex-m4f: tiny_controller.c:7:\d+: error: expected",
    ),
    "libm": (
        "/* prepare */",
        "{ float expf(float); work->chi[0] = expf(work->chi[0]); }",
        "does not build .* undefined reference to `expf'",
    ),
    "fault": (
        "/* prepare */",
        '__asm__ volatile("udf #0");',
        "tiny_controller on cortex-m4f takes a fault of the processor",
    ),
    "stack": (
        "/* prepare */",
        "{ volatile int a[16384]; for (i = 0; i < 16384; ++i) a[i] = i > 0 ? a[i - 1] : 0; }",
        "uses up the stack",
    ),
    "long": (
        "/* prepare */",
        turns(84_500_000),
        "takes more instructions for one phase than the counter can count, 131 million",
    ),
}


@pytest.mark.parametrize(("old", "new", "words"), FAILURES.values(), ids=list(FAILURES))
def test_every_failure_has_its_sentence_and_leaves_nothing(old, new, words, tmp_path, monkeypatch):
    need("cortex-m4f")
    folder = controller(tmp_path / "c", new, old=old)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(InputError, match=words):
        run_on_core(folder, NAME, Frames((run_of(3),)), core="cortex-m4f")
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_what_never_ends_is_ended(tmp_path, monkeypatch):
    need("cortex-m4f")
    folder = controller(tmp_path / "c", "for (;;) (void)*(volatile uint32_t *)&state->status;")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(
        InputError,
        match="tiny_controller on cortex-m4f did not end within 1 s; it hangs, or needs more",
    ):
        run_on_core(folder, NAME, Frames((run_of(3),)), core="cortex-m4f", timeout=1)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_failures_on_the_host_have_sentences(tiny, frames, tmp_path):
    need("host")
    with pytest.raises(
        InputError,
        match=(
            r"tiny_controller on host does not fit the frames: other numbers of inputs, outputs or"
            r" setpoint rows"
        ),
    ):
        run_on_host(tiny, NAME, Frames((run_of(3, rows=1),)))
    with pytest.raises(
        InputError, match=r"has no other\.h; name the folder of an exported controller"
    ):
        run_on_host(tiny, "other", frames)
    crash = controller(tmp_path / "c", "__builtin_trap();")
    with pytest.raises(
        InputError, match=r"tiny_controller on host ends with signal \d+ \(no message\)"
    ):
        run_on_host(crash, NAME, frames)


def test_a_counter_that_counts_otherwise_is_refused(tiny, frames, monkeypatch):
    need("cortex-m4f")
    monkeypatch.setitem(CORES, "cortex-m4f", changed(CORES["cortex-m4f"], clock=20_000_000))
    with pytest.raises(
        InputError,
        match=r"cortex-m4f: this QEMU counts 1250004 instructions where 1000000 are; 7\.2 is known",
    ):
        run_on_core(tiny, NAME, frames, core="cortex-m4f")


def test_frames_that_end_too_early_are_refused(tiny, frames, monkeypatch):
    need("host", "cortex-m4f")
    whole = frames.to_bytes(np.dtype("<f4"))
    monkeypatch.setattr(Frames, "to_bytes", lambda *_: whole[:-4])
    with pytest.raises(
        InputError, match="tiny_controller on host cannot read its frames or write its answers"
    ):
        run_on_host(tiny, NAME, frames)
    with pytest.raises(
        InputError,
        match="tiny_controller on cortex-m4f cannot read its frames or write its answers",
    ):
        run_on_core(tiny, NAME, frames, core="cortex-m4f")


@pytest.mark.parametrize(
    ("core", "tool", "package"),
    [("host", "cc", "gcc"), ("cortex-m7", "arm-none-eabi-gcc", "gcc-arm-none-eabi")],
)
def test_a_missing_tool_is_named_with_its_package(tiny, frames, core, tool, package, monkeypatch):
    monkeypatch.setenv("PATH", "")
    sentence = f"{core}: {tool} is missing; `apt-get install {package}` brings it"
    assert missing(core) == sentence
    with pytest.raises(InputError, match=sentence):
        (
            run_on_host(tiny, NAME, frames)
            if core == "host"
            else run_on_core(tiny, NAME, frames, core=core)
        )
    monkeypatch.setenv("LSTM_MPC_REQUIRE_PIL", "1")
    with pytest.raises(pytest.fail.Exception, match=tool):
        need(core)
    monkeypatch.delenv("LSTM_MPC_REQUIRE_PIL")
    with pytest.raises(pytest.skip.Exception, match=tool):
        need(core)


def test_an_unknown_core_is_refused(tiny, frames):
    with pytest.raises(
        InputError,
        match=(
            "core 'cortex-m0' is not known; choose from cortex-m3, cortex-m4f, cortex-m7,"
            " cortex-m55"
        ),
    ):
        run_on_core(tiny, NAME, frames, core="cortex-m0")


def test_frames_fit_together():
    good = run_of(3)
    with pytest.raises(InputError, match=r"frames: y must have 2 dimension\(s\), got shape \(3,\)"):
        changed(good, y=np.zeros(3))
    with pytest.raises(
        InputError,
        match=r"frames: y0 \(1,\), y \(4, 1\) and reference \(3, 2, 1\) do not belong together",
    ):
        changed(good, y=np.zeros((4, 1)))
    with pytest.raises(
        InputError, match=r"need at least one run, and one shape .* of all; got \[\]"
    ):
        Frames(())
    with pytest.raises(InputError, match=r"got \[\(2, 1, 2\), \(2, 1, 3\)\]"):
        Frames((good, run_of(3, rows=3)))
    assert not good.y.flags.writeable


def answer_of(machine, **changes):
    said = {
        "begin": np.uint32([0, 0]),
        "u": np.float32([[1], [2], [np.nan]]),
        "status": np.uint32([0, 8, 0]),
    }
    return Replay(machine, (1, 2), **said | changes, struct_bytes={})


def test_the_first_difference_is_told():
    host = answer_of("host")
    assert differences(host, answer_of("core")) is None
    sentence = (
        "run 1, sample 0: host has status 8, u = 2.0 (0x40000000); core has status 9, u = 2.0"
        " (0x40000000)"
    )
    assert differences(host, answer_of("core", status=np.uint32([0, 9, 1]))) == sentence
    signed = answer_of("core", u=np.float32([[1], [2], [-np.nan]]))
    assert (
        differences(host, signed)
        == "run 1, sample 1: host has status 0, u = nan (0x7fc00000); core has status 0, u = nan"
        " (0xffc00000)"
    )
    assert (
        differences(host, answer_of("core", begin=np.uint32([0, 128])))
        == "run 1: init returns 0 on host, 128 on core"
    )
    assert not host.u.flags.writeable
    with pytest.raises(
        InputError, match="the replays on host and core are of other frames or of another precision"
    ):
        differences(host, answer_of("core", u=np.zeros((3, 1))))
