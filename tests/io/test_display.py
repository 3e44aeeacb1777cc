"""Nouns show themselves: one line in a console, a table in a notebook, a figure when asked."""

import subprocess
import sys
from dataclasses import replace
from html import escape
from types import SimpleNamespace

import numpy as np
import pytest
from builders import paper_policy, released_of, stable_model
from controllers import cleared_of
from matplotlib.figure import Figure

import lstm_mpc as lm
from lstm_mpc.certificates.evidence import Tubes
from lstm_mpc.data.look.correlation import Residuals
from lstm_mpc.identification.model_order import Candidate, Ordering
from lstm_mpc.io.display import draw, one_line, table

HOSTILE = '<script>alert("1")</script>&'


@pytest.fixture(scope="module")
def residuals():
    return Residuals(
        np.ones((5, 1)), np.full(1, 0.1), np.zeros((9, 1, 1)), np.full((1, 1), 0.1), (600,)
    )


@pytest.fixture(scope="module")
def ordering():
    poor = SimpleNamespace(fit=80.0, certified=True)
    starts = [SimpleNamespace(fit=fit, certified=True) for fit in (90.0, 95.0)]
    return Ordering((Candidate((2,), 40, (poor,)), Candidate((3,), 70, tuple(starts))))


@pytest.fixture(scope="module")
def run(plant, released):
    mpc = lm.MPC(released, lm.ControlProblem(horizon=5), engine="sqp")
    return lm.simulate_closed_loop(plant, mpc, lm.Scenario("step", lm.Steps((0.0,), [7.2]), 100.0))


@pytest.fixture(scope="module")
def nouns(
    dataset, model, certificate, verification, validation, released, run, residuals, ordering
):
    """One of each that a person looks at, by its type."""
    tube = lm.reach(model, safe_set=[(0.0, 14.0)])
    several = (
        *(dataset, dataset.records[0], model, certificate, verification, validation, released),
        *(run, residuals, ordering, tube, Tubes(model.digest, (tube, tube))),
    )
    return {type(noun).__name__: noun for noun in several}


KINDS = (
    *("Dataset", "Record", "Model", "Certificate", "Verification", "Validation", "Release"),
    *("Run", "Residuals", "Ordering", "Tube", "Tubes"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_noun_is_one_line_in_a_console(nouns, kind):
    line = repr(nouns[kind])
    assert line.isprintable()
    assert len(line) < 120
    assert line.startswith(f"{kind}(")
    assert line.endswith(")")


def test_the_line_says_what_a_person_wants_to_know(nouns, model):
    assert repr(model) == (
        "Model(name='pH model', inputs='q3', outputs='pH', cells=(3,), Ts=10,"
        f" digest='{model.digest[:12]}')"
    )
    assert repr(nouns["Dataset"]) == (
        "Dataset(inputs='q3', outputs='pH', Ts=10, records=1, samples=600, missing=0)"
    )
    assert repr(nouns["Ordering"]) == "Ordering(candidates=2, recommended=(3,), fit=92.5)"
    assert f"margin={nouns['Certificate'].margin:.4g}" in repr(nouns["Certificate"])
    assert repr(nouns["Release"]) == (
        "Release(model='pH model', certificates='iss', safe_set='verification', fit=97, waived=0)"
    )


def test_a_certificate_still_is_a_sentence(certificate):
    assert str(certificate).startswith(f"{certificate.condition} holds with margin δ = ")
    empty = replace(certificate, inequalities=())
    assert "margin=None" in repr(empty)  # a record without numbers can be looked at


def test_what_speaks_of_a_controller_shows_itself(tanks, released):
    loop = lm.LoopVerification.load(tanks[0].file("loop-verification.json"))
    cleared = cleared_of(released)
    for noun in (loop, cleared):
        assert len(repr(noun)) < 120
        assert noun._repr_html_().startswith(f"<table><caption>{type(noun).__name__}<")
    assert f"reach={loop.reach:.4g}" in repr(loop)
    assert repr(cleared).startswith("Cleared(model='pH model', horizon=5, Ts=10, evidence=")
    for kind, sentence in cleared.evidence:
        assert f"{kind}</th><td>{escape(sentence)}" in cleared._repr_html_()


def test_many_signals_and_long_names_stay_on_one_line():
    model = replace(stable_model(1, nu=6, nx=(3, 3), ny=5), name="x" * 60)
    line = repr(model)
    assert len(line) < 120
    assert "…" in line
    assert len(one_line("Noun", **{f"fact{k}": k for k in range(40)})) == 119
    assert one_line("Noun", text="two\nlines") == r"Noun(text='two\nlines')"


@pytest.mark.parametrize("kind", KINDS)
def test_a_noun_is_a_table_in_a_notebook(nouns, kind):
    page = nouns[kind]._repr_html_()
    assert page.startswith(f"<table><caption>{kind}</caption>")
    assert page.count("<table>") == page.count("</table>")
    assert "<script" not in page


def test_tables_hold_the_claims_of_a_release(released):
    waiver = paper_policy(min_fit=99.0, waive={"fit": "a bench, <b>nobody</b> near"})
    waived = replace(released, policy=waiver)
    page = waived._repr_html_()
    assert "waived=1" in repr(waived)
    assert "<caption>Claims</caption>" in page
    for kind in ("proved", "sampled", "measured", "waived"):
        count = sum(kind == own for own, _ in waived.claims())
        assert page.count(f'<th scope="row">{kind}</th><td>') == count + (kind == "waived")
    assert "a bench, &lt;b&gt;nobody&lt;/b&gt; near" in page


def test_hostile_names_are_escaped(dataset, model, certificate):
    named = replace(dataset.inputs[0], name=HOSTILE)
    nouns = [
        replace(dataset, inputs=(named,)),
        released_of(replace(model, name=HOSTILE, inputs=(named,))),
        replace(certificate, condition=HOSTILE),
    ]
    for page in [noun._repr_html_() for noun in (*nouns, nouns[1].model)]:
        assert "<script" not in page
        assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;" in page
    page = table(HOSTILE, [(HOSTILE, HOSTILE)], head=(HOSTILE, HOSTILE))
    assert page.count("&lt;script&gt;") == 5
    assert "<script" not in page


def test_every_plot_is_a_figure(nouns, plant, dataset, model, verification):
    tubes, run = nouns["Tubes"], nouns["Run"]
    checked = lm.validate(model, dataset)
    pictures = {
        "data": dataset.plot(kept=1),
        "steps": model.plot(),
        "fit": model.plot(dataset, transient=20),
        "validation": checked.plot(model, dataset),
        "bounds": verification.plot(),
        "scenarios": verification.plot(model),
        "tubes": tubes.plot(model, verification),
        "tube": nouns["Tube"].plot(model),
        "run": run.plot(plant, safe_set=((0.0, 14.0),)),
        "residuals": nouns["Residuals"].plot(),
        "order": nouns["Ordering"].plot(),
    }
    for name, figure in pictures.items():
        assert isinstance(figure, Figure), name
        assert any(axis.lines or axis.collections for axis in figure.axes), name
    assert "input 1" in nouns["Residuals"].plot().axes[1].get_title(loc="left")
    assert "q3" in nouns["Residuals"].plot(["q3"], ["pH"]).axes[1].get_title(loc="left")


def test_a_picture_of_another_model_is_refused(nouns, dataset, verification):
    other = stable_model(1)
    checked = lm.validate(nouns["Model"], dataset)
    for what, noun, args in (
        ("verification", verification, (other,)),
        ("tube", nouns["Tubes"], (other,)),
        ("tube", nouns["Tube"], (other,)),
        ("validation", checked, (other, dataset)),
    ):
        words = f"plot: the {what} speaks of model .*; give the model that it was computed from"
        with pytest.raises(lm.InputError, match=words):
            noun.plot(*args)


def test_what_does_not_fit_a_picture_is_one_sentence(nouns, dataset, model, verification, mimo):
    shorter = dataset.split(0.5)[0]
    with pytest.raises(lm.InputError, match="give the data that it was computed from"):
        lm.validate(model, dataset).plot(model, shorter)
    with pytest.raises(
        lm.InputError, match=r"the inputs of the data .* are not those of the model"
    ):
        mimo.model.plot(dataset)
    with pytest.raises(lm.InputError, match=r"output must be 0 … 0, .*, got 1"):
        nouns["Tubes"].plot(model, output=1)
    with pytest.raises(lm.InputError, match="have 1 inputs, got 2 names"):
        nouns["Residuals"].plot(["a", "b"])
    with pytest.raises(lm.InputError, match="give the plant that it was simulated on"):
        nouns["Run"].plot(mimo.model.system)
    with pytest.raises(lm.InputError, match="holds no bound of the model; give a radius"):
        replace(verification, bounds=()).plot(model)
    with pytest.raises(TypeError, match="there is no picture of a Certificate"):
        draw(nouns["Certificate"])


def test_a_line_and_a_table_load_no_matplotlib():
    code = (
        "import sys, numpy as np, lstm_mpc as lm; s = lm.Signal\n"
        "d = lm.Dataset((s('u', 'V'),), (s('y', 'm'),), 1.0,"
        " (lm.Record('r', np.ones((9, 1)), np.ones((9, 1))),))\n"
        "print(repr(d), d._repr_html_(), file=sys.stderr)\n"
        "early = 'matplotlib' in sys.modules; d.plot(); print(early, 'matplotlib' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "True"]
