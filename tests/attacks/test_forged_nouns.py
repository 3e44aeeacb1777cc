"""A `Release`, a `ControllerSpec` and a `Cleared` cannot be made to hold what was not checked: by
`dataclasses.replace`, by hand, by copies and pickles, or by writing into them."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from builders import stable_model

from lstm_mpc.assurance.clearance import Cleared, checked_clearance, clear
from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.gate import Release, checked
from lstm_mpc.codegen.c_model import c_model
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.control.engines.dompc import DoMpc
from lstm_mpc.control.engines.sqp import Sqp
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.export.controller_folder import bundle
from lstm_mpc.export.fmu.archive import fmu_folder
from lstm_mpc.export.fmu.unit import controller_unit, model_unit
from lstm_mpc.export.onnx_model import onnx_model
from lstm_mpc.export.pil import replay
from lstm_mpc.export.pil_frames import Frames, Run
from lstm_mpc.export.simulink_arduino import arduino_folder, simulink_folder
from lstm_mpc.io.targets import CONTROLLER, MODEL, targets

PROBLEM = ControlProblem(horizon=4)
FRAMES = Frames((Run([7.0], [15.0], [[7.0]], [[[7.0]]]),))


def louder(model):
    """The same model with an output matrix that nobody checked."""
    return replace(model, network=replace(model.network, C=2.0 * model.network.C))


def written(noun, **fields):
    """A copy with other values written into it past `frozen`."""
    other = object.__new__(type(noun))
    other.__dict__.update({**noun.__dict__, **fields})
    return other


def altered_in_place(released):
    """A release whose model holds another network than its digest says."""
    model = written(released.model, network=louder(released.model).network)
    return written(released, model=model)


@dataclass(frozen=True)
class Lenient(Release):
    """A subclass whose gate lets everything through."""

    def __post_init__(self):
        object.__setattr__(self, "waived", ())
        object.__setattr__(self, "absent", ())


def lenient(released):
    given = {f.name: getattr(released, f.name) for f in fields(Release) if f.init}
    return Lenient(**{**given, "model": louder(released.model)})


FORGED_RELEASES = {
    "another model": lambda r: written(r, model=louder(r.model)),
    "a model altered in place": altered_in_place,
    "no certificate": lambda r: written(r, certificates=()),
    "a certificate by hand": lambda r: written(
        r, certificates=(replace(r.certificates[0], radius=2.0),)
    ),
    "a wider range": lambda r: written(r, u_low=np.array([-1e3])),
    "a narrower safe set": lambda r: written(r, safe_set=((6.9, 7.1),)),
    "a policy that asks more": lambda r: written(r, policy=replace(r.policy, min_fit=99.9)),
    "a subclass": lenient,
    "a look-alike": lambda r: SimpleNamespace(**r.__dict__, claims=r.claims),
    "nothing": lambda r: None,
}
TAKES_A_RELEASE = {
    "checked": checked,
    "spec": lambda r: ControllerSpec(r, PROBLEM),
    "mpc": lambda r: MPC(r, PROBLEM),
    "sqp": lambda r: Sqp(r, PROBLEM),
    "dompc": lambda r: DoMpc(r, PROBLEM),
    "c": c_model,
    "onnx": onnx_model,
    "fmu": model_unit,
}


@pytest.mark.parametrize("take", TAKES_A_RELEASE.values(), ids=TAKES_A_RELEASE)
@pytest.mark.parametrize("forge", FORGED_RELEASES.values(), ids=FORGED_RELEASES)
def test_neither_control_nor_export_takes_a_forged_release(released, forge, take):
    forged = forge(released)
    with pytest.raises((Refused, InputError)):
        take(forged)


def test_an_honest_release_is_taken(released):
    for take in TAKES_A_RELEASE.values():
        assert take(released)
    assert checked(released).claims() == released.claims()


def test_replace_and_the_constructor_pass_the_gate(released):
    with pytest.raises(Refused, match="speaks of model"):
        replace(released, model=louder(released.model))
    with pytest.raises(Refused, match="no certificate of 'iss'"):
        replace(released, certificates=())
    with pytest.raises(ValueError, match="init=False"):
        replace(released, waived=())
    with pytest.raises(FrozenInstanceError):
        released.model = louder(released.model)
    other = replace(released, u_low=np.array([14.0]))
    assert other.u_low.tolist() == [14.0]
    with pytest.raises(ValueError, match="read-only"):
        other.u_low[0] = 0.0


def pickled(noun):
    return pickle.loads(pickle.dumps(noun))


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickled])
def test_copies_and_pickles_pass_the_gate(released, again):
    assert again(released).claims() == released.claims()
    for forge in ("another model", "a policy that asks more", "a model altered in place"):
        with pytest.raises((Refused, InputError)):
            again(FORGED_RELEASES[forge](released))
    cleared = clear(ControllerSpec(released, PROBLEM))
    assert again(cleared).evidence == cleared.evidence
    assert again(cleared.spec).source_digest == cleared.spec.source_digest


def test_waivers_cannot_be_hidden(released):
    """What the gate let off is computed, whatever the release says of itself."""
    policy = replace(released.policy, min_fit=99.9, waive={"fit": "a trial"})
    waived = replace(released, policy=policy)
    assert waived.waived
    assert checked(written(waived, waived=())).waived == waived.waived
    assert "a trial" in c_model(written(waived, waived=()))["README.md"]


# -- controllers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cleared(released):
    return clear(ControllerSpec(released, PROBLEM))


def other_sources(cleared):
    """A spec whose C was exchanged after it was made."""
    spec = written(cleared.spec)
    spec.__dict__["sources"] = {**cleared.spec.sources, "evil.c": "int main(void) { return 0; }"}
    return written(cleared, spec=spec)


FORGED_CLEARANCES = {
    "a release": lambda c: c.spec.release,
    "a spec": lambda c: c.spec,
    "another model": lambda c: written(
        c, spec=written(c.spec, release=written(c.spec.release, model=louder(c.spec.model)))
    ),
    "a problem beyond the release": lambda c: written(
        c, spec=written(c.spec, release=replace(c.spec.release, u_low=np.array([14.0])))
    ),
    "no waiver": lambda c: written(
        c,
        spec=written(
            c.spec,
            release=replace(c.spec.release, policy=replace(c.spec.release.policy, waive={})),
        ),
    ),
    "evidence by hand": lambda c: written(
        c,
        evidence=(("proved", "everything"),),
        spec=ControllerSpec(
            replace(c.spec.release, policy=replace(c.spec.release.policy, waive={})), PROBLEM
        ),
    ),
    "a look-alike": lambda c: SimpleNamespace(spec=c.spec, evidence=c.evidence, loop=None),
    "loop by hand": lambda c: written(c, loop=SimpleNamespace(model="")),
}
TAKES_A_CLEARANCE = {
    "checked": checked_clearance,
    "controller": bundle,
    "fmu": fmu_folder,
    "unit": controller_unit,
    "simulink": simulink_folder,
    "arduino": arduino_folder,
    "pil": lambda c: replay(c, FRAMES),
}


@pytest.mark.parametrize("take", TAKES_A_CLEARANCE.values(), ids=TAKES_A_CLEARANCE)
@pytest.mark.parametrize("forge", FORGED_CLEARANCES.values(), ids=FORGED_CLEARANCES)
def test_no_exporter_of_controllers_takes_what_was_not_cleared(cleared, forge, take):
    with pytest.raises((Refused, InputError)):
        take(forge(cleared))


def test_every_target_of_a_controller_is_among_them():
    assert set(targets(CONTROLLER)) <= set(TAKES_A_CLEARANCE)
    assert set(targets(MODEL)) <= set(TAKES_A_RELEASE)


def test_exchanged_sources_are_made_again(cleared):
    """What a spec had computed is never exported, only what its release and problem give."""
    files = simulink_folder(other_sources(cleared))
    assert "evil.c" not in files
    assert files == simulink_folder(cleared)


def test_a_clearance_says_what_was_checked(cleared, released):
    with pytest.raises(ValueError, match="init=False"):
        replace(cleared, evidence=(("proved", "everything"),))
    honest = checked_clearance(written(cleared, evidence=(("proved", "everything"),)))
    assert honest.evidence == cleared.evidence
    with pytest.raises(InputError, match="loop must be what `verify_loop` returns, got dict"):
        Cleared(cleared.spec, {})
    with pytest.raises(InputError, match=r"a ControllerSpec\(release, problem\) is needed"):
        Cleared(released)
    with pytest.raises(InputError, match="problem must be ControlProblem"):
        ControllerSpec(released, SimpleNamespace(**PROBLEM.__dict__))


def test_a_release_of_another_model_does_not_lend_its_evidence(released):
    stranger = stable_model(5)
    with pytest.raises(Refused, match="speaks of model"):
        replace(released, model=stranger, certificates=(certify(stranger),))
