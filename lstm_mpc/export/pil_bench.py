"""The bench of the processor in the loop: the C of a controller, in a folder, replays frames on the
host and on Cortex-M cores in QEMU.

An emulated core has the instructions of the real one, its float unit's too, but neither cycles nor
caches: they are counted, not timed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.codegen.compiler import system_compiler
from lstm_mpc.errors import InputError
from lstm_mpc.export.pil_frames import CORES, Frames, Replay, Sizes
from lstm_mpc.io.templates import render

# a fused multiply-add rounds once where the host rounds twice
_C = ("-std=c99", "-Os", "-ffp-contract=off")
WARNINGS = (
    *("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wdouble-promotion"),
    "-Werror",
)
_GCC = (
    "arm-none-eabi-gcc",
    *_C,
    *WARNINGS,
    "-ffreestanding",
    "-ffunction-sections",
    "-fdata-sections",
    "-mthumb",
)
_LINK = (
    "-nostdlib",
    "-nostartfiles",
    "-Wl,--gc-sections",
    "-Wl,--fatal-warnings",
    "-T",
    "target.ld",
)
_QUIET = ("-display", "none", "-monitor", "none", "-serial", "none")
_QEMU = (
    "qemu-system-arm",
    *_QUIET,
    "-semihosting-config",
    "enable=on,target=native",
    "-kernel",
    "pil.elf",
)
# An instruction takes 2^shift ns of the emulated clock: 6 counts every one up to 8 million in a
# phase, 2 in steps of 10 up to 131 million.
_SHIFTS = (6, 2)
_LOOP, _AROUND = 1_000_000, 8  # instructions of the known loop in pil_main.c; at most of its call
_TOOLS = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "arm-none-eabi-size": "binutils-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}
_COUNTER = 13
_EXITS = {  # port.h
    11: "cannot read its frames or write its answers",
    12: "does not fit the frames: other numbers of inputs, outputs or setpoint rows",
    _COUNTER: "takes more instructions for one phase than the counter can count, 131 million",
    14: "uses up the stack",
    15: "takes a fault of the processor",
}


def missing(core: str) -> str | None:
    """The sentence that says which tool `core` (of CORES, or "host") lacks and which package brings
    it; None when it lacks none."""
    if core not in (*CORES, "host"):
        raise InputError(f"core {core!r} is not known; choose from {', '.join(CORES)}")
    host = {} if system_compiler() else {"cc": "gcc"}
    for tool, package in (host if core == "host" else _TOOLS).items():
        if shutil.which(tool) is None:
            return f"{core}: {tool} is missing; `apt-get install {package}` brings it"
    return None


def run_on_host(
    folder: str | Path, name: str, frames: Frames, *, double: bool = False, timeout: float = 60.0
) -> Replay:
    """Answers of the controller `name`, exported to `folder`, compiled here. `timeout` [s].
    InputError with the reason."""
    if (lacks := missing("host")) is not None:
        raise InputError(lacks)
    with _bench(folder, name, frames, "host", double) as bench:
        bench.compile(
            str(system_compiler()),
            *_C,
            "-o",
            "pil",
            "pil_main.c",
            "port_host.c",
            f"{name}.c",
            f"{name}_data.c",
        )
        bench.execute(["./pil"], timeout)
        return bench.answers()


def run_on_core(
    folder: str | Path,
    name: str,
    frames: Frames,
    *,
    core: str,
    double: bool = False,
    timeout: float = 60.0,
) -> Replay:
    """Answers of the controller `name`, exported to `folder`, cross-compiled and run on a `core` of
    CORES. `timeout` [s].

    InputError with the reason: a tool is missing, the compiler's first error, a fault, the time is
    over."""
    with _bench(folder, name, frames, core, double) as bench:
        own, machine = (f"{name}.o", f"{name}_data.o"), CORES[core]
        bench.compile(*_GCC, *machine.flags, "-c", f"{name}.c", f"{name}_data.c")
        bench.compile(
            *_GCC,
            *machine.flags,
            *_LINK,
            "-o",
            "pil.elf",
            "pil_main.c",
            "port_target.c",
            "startup.c",
            *own,
            "-lgcc",
        )
        sizes = _sizes(bench.run("arm-none-eabi-size", "-A", *own))
        for shift in _SHIFTS:
            allowed = _COUNTER if shift != _SHIFTS[-1] else 0
            if (
                bench.execute(
                    [*_QEMU, "-M", machine.machine, "-icount", f"shift={shift}"],
                    timeout,
                    allowed=allowed,
                )
                == 0
            ):
                break
        return bench.answers(2**shift * machine.clock / 1e9, sizes)


@dataclass(frozen=True)
class _Bench:
    """A temporary directory with the harness, the controller and its frames."""

    at: Path
    name: str
    frames: Frames
    machine: str
    real: np.dtype[Any]

    def run(self, *command: str) -> str:
        """What `command` prints; InputError with the first error it tells of."""
        english = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(
            command,
            cwd=self.at,
            env=english,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.splitlines() or ["no message"]
            first = next(
                (line for line in lines if "error:" in line or "undefined reference" in line),
                lines[0],
            )
            raise InputError(f"{self.name} does not build for {self.machine}: {first}")
        return done.stdout

    def compile(self, *command: str) -> None:
        self.run(*command, *([f"-D{self.name.upper()}_DOUBLE"] if self.real == np.float64 else []))

    def execute(self, command: list[str], timeout: float, *, allowed: int = 0) -> int:
        """The exit code of `command`, 0 or the `allowed` one; InputError for any other, and after
        `timeout` [s]."""
        null, pipe = subprocess.DEVNULL, subprocess.PIPE
        process = subprocess.Popen(
            command, cwd=self.at, stdin=null, stdout=null, stderr=pipe, start_new_session=True
        )
        try:
            _, stderr = process.communicate(timeout=timeout)
        except BaseException as error:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise InputError(
                    f"{self.name} on {self.machine} did not end within {timeout:g} s; it hangs, or"
                    " needs more"
                ) from None
            raise
        if (code := process.returncode) not in (0, allowed):
            words = next(iter(stderr.decode(errors="replace").splitlines()), "no message")
            ended = f"ends with {f'signal {-code}' if code < 0 else f'exit code {code}'} ({words})"
            raise InputError(f"{self.name} on {self.machine} {_EXITS.get(code, ended)}")
        return code

    def answers(self, ticks: float | None = None, sizes: Sizes | None = None) -> Replay:
        """answers.bin of pil_main.c; `ticks` of the counter in one instruction, where there is a
        counter."""
        data = (self.at / "answers.bin").read_bytes()
        begun = np.dtype([("status", "<u4"), ("ticks", "<u4")])
        sample = np.dtype(
            [
                ("u", self.real, (self.frames.runs[0].shape[0],)),
                ("status", "<u4"),
                ("ticks", "<u4", (3,)),
            ]
        )
        lengths, place, begins, samples = tuple(len(run.y) for run in self.frames.runs), 0, [], []
        for length in lengths:
            begins.append(np.frombuffer(data, begun, 1, place))
            place += begun.itemsize
            samples.append(np.frombuffer(data, sample, length, place))
            place += length * sample.itemsize
        begin, answer = np.concatenate(begins), np.concatenate(samples)
        *structs, stack, nothing, loop = np.frombuffer(data, "<u4", 6, place).tolist()
        struct_bytes = dict(zip(("state", "work", "model"), structs, strict=True))
        said = Replay(
            self.machine, lengths, begin["status"], answer["u"], answer["status"], struct_bytes
        )
        if ticks is None:
            return said
        resolution = max(1, round(1 / ticks))
        ruler = int(_instructions(loop, nothing, ticks))
        if not -resolution <= ruler - _LOOP <= _AROUND + resolution:
            raise InputError(
                f"{self.machine}: this QEMU counts {ruler} instructions where {_LOOP} are; 7.2 is"
                " known to count right"
            )
        counts, init = (_instructions(ran["ticks"], nothing, ticks) for ran in (answer, begin))
        return replace(
            said,
            instructions=counts,
            init_instructions=init,
            resolution=resolution,
            stack_bytes=stack,
            sizes=sizes,
        )


def _instructions(ran: Any, nothing: int, ticks: float) -> NDArray[np.int64]:
    """Instructions of a phase: those that reach the middle of the tick read, less the ones of
    reading `nothing`."""
    total, reading = (np.rint((np.asarray(reached) + 0.5) / ticks) for reached in (ran, nothing))
    return np.asarray(total - reading, dtype=np.int64)


@contextmanager
def _bench(
    folder: str | Path, name: str, frames: Frames, machine: str, double: bool
) -> Iterator[_Bench]:
    if (lacks := missing(machine)) is not None:
        raise InputError(lacks)
    real = np.dtype("<f8" if double else "<f4")
    with tempfile.TemporaryDirectory() as place:
        at, header = Path(place), Path(folder, f"{name}.h")
        measured = header.is_file() and f"#define {name.upper()}_NM " in header.read_text("utf-8")
        for source in (resources.files("lstm_mpc.export") / "templates" / "pil").iterdir():
            text = render("export", f"pil/{source.name}", name=name, measured=measured)
            (at / source.name).write_text(text, encoding="utf-8")
        for file in (f"{name}.h", f"{name}.c", f"{name}_data.c"):
            if not Path(folder, file).is_file():
                raise InputError(
                    f"{folder}: has no {file}; name the folder of an exported controller"
                )
            shutil.copyfile(Path(folder, file), at / file)
        (at / "frames.bin").write_bytes(frames.to_bytes(real))
        yield _Bench(at, name, frames, machine, real)


def _sizes(table: str) -> Sizes:
    """The sums over what `arm-none-eabi-size -A` prints: lines of section, size, address."""
    lines = map(str.split, table.splitlines())
    rows = [row for row in lines if len(row) == 3 and row[0].startswith(".")]
    total = {
        kind: sum(int(size) for name, size, _ in rows if name.startswith(kind))
        for kind in (".text", ".rodata", ".data", ".bss")
    }
    return Sizes(*total.values())
