"""The commands of the command line: one record for each, from which help, parser, completion and
reference page follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lstm_mpc.cli import answers, options
from lstm_mpc.cli.arguments import Option, option
from lstm_mpc.cli.operating import options as operating, verbs
from lstm_mpc.cli.options import COMMON, DIRECTORY, WORKERS

if TYPE_CHECKING:  # the parser is quick without them
    from lstm_mpc.cli.words import Answer
    from lstm_mpc.directory import Project

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True)
class Command:
    """A verb: its name, what `--help` says, calls that work, its options, and the function that
    answers for a project and the words of the user."""

    name: str
    help: str
    examples: Sequence[str]
    options: Sequence[Option]
    function: Callable[[Project, answers.Words], Answer]


_PH = "models/ph"
COMMANDS = (
    Command(
        "new",
        "a first design from recorded data: reads logs as historians write them, looks at them,"
        " writes a commented design.toml",
        ["lstm-mpc new my_design --data log.csv --input q3:mL/s:12.5:17 --output pH"],
        (DIRECTORY, *COMMON, *options.NEW),
        answers.new,
    ),
    Command(
        "record",
        "run the experiment on the simulated plant of the design",
        [f"lstm-mpc record {_PH}"],
        (DIRECTORY, *COMMON),
        answers.step("record"),
    ),
    Command(
        "order",
        "how many cells a model needs: validated FIT over seeds against size",
        [
            "lstm-mpc order my_design",
            "lstm-mpc order my_design --cells 3 --cells 5 --cells 4,4",
        ],
        (DIRECTORY, *COMMON, WORKERS, *options.ORDER),
        answers.order,
    ),
    Command(
        "train",
        "identify an LSTM whose stability conditions are constraints",
        [
            "lstm-mpc train some/design",
            "lstm-mpc train some/design --from foreign/model.json",
        ],
        (DIRECTORY, *COMMON, WORKERS, *options.TRAIN),
        answers.train,
    ),
    Command(
        "import",
        "take over a network that PyTorch, Keras or an ONNX exporter trained (.onnx, .keras, .h5,"
        " .npz, .safetensors) as the design's model.json",
        ["lstm-mpc import net.onnx my_design"],
        (*options.IMPORT, DIRECTORY, *COMMON),
        answers.import_network,
    ),
    Command(
        "validate",
        "the model on a further record: FIT, RMSE, tests of the residuals, a figure",
        ["lstm-mpc validate my_design --data other.csv"],
        (DIRECTORY, *COMMON, *options.VALIDATE),
        answers.validate,
    ),
    Command(
        "inspect",
        "step responses of the model: sign, gain and settling of every pair, a figure",
        [f"lstm-mpc inspect {_PH}"],
        (DIRECTORY, *COMMON),
        answers.inspect,
    ),
    Command(
        "certify",
        "prove the stability conditions on the saved numbers of a model (any model.json)",
        [f"lstm-mpc certify {_PH}", "lstm-mpc certify some/model.json --condition iss"],
        (options.DIRECTORY_OR_MODEL, *COMMON, *options.CERTIFY),
        answers.certify,
    ),
    Command(
        "verify",
        "scenario verification: how far does the output go?",
        [f"lstm-mpc verify {_PH}"],
        (DIRECTORY, *COMMON, WORKERS),
        answers.step("verify"),
    ),
    Command(
        "reach",
        "interval tubes: the outputs that no input within the limits can leave, proved",
        [f"lstm-mpc reach {_PH}"],
        (DIRECTORY, *COMMON),
        answers.step("reach"),
    ),
    Command(
        "release",
        "pass the gate, or be refused with every reason",
        [f"lstm-mpc release {_PH}"],
        (DIRECTORY, *COMMON),
        answers.step("release"),
    ),
    Command(
        "sign",
        "sign release and evidence of the loop with an Ed25519 key",
        [f"lstm-mpc sign {_PH} --key key.pem"],
        (DIRECTORY, *COMMON, *options.SIGN),
        answers.sign,
    ),
    Command(
        "check",
        "check the evidence of a design and its signature, and say what was not checked",
        [f"lstm-mpc check {_PH} --key key.pub"],
        (DIRECTORY, *COMMON, *options.CHECK),
        answers.check,
    ),
    Command(
        "tune-observer",
        "noise and drift of the Kalman filter from the validation data, as a table to paste into"
        " the design",
        [
            f"lstm-mpc tune-observer {_PH}",
            f"lstm-mpc tune-observer {_PH} --disturbance output",
        ],
        (DIRECTORY, *COMMON, *options.TUNE_OBSERVER),
        answers.tune_observer,
    ),
    Command(
        "control",
        "closed loops of the released model under do-mpc, the fast SQP or the exported C",
        [
            f"lstm-mpc control {_PH}",
            f"lstm-mpc control {_PH} --engine c --log loop.csv",
        ],
        (DIRECTORY, *COMMON, *options.CONTROL),
        answers.control,
    ),
    Command(
        "tune",
        "try horizon and weights of the controller on a page in the browser, and write them into"
        " design.toml",
        [f"lstm-mpc tune {_PH}"],
        (DIRECTORY, *COMMON, *operating.TUNE),
        verbs.tune,
    ),
    Command(
        "prove-loop",
        "proof that the cost of the closed loop falls, for a problem with terminal = true",
        [f"lstm-mpc prove-loop {_PH}"],
        (DIRECTORY, *COMMON),
        answers.step("prove_loop"),
    ),
    Command(
        "verify-loop",
        "scenario verification of the closed loop: the exported C on plants that differ from the"
        " model",
        [f"lstm-mpc verify-loop {_PH}", f"lstm-mpc verify-loop {_PH} --replay 17"],
        (DIRECTORY, *COMMON, WORKERS, *options.VERIFY_LOOP),
        answers.verify_loop,
    ),
    Command(
        "export",
        "the released model or its controller as C, ONNX, FMU, Simulink S-function or Arduino"
        " library",
        [f"lstm-mpc export {_PH}", f"lstm-mpc export {_PH} --target fmu"],
        (DIRECTORY, *COMMON, *options.EXPORT),
        answers.export,
    ),
    Command(
        "pil",
        "processor in the loop: the exported controller on emulated Cortex-M cores, compared with"
        " this computer to the bit",
        [f"lstm-mpc pil {_PH}", f"lstm-mpc pil {_PH} --core cortex-m7 --double"],
        (DIRECTORY, *COMMON, *options.PIL),
        answers.pil,
    ),
    Command(
        "operate",
        "run the cleared controller beside its plant by OPC UA: first as an adviser, then in"
        " control",
        [f"lstm-mpc operate {_PH}", "lstm-mpc operate my_design --connection plant.toml"],
        (DIRECTORY, *COMMON, *operating.OPERATE),
        verbs.operate,
    ),
    Command(
        "simulate",
        "the plant of the design as an OPC UA server, for acceptance tests and for anybody's"
        " controller",
        [f"lstm-mpc simulate {_PH} --opcua --speed 20"],
        (DIRECTORY, *COMMON, *operating.SIMULATE),
        verbs.simulate,
    ),
    Command(
        "history",
        "what a controller did beside its plant, as a summary, CSV or Parquet",
        [f"lstm-mpc history {_PH} --csv history.csv"],
        (DIRECTORY, *COMMON, *operating.HISTORY),
        verbs.history,
    ),
    Command(
        "run",
        "everything from record to export, in order, into a folder of its own",
        [f"lstm-mpc run {_PH} --out runs/ph"],
        (DIRECTORY, *COMMON, WORKERS, *options.RUN),
        answers.run,
    ),
    Command(
        "report",
        "the design report: one self-contained HTML page of all that lies in the directory, and the"
        " same as PDF",
        [
            "lstm-mpc report runs/ph --pdf",
            "lstm-mpc report runs/ph --out for_the_customer.html",
        ],
        (DIRECTORY, *COMMON, *options.PAGE, options.PDF),
        answers.report,
    ),
    Command(
        "compare",
        "two designs side by side: numbers here, numbers and figures as an HTML page",
        ["lstm-mpc compare runs/ph runs/ph_paper"],
        (DIRECTORY, options.OTHER, *COMMON, *options.PAGE),
        answers.compare,
    ),
    Command(
        "completion",
        "a script that completes verbs, options and files in your shell: source <(lstm-mpc"
        " completion bash)",
        ["lstm-mpc completion bash", "lstm-mpc completion fish"],
        (option("shell", choices=SHELLS, help="the shell"),),
        answers.completion,
    ),
)
VERBS = {command.name: command for command in COMMANDS}
