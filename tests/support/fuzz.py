"""A seeded mutation fuzzer for everything that reads a file. Whatever comes in: a value, or one
sentence; never a traceback, a hang, a swollen memory, or code from the file.

    python tests/fuzz.py 10000                  # every reader, counts and failures
    python tests/fuzz.py 10000 model release    # some of them

A new reader is one more `Reader` in `readers()`: its file name, how it is read, and samples to
begin from."""

import io
import json
import math
import resource
import signal
import sys
import tempfile
import time
import tomllib
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from builders import paper_policy, stable_model, validation_for
from fuzz_networks import (
    h5_samples,
    keras_samples,
    onnx_samples,
    read_with_data,
    remade_h5,
    remade_keras,
)
from places import ROOT

from lstm_mpc.assurance.checkpoint import KIND as PART, Checkpoint
from lstm_mpc.assurance.loop_law import LoopLaw
from lstm_mpc.assurance.loops.experiment import BatchResult
from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.evidence import Certificate, LoopVerification, Tubes, Verification
from lstm_mpc.certificates.gate import Release, release
from lstm_mpc.certificates.reachability import reach
from lstm_mpc.certificates.scenarios import VerifyOptions, verify
from lstm_mpc.data.csv_file import read_csv
from lstm_mpc.data.log_reader import read_raw
from lstm_mpc.errors import LstmMpcError
from lstm_mpc.io import artefact_file, schema
from lstm_mpc.io.export_folder import MANIFEST, refuse_foreign, write_folder
from lstm_mpc.model.importers.import_file import read_foreign
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Signal
from lstm_mpc.project.design import load_design

# of processor time and of address space beyond what there is: what one file may cost
SECONDS, MEMORY = 2.0, 2**30
SHIPPED = ROOT / "models"
Rng = np.random.Generator


@dataclass(frozen=True)
class Reader:
    """How one kind of file is read. `tree` says how its content is taken apart: "json", "toml",
    "csv", or in `remake` a mutation of its own; bytes are spoilt whatever it is."""

    name: str
    file: str
    read: Callable[[Path], Any]
    samples: tuple[bytes, ...]
    tree: str = ""
    remake: Callable[[Rng, bytes], bytes] | None = None


@dataclass
class Report:
    """What became of the inputs: read, refused, and what must not happen."""

    counts: Counter = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class Hang(BaseException):
    """A reader that took too long; no `except Exception` swallows it."""


def fuzz(reader: Reader, count: int, place: Path, *, seed: int = 0) -> Report:
    """Read `count` spoilt files; the same seed spoils them alike."""
    report, path = Report(), place / reader.file
    with bounded():
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            how, data = spoilt(rng, reader)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            kind, words = attempt(reader.read, path)
            report.counts[kind] += 1
            if kind not in ("read", "refused"):
                report.failures.append(
                    f"{reader.name}, seed {seed}, number {number} ({how}): {words}"
                )
    return report


def attempt(read: Callable[[Path], Any], path: Path) -> tuple[str, str]:
    """("read" | "refused" | what went wrong, in words)."""

    def late(*_: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        read(path)
        return "read", ""
    except LstmMpcError as error:
        words = str(error)
        if "\n" in words or len(words) > 1000 or not words.isprintable():
            return "not one sentence", repr(words[:600])
        return "refused", words
    except Hang:
        return "hang", "".join(traceback.format_stack(limit=6))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return (
            "traceback",
            f"{type(error).__name__}: {error!s:.200} at {Path(where.filename).name}:{where.lineno}",
        )
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def bounded():
    """An address space that holds little more than what is there already."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


# -- spoiling --------------------------------------------------------------------------------------

NASTY = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    10**9,
    -(10**9),
    2**63,
    10**400,
    0.5,
    -0.0,
    5e-324,
    1e308,
    -1e308,
    1e-300,
    "",
    "1",
    "nan",
    "text",
    "\x00",
    "\ud7ff",
    "名前 µ\u202e",
    "../../etc/passwd",
    "x" * 5000,
    "a\nb",
    [],
    {},
    [[]],
    [1],
    [1, 2],
    [[1.0]],
    ["a"],
    [None],
    {"a": 1},
    [0.0] * 500,
)
LITTER = (
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"\n\n",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"9" * 5000,
    b"[" * 20000,
    b'{"a":' * 20000,
    b"a.b." * 3000,
    b'"',
    b"'''",
    b"\\u0000",
    b"\xc0\x80",
    b",",
    b";",
    b"=",
    b"0x",
    b"1_000",
    b"1979-05-27T07:32:00Z",
    b"inf",
    b"-",
    b"\xed\xa0\x80",
    b"!!python/object/apply:os.system ['true']",
    b"\x1a",
    b"\x80",
)


def spoilt(rng: Rng, reader: Reader) -> tuple[str, bytes]:
    """How, and the bytes of a spoilt file."""
    data = reader.samples[rng.integers(len(reader.samples))]
    ways = ["bytes"] + 3 * [way for way in (reader.tree, "remade" if reader.remake else "") if way]
    way = ways[rng.integers(len(ways))]
    if way == "bytes":
        return way, _bytes(rng, data, reader.samples)
    if way == "remade":
        return way, reader.remake(rng, data)
    return way, {"json": _json, "toml": _toml, "csv": _csv}[way](rng, data, reader.samples)


def _bytes(rng: Rng, data: bytes, samples: tuple[bytes, ...]) -> bytes:
    spoilt = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        size = len(spoilt)
        a, b = sorted(int(i) for i in rng.integers(0, size + 1, 2))
        match rng.integers(9):
            case 0:  # bits flip
                for at in rng.integers(0, max(size, 1), min(size, int(rng.integers(1, 9)))):
                    spoilt[at] ^= 1 << int(rng.integers(8))
            case 1:  # cut short
                del spoilt[a:]
            case 2:  # a piece lost
                del spoilt[a : min(b, a + 200)]
            case 3:  # a piece twice
                spoilt[b:b] = spoilt[a : min(b, a + 2000)]
            case 4:  # two files in one
                other = samples[rng.integers(len(samples))]
                spoilt[a:] = other[int(rng.integers(len(other) + 1)) :]
            case 5:  # litter within
                spoilt[a:a] = LITTER[rng.integers(len(LITTER))]
            case 6:  # litter in place of something
                spoilt[a : min(b, a + 12)] = LITTER[rng.integers(len(LITTER))]
            case 7:  # from Windows, or with a mark at the start
                spoilt = bytearray(
                    spoilt.replace(b"\n", b"\r\n") if rng.integers(2) else b"\xef\xbb\xbf" + spoilt
                )
            case _:  # noise
                spoilt[a : min(b, a + 16)] = rng.bytes(int(rng.integers(1, 16)))
    return bytes(spoilt)


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a tree of dicts and lists, the inner ones too; of a long list only the first
    and last."""
    found = [at] if at else []
    if isinstance(value, dict):
        for key in value:
            found += _paths(value[key], (*at, key))
    elif isinstance(value, list):
        for i in {*range(min(len(value), 4)), *({len(value) - 1} if value else ())}:
            found += _paths(value[i], (*at, i))
    return found


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _graft(rng: Rng, tree: Any, other: Any) -> Any:
    """`tree` with a few places spoilt: replaced, left out, doubled, renamed, wrapped, or taken from
    `other`."""
    for _ in range(rng.integers(1, 3)):
        paths = _paths(tree)
        if not paths:
            return tree
        *above, key = paths[rng.integers(len(paths))]
        inside = _at(tree, tuple(above))
        match rng.integers(10):
            case 0:
                del inside[key]
            case 1 if isinstance(inside, list):
                inside.insert(key, deepcopy(inside[key]))
            case 1:
                inside[str(NASTY[19 + rng.integers(6)])] = deepcopy(inside[key])
            case 2:
                theirs = _paths(other)
                inside[key] = (
                    deepcopy(_at(other, theirs[rng.integers(len(theirs))])) if theirs else None
                )
            case 3:
                deep: Any = inside[key]
                for _ in range(int(rng.choice([1, 2, 60]))):
                    deep = [deep] if rng.integers(2) else {"a": deep}
                inside[key] = deep
            case 4 if isinstance(inside[key], (int, float)) and abs(inside[key]) < 2**63:
                inside[key] = inside[key] * float(
                    rng.choice([-1.0, 1e-9, 1 + 1e-12, 1.01, 1e3, 1e9])
                )
            case 5 if isinstance(inside[key], list):
                inside[key] = (inside[key] * 3)[: int(rng.integers(0, 400))]
            case 6 if isinstance(inside[key], str):
                inside[key] = inside[key] + "\u0000\n" + inside[key][::-1]
            case _:
                inside[key] = deepcopy(NASTY[rng.integers(len(NASTY))])
    return tree


def _json(rng: Rng, data: bytes, samples: tuple[bytes, ...]) -> bytes:
    """A mutated artefact with a digest that is right again, so that what it says is what must be
    refused."""
    tree, other = json.loads(data), json.loads(samples[rng.integers(len(samples))])
    fixed = {key: tree.pop(key) for key in ("kind", "format", "digest")}
    tree = _graft(rng, tree, other)
    body = {
        "kind": fixed["kind"],
        "format": fixed["format"] if rng.integers(40) else NASTY[rng.integers(len(NASTY))],
        **tree,
    }
    try:
        body["digest"] = artefact_file.digest(body)
    except (ValueError, OverflowError, RecursionError):
        body["digest"] = fixed["digest"]
    if not rng.integers(30):
        body["digest"] = NASTY[rng.integers(len(NASTY))]
    return json.dumps(body, ensure_ascii=bool(rng.integers(2))).encode("utf-8", "surrogatepass")


def _toml(rng: Rng, data: bytes, samples: tuple[bytes, ...]) -> bytes:
    """A mutated design; numbers that TOML knows and JSON does not are among them."""
    tree, other = (
        tomllib.loads(text.decode()) for text in (data, samples[rng.integers(len(samples))])
    )
    tree = _graft(rng, tree, other)
    if not rng.integers(4):
        *above, key = (paths := _paths(tree))[rng.integers(len(paths))]
        _at(tree, tuple(above))[key] = float(rng.choice([math.nan, math.inf, -math.inf]))
    lines = [f"{json.dumps(str(key))} = {_value(value)}" for key, value in tree.items()]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _value(value: Any) -> str:
    """TOML text; inline tables and arrays, since they nest."""
    if value is None:
        return "1979-05-27"
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{json.dumps(str(k))} = {_value(v)}" for k, v in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, default=str)


CELLS = (
    "",
    "NaN",
    "inf",
    "-inf",
    "1e999",
    "text",
    "9" * 400,
    "0x10",
    "1,5",
    '"',
    "'",
    "\x00",
    "1_000",
    "=1+1",
    "-0",
    "1e308",
    "５",
    " ",
    "1970-01-01",
)


def _csv(rng: Rng, data: bytes, samples: tuple[bytes, ...]) -> bytes:
    rows = [line.split(",") for line in data.decode().splitlines()]
    for _ in range(rng.integers(1, 5)):
        i, j = int(rng.integers(len(rows))), int(rng.integers(len(rows[0])))
        match rng.integers(8):
            case 0:
                del rows[i]
            case 1:
                rows.insert(i, list(rows[i]))
            case 2:
                rows[i] = rows[i][: -1 or None]
            case 3:
                rows[i] = [*rows[i], CELLS[rng.integers(len(CELLS))]]
            case 4:
                for row in rows:
                    row[j : j + 1] = []
            case 5:
                rows[0], rows[i] = rows[i], rows[0]
            case _:
                rows[i][min(j, len(rows[i]) - 1) :][:1] = []
                rows[i] = [*rows[i][:j], CELLS[rng.integers(len(CELLS))], *rows[i][j + 1 :]]
        if len(rows) < 2 or not rows[0]:
            break
    mark = "\r\n" if rng.integers(4) == 0 else "\n"
    text = mark.join((";" if rng.integers(12) == 0 else ",").join(row) for row in rows)
    return text.encode("utf-16" if rng.integers(40) == 0 else "utf-8")


# -- files of other frameworks ---------------------------------------------------------------------


class Trap:
    """Unpickled, it leaves a trace; no reader may ever let it."""

    sprung = Path(tempfile.gettempdir()) / "lstm_mpc-fuzz-trap"

    def __reduce__(self):
        return (Path.touch, (Trap.sprung,))


def _arrays(rng: Rng, arrays: dict[str, Any]) -> dict[str, Any]:
    """Arrays with a few of another name, shape, type or content."""
    for _ in range(rng.integers(1, 3)):
        names = list(arrays)
        if not names:
            return arrays
        name = names[rng.integers(len(names))]
        value = arrays[name]
        match rng.integers(9):
            case 0:
                del arrays[name]
            case 1:
                arrays[
                    ["lstm.weight_hr_l0", "x", "", "../x", name + "_reverse", "lstm.weight_ih_l9"][
                        rng.integers(6)
                    ]
                ] = value
            case 2:
                arrays[name] = np.array(value).reshape(-1)[: int(rng.integers(0, 5))]
            case 3:
                arrays[name] = np.full(
                    np.shape(value), [np.nan, np.inf, 1e38, -1e38, 0.0][rng.integers(5)], np.float32
                )
            case 4:
                arrays[name] = np.array(value).astype(
                    [np.int64, np.float16, np.float64, np.complex64, np.bool_][rng.integers(5)]
                )
            case 5:
                arrays[name] = np.array(value).T[None]
            case 6:
                arrays[name] = np.zeros(
                    [(0, 0), (1,), (), (0,), (4, 0), (12, 1), (1, 12), (2, 2, 2)][rng.integers(8)],
                    np.float32,
                )
            case 7:
                arrays[name] = np.vstack([np.atleast_2d(value)] * int(rng.integers(2, 5)))
            case _:
                arrays[name] = np.array(value) * np.float32(10.0 ** rng.integers(-40, 38))
    return arrays


def _npz(rng: Rng, data: bytes) -> bytes:
    with np.load(io.BytesIO(data)) as archive:
        arrays = _arrays(rng, dict(archive))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in arrays.items():
            body = io.BytesIO()
            np.save(body, value)
            raw = body.getvalue()
            match rng.integers(12):
                case 0:  # a header that promises more than there is
                    raw = raw.replace(
                        b"'shape': (",
                        b"'shape': ("
                        + [b"1000000000, ", b"-1, ", b"9" * 30 + b", ", b"'a', "][rng.integers(4)],
                    )
                case 1:
                    raw = raw.replace(
                        b"'<f4'",
                        [b"'|O'", b"'<U9'", b"'|V4'", b"'<M8[s]'", b"__import__('os')"][
                            rng.integers(5)
                        ],
                    )
                case 2 if not rng.integers(25):  # a bomb: much from little
                    raw += bytes(80 * 2**20)
                case 3:
                    body = io.BytesIO()
                    np.save(body, np.array([Trap()], dtype=object), allow_pickle=True)
                    raw = body.getvalue()
            archive.writestr((name or "a") + (".npy" if rng.integers(10) else ""), raw)
    return packed.getvalue()


def _safetensors(rng: Rng, data: bytes) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    text = json.dumps(_graft(rng, header, deepcopy(header))).encode()
    size = len(text) if rng.integers(8) else int(rng.choice([0, 2**31, 2**63 - 1, len(text) + 1]))
    return size.to_bytes(8, "little") + text + body


WORDS = (
    "", "x", "LSTM", "Loop", "Gemm", "Add", "h0", "u", "\x00", "Transpose", "Constant", "Squeeze",
    "Reshape", "Slice", "Concat", "Gather", "Expand", "ConstantOfShape", "Range", "Tile", "Shape",
    "Mul", "Div", "Sigmoid", "Tanh", "Pow", "Split", "Clip", "Cast", "k0", "k3", "v0_0", "v5_0",
)  # fmt: skip


def _onnx(rng: Rng, data: bytes) -> bytes:
    """Fields of the protobuf itself, so that it still parses."""
    import onnx

    model = onnx.load_model_from_string(data)
    graph = model.graph
    for _ in range(rng.integers(1, 4)):
        tensor = (
            graph.initializer[rng.integers(len(graph.initializer))]
            if graph.initializer
            else onnx.TensorProto()
        )
        node = graph.node[rng.integers(len(graph.node))] if graph.node else onnx.NodeProto()
        word = WORDS[rng.integers(len(WORDS))]
        number = int(rng.choice([0, 1, -1, 2, 3, 7, 13, 10**9, 2**31 - 1, -(2**63)]))
        match rng.integers(18):
            case 15 if tensor.data_type == onnx.TensorProto.INT64 and tensor.raw_data:
                values = np.frombuffer(tensor.raw_data, "<i8").copy()
                values[rng.integers(len(values))] = number
                tensor.raw_data = values.tobytes()
            case 16 if tensor.external_data:
                entry = tensor.external_data[rng.integers(len(tensor.external_data))]
                entry.key = ["location", "offset", "length", "checksum"][rng.integers(4)]
                entry.value = [str(number), word, "net.onnx", "48"][rng.integers(4)]
            case 17 if node.attribute:
                node.attribute[rng.integers(len(node.attribute))].name = word
            case 0 if tensor.dims:
                tensor.dims[rng.integers(len(tensor.dims))] = number
            case 1:
                tensor.data_type = int(rng.integers(0, 24))
            case 2:
                tensor.data_location = onnx.TensorProto.EXTERNAL
                entry = tensor.external_data.add()
                entry.key, entry.value = (
                    "location",
                    ["../../etc/passwd", "/etc/passwd", "weights.bin"][rng.integers(3)],
                )
            case 3:
                tensor.name = word
            case 4:
                tensor.raw_data = tensor.raw_data[: int(rng.integers(0, 40))]
            case 5:
                node.op_type = word
            case 6 if node.input:
                node.input[rng.integers(len(node.input))] = word
            case 7 if node.output:
                node.output[rng.integers(len(node.output))] = word
            case 8 if node.attribute:
                attribute = node.attribute[rng.integers(len(node.attribute))]
                attribute.i = number
                attribute.type = int(rng.integers(0, 15))
            case 9 if node.attribute and node.attribute[0].ints:
                node.attribute[0].ints[0] = number
            case 10:
                graph.node.append(node)
            case 11 if graph.node:
                del graph.node[rng.integers(len(graph.node))]
            case 12 if graph.input:
                kind = graph.input[0].type.tensor_type
                kind.elem_type = int(rng.integers(0, 20))
                if kind.shape.dim:
                    kind.shape.dim[rng.integers(len(kind.shape.dim))].dim_value = number
            case 13 if model.opset_import:
                model.opset_import[0].version = number
            case 14:
                model.ir_version = abs(number) % 2**31
            case _:
                node.input.append(word)
    return bytes(model.SerializeToString())


# -- what is read ----------------------------------------------------------------------------------

SIGNALS = (Signal("u1", "V", -1.0, 3.0),), (Signal("y1", "m", -50.0, 50.0),)
TABLE = "t [s],u1 [V],y1 [m]\n" + "".join(
    f"{10.0 * k},{math.sin(k):.4f},{math.cos(k):.4f}\n" for k in range(12)
)
LOG = "time,a,b\n" + "".join(f"2026-03-01T00:{k:02d}:00,{math.sin(k):.4f},{k}\n" for k in range(12))
PLAIN = """
name = "plain"
[[input]]
name = "u"
unit = "V"
low = 0.0
high = 1.0
[[output]]
name = "y"
unit = "m"
low = -1.0
high = 1.0
[data]
training = ["a.csv"]
validation = ["b.csv"]
[train]
cells = [3, 2]
[import]
u_mid = [0.0]
u_span = [1.0]
Ts = 2.0
[observer]
kind = "gated"
"""


def tiny() -> dict[str, Any]:
    """The smallest model with every kind of evidence."""
    model = stable_model(0, 1, (1,), 1)
    model = replace(model, inputs=(replace(model.inputs[0], nominal=0.5),))
    safe = ((-100.0, 100.0),)
    checked = verify(model, VerifyOptions(steps=4, settle=1), safe_set=safe)
    tube = reach(model, safe_set=safe, steps=5)
    certificates = [certify(model, name) for name in ("iss", "delta_iss")]
    passed = release(
        model,
        certificates,
        checked,
        validation_for(model),
        paper_policy(output_set="either"),
        safe_set=safe,
        tube=tube,
    )
    law = LoopLaw(((0.0, 1.0),), ((0.0, 1.0),), disturbances={"q1": (0.0, 1.0)})
    sampled = (
        0.1,
        1e-3,
        "exact",
        100,
        20,
        5,
        0,
        law.describe(),
        safe,
        0.5,
        (0.0,),
        (1.0,),
        3,
        0.0,
        None,
        (0.1,),
        {"budget": 2},
    )
    loop = LoopVerification(model.digest, "0" * 64, "1" * 64, *sampled)
    return {
        "model": model,
        "certificate": certificates[1],
        "verification": checked,
        "tubes": Tubes(model.digest, (tube,)),
        "release": passed,
        "loop-verification": loop,
    }


def readers(place: Path) -> dict[str, Reader]:
    """Every reader of the package by name; their samples are made in `place`."""
    from foreign_nets import keras, pytorch, weights

    place.mkdir(parents=True, exist_ok=True)
    nouns = tiny()
    saved = {}
    for name, noun in nouns.items():
        noun.save(place / "noun.json")
        saved[name] = (place / "noun.json").read_bytes()

    def rest(kind: str, content: dict[str, Any]) -> bytes:
        artefact_file.write_json(place / "noun.json", kind, content)
        return (place / "noun.json").read_bytes()

    def looped(path: Path) -> LoopLaw:
        return LoopLaw.from_description(LoopVerification.load(path).law)

    campaign = "c" * 64
    part = rest(
        PART,
        {
            "campaign": campaign,
            "part": (
                BatchResult(0, 4, 0.5, 2, (0.0,), (1.0,), 0.0, None, (0.1,), {"budget": 1}).__dict__
            ),
        },
    )
    write_folder(place / "made", {"a.c": "int a;\n"}, kind="export", products=("*.o",))
    manifest = (place / "made" / MANIFEST).read_bytes()
    state = weights(0, 1, (2,), 1)
    tensors = {"npz": [], "safetensors": []}
    for layout in (pytorch, keras):
        arrays = layout(*state)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        tensors["npz"].append(buffer.getvalue())
        from safetensors.numpy import save

        tensors["safetensors"].append(save({k: np.ascontiguousarray(v) for k, v in arrays.items()}))
    from lstm_mpc.export.onnx_model import onnx_model

    exported = next(
        bytes(body) for name, body in onnx_model(nouns["release"]).items() if name.endswith(".onnx")
    )
    designs = tuple((SHIPPED / name / "design.toml").read_bytes() for name in ("ph", "ph_paper"))
    training = rest(
        "lstm_mpc training report",
        {"model": "0" * 64, "starts": [{"seed": 0, "history": [[0, 1.0, 50.0, 0.1]]}]},
    )
    closed = rest(
        "lstm_mpc closed loop",
        {
            "model": "0" * 64,
            "engine": "sqp",
            "runs": [{"metrics": {"iae": 1.0}, "series": {"y": [[None]]}}],
        },
    )
    pil = rest(
        "lstm_mpc processor in the loop",
        {"model": "0" * 64, "cores": {"cortex-m4f": [{"flash": 1}]}},
    )
    logs = (LOG.encode(), LOG.replace(",", ";").encode())
    found = [
        Reader(
            "design",
            "design.toml",
            lambda path: load_design(path.parent),
            (*designs, PLAIN.encode()),
            "toml",
        ),
        Reader("data", "data.csv", lambda path: read_csv(path, *SIGNALS), (TABLE.encode(),), "csv"),
        Reader(
            "raw log", "log.csv", lambda path: read_raw(path, ["a", "b"], time="time"), logs, "csv"
        ),
        Reader("model", "model.json", Model.load, (saved["model"],), "json"),
        Reader(
            "certificate", "certificate.json", Certificate.load, (saved["certificate"],), "json"
        ),
        Reader(
            "verification", "verification.json", Verification.load, (saved["verification"],), "json"
        ),
        Reader("tubes", "tubes.json", Tubes.load, (saved["tubes"],), "json"),
        Reader("release", "release.json", Release.load, (saved["release"],), "json"),
        Reader(
            "loop-verification",
            "loop-verification.json",
            looped,
            (saved["loop-verification"],),
            "json",
        ),
        Reader(
            "training report",
            "training.json",
            lambda path: artefact_file.read_json(path, "lstm_mpc training report"),
            (training,),
            "json",
        ),
        Reader(
            "closed loop",
            "closed-loop.json",
            lambda path: artefact_file.read_json(path, "lstm_mpc closed loop"),
            (closed,),
            "json",
        ),
        Reader(
            "pil",
            "pil.json",
            lambda path: artefact_file.read_json(path, "lstm_mpc processor in the loop"),
            (pil,),
            "json",
        ),
        Reader(
            "campaign part",
            f"{campaign[:16]}/part-000000000.json",
            lambda path: [
                schema.noun(BatchResult, part)
                for part in Checkpoint(path.parents[1], campaign).found()
            ],
            (part,),
            "json",
        ),
        Reader(
            "manifest",
            f"made/{MANIFEST}",
            lambda path: refuse_foreign(path.parent, "export"),
            (manifest,),
            "json",
        ),
        Reader("npz", "net.npz", read_foreign, tuple(tensors["npz"]), remake=_npz),
        Reader(
            "safetensors",
            "net.safetensors",
            read_foreign,
            tuple(tensors["safetensors"]),
            remake=_safetensors,
        ),
        Reader("onnx", "net.onnx", read_with_data, (exported, *onnx_samples()), remake=_onnx),
        Reader(
            "keras",
            "net.keras",
            read_foreign,
            keras_samples(place),
            remake=lambda rng, data: remade_keras(rng, data, _graft),
        ),
        Reader(
            "h5",
            "net.h5",
            read_foreign,
            h5_samples(place),
            remake=lambda rng, data: remade_h5(rng, data, _graft),
        ),
    ]
    return {reader.name: reader for reader in found}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        every = readers(Path(folder))
        for name in sys.argv[2:] or every:
            began = time.monotonic()
            found = fuzz(every[name], int(sys.argv[1]), Path(folder))
            kinds = ", ".join(f"{kind} {number}" for kind, number in found.counts.most_common())
            print(f"{name}: {kinds}; {time.monotonic() - began:.1f} s", flush=True)
            shown = Counter(failure.split(": ", 1)[1] for failure in found.failures)
            for words, number in shown.most_common(40):
                print(
                    f"  {number} × {words}   e.g."
                    f" {next(f for f in found.failures if f.endswith(words)).split(':')[0]}"
                )
        print("trap sprung" if Trap.sprung.exists() else "no code was run")
