"""Modified condition/decision coverage of the exported controller by clang: campaigns of drivers on
several controllers, whose text is the same; a condition counts once one campaign has shown its
effect."""

import json
import os
import subprocess
from collections import defaultdict

from compiling import FLAGS, HERE, run, write

CLANG = "clang-19"
MEASURED = ("-fprofile-instr-generate", "-fcoverage-mapping", "-fcoverage-mcdc")
CAMPAIGNS = {  # driver: arguments of its runs, each short
    "abuse.c": (
        ("steps", 3000, 1),
        ("solves", 800, 2),
        ("window", 400, 4),
        ("rot", 1500, 5),
        ("garbage", 200, 3),
    ),
    "order.c": tuple((case, 1) for case in ("unprepared", "twice", "overwritten", "shared")),
    "retune.c": ((),),
    "state.c": ((),),
    "weights.c": (("none",), ("grown",), ("asleep",)),
}
NAME = "controller"  # of all, so that a condition stands in the same place


def renamed(files):
    """The sources under one name."""
    old = next(file[:-2] for file in files if file.endswith(".h"))
    return {
        file.replace(old, NAME): text.replace(old.upper(), NAME.upper()).replace(old, NAME)
        for file, text in files.items()
    }


def conditions(folder, controllers):
    """What became of each condition of the controllers (sources): (line, column) of its decision
    and its number -> whether its effect was shown; and the lines of the text."""
    shown = defaultdict(bool)
    for number, files in enumerate(controllers):
        for driver, arguments in CAMPAIGNS.items():
            place = folder / f"{number}-{driver[:-2]}"
            for key, value in _measured(place, renamed(files), driver, arguments).items():
                shown[key] |= value
    return dict(shown), (place / f"{NAME}.c").read_text().splitlines()


def _measured(place, files, driver, arguments):
    write(place, files)
    text = (HERE / driver).read_text(encoding="utf-8")
    text = text.replace("@name@", NAME).replace("@NAME@", NAME.upper())
    (place / driver).write_text(text, encoding="utf-8")
    switch = [] if driver == "retune.c" else [f"-D{NAME.upper()}_RETUNE"]
    command = [CLANG, *FLAGS, *MEASURED, *switch, "-w", "-o", "program", driver, f"{NAME}_data.c"]
    subprocess.run([*command, "-lm"], cwd=place, check=True)
    for k, given in enumerate(arguments):
        environment = {**os.environ, "LLVM_PROFILE_FILE": str(place / f"{k}.profraw")}
        subprocess.run(
            [place / "program", *map(str, given)], env=environment, check=True, capture_output=True
        )
    raw = [place / f"{k}.profraw" for k in range(len(arguments))]
    run("llvm-profdata-19", "merge", "-o", place / "all", *raw)
    data = json.loads(
        run("llvm-cov-19", "export", place / "program", f"-instr-profile={place}/all")
    )
    return {
        (*record[:2], k): covered
        for file in data["data"][0]["files"]
        if file["filename"].endswith(f"/{NAME}.c")
        for record in file.get("mcdc_records", [])
        for k, covered in enumerate(record[-1])
    }
