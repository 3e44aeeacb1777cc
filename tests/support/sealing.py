"""Releases of design directories that tests have changed, as the verbs would have made them."""

from dataclasses import replace

from places import ROOT

from lstm_mpc.certificates.gate import Release
from lstm_mpc.project import judged
from lstm_mpc.project.design import load_design
from lstm_mpc.project.design_manifest import manifest, of_loops, of_release

SHIPPED = ROOT / "models" / "ph"


def sealed(folder, passed=None):
    """Write `passed`, by default the shipped release of the pH plant, into `folder` as a release of
    the design that lies there."""
    design, passed = load_design(folder), passed or Release.load(SHIPPED / "release.json")
    made = replace(
        passed,
        manifest=manifest(design).part(of_release),
        history=judged.history(design, passed.verification),
    )
    made.save(design.file("release.json"))
    return made


def sealed_loop(folder, loop):
    """Write a loop verification into `folder` as one of the design that lies there."""
    made = replace(loop, manifest=manifest(load_design(folder)).part(of_loops), log=None)
    made.save(folder / "loop-verification.json")
    return made
