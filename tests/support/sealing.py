"""Releases of design directories that tests have changed, as the verbs would have made them."""

from dataclasses import replace

from places import ROOT

from lstm_mpc.certificates.gate import Release
from lstm_mpc.project import campaign_log, judged
from lstm_mpc.project.artefacts import ASSURANCE
from lstm_mpc.project.design import load_design
from lstm_mpc.project.design_manifest import manifest, of_loops, of_release

SHIPPED = ROOT / "models" / "ph"
BOUNDS = ("max_error", "max_settling", "max_overshoot", "max_flagged", "held", "pi")


def without_bounds(passed):
    """A release whose policy does not ask how loops went, so that a proved tube is enough."""
    none = {key: () if key.startswith("max_") else None for key in BOUNDS} | {"max_flagged": None}
    return replace(passed, policy=replace(passed.policy, **none))


def lines_without_bounds(text):
    """The same of a design.toml."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if line.partition(" =")[0] not in BOUNDS)


def sealed(folder, passed=None):
    """Write `passed`, by default the shipped release of the pH plant, into `folder` as a release of
    the design that lies there. Where no loops were verified its policy asks nothing of them."""
    passed = passed or Release.load(SHIPPED / "release.json")
    if not (folder / ASSURANCE).exists():
        path = folder / "design.toml"
        path.write_text(lines_without_bounds(path.read_text()))
        passed = without_bounds(passed)
    design = load_design(folder)
    if passed.verification is not None and passed.verification.bounds:
        campaign_log.logged(design, passed.verification)
    made = replace(
        passed,
        manifest=manifest(design).part(of_release),
        history=judged.history(design, passed.verification),
    )
    made.save(design.file("release.json"))
    return made


def sealed_loop(folder, loop):
    """Write a loop verification into `folder` as one of the design that lies there."""
    design = load_design(folder)
    made = replace(loop, manifest=manifest(design).part(of_loops), log=None)
    made = campaign_log.logged(design, made)
    made.save(folder / ASSURANCE)
    return made
