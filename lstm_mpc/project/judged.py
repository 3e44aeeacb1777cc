"""Whether evidence in a design directory speaks of the design as it stands."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict

from lstm_mpc.assurance.loop_proof import LoopProof
from lstm_mpc.assurance.loop_verification import LoopVerifyOptions
from lstm_mpc.certificates.evidence import (
    VERIFY,
    LoopVerification,
    Validation,
    Verification,
)
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.provenance.campaigns import CampaignLog, History, LogState
from lstm_mpc.certificates.provenance.manifest import Manifest
from lstm_mpc.certificates.scenarios import VerifyOptions
from lstm_mpc.certificates.verdict.sampled import agree
from lstm_mpc.control.limits import input_range
from lstm_mpc.errors import Refused
from lstm_mpc.identification.validation import validate
from lstm_mpc.io import artefact_file
from lstm_mpc.project import campaign_log
from lstm_mpc.project.artefacts import (
    ASSURANCE,
    CAMPAIGNS,
    DATA,
    LOOP,
    PIL,
    PROOF,
    RELEASE,
    VERIFICATION,
)
from lstm_mpc.project.design import Design
from lstm_mpc.project.design_manifest import (
    manifest,
    of_loops,
    of_release,
    of_runs,
    of_scenarios,
    table_of,
    usual_keys,
)

_VERBS = {  # table -> the verb from which on the evidence under a release is made anew
    **dict.fromkeys(("plant", "experiment", "log"), "record"),
    **dict.fromkeys(("input", "output", "data", "train", "search", "file"), "train"),
    "import": "import",
    "model": "certify",
    **dict.fromkeys(("safe_set", "verify"), "verify"),
}


# file -> the keys that it depends on, and the verb that makes it
JUDGED: dict[str, tuple[Callable[[str], bool], str]] = {
    RELEASE: (of_release, "release"),
    VERIFICATION: (of_scenarios, "verify"),
    ASSURANCE: (of_loops, "verify-loop"),
    LOOP: (of_runs, "control"),
    PIL: (of_runs, "pil"),
}


def passed(design: Design, verb: str) -> Release:
    """The release of a design that speaks of the design as it stands.

    Args:
        design: the design directory.
        verb: what the release is for, for a refusal.

    Returns:
        The release, with everything computed again that can be in a moment.

    Raises:
        InputError: there is no usable release.
        Refused: it does not pass its gate, or judged something else; with the first key that
            differs, both values and the verb that judges anew.
    """
    release = Release.load(design.file(RELEASE))
    found = stale(design, RELEASE, release.manifest) or other_history(design, release)
    found = found or _other_content(design, release)
    if not found and release.validation is not None and has_validation_data(design):
        found = _other_validation(design, release, release.validation)
    if found:
        raise Refused(verb, [f"{design.file(RELEASE)} {found}"])
    return release


def history(design: Design, verification: Verification | None) -> History:
    """What the log says of the campaigns of the model, and what speaks against this verification:
    that it is of another plant, law or safe set than those of the design, that lines of the log are
    gone, or an earlier campaign."""
    log, against = campaign_log.campaigns(design), list[str]()
    if verification is not None:
        against = [
            f"{VERIFICATION} {why}"
            for why in (
                stale(design, VERIFICATION, verification.manifest, remedy=False),
                _shortened(design, verification.log) or _unlogged(log, verification),
                _other_law(verification, design.verify, design),
            )
            if why
        ]
        own = campaign_log.campaign_of(verification).digest if verification.bounds else ""
        against += [
            f"an earlier campaign on this model under this law, seed {c.seed}, {c.verdict}"
            for c in log.failed(VERIFY, verification.subject)
            if c.digest != own and c.leaves(design.safe_set)
        ]
    return History(log.state, max(log.count(VERIFY), 1), tuple(against))


def has_validation_data(design: Design) -> bool:
    """Are the data here that the FIT can be computed again from?"""
    names = design.data.validation or (DATA["validation"],)
    return all(design.file(name).exists() for name in names)


def loop_record(design: Design, verb: str) -> LoopVerification | None:
    """The verification of the closed loop that lies in the directory, where there is one; `Refused`
    where it speaks of another design, as `passed` does."""
    path = design.file(ASSURANCE)
    if not path.exists():
        return None
    loop = LoopVerification.load(path)
    found = stale(design, ASSURANCE, loop.manifest) or _shortened(design, loop.log)
    other = _other_law(loop, design.verify_loop, design)
    if design.loop_law is None or loop.law != design.loop_law.describe():
        other = other or _OTHER.format("law")
    other = other or _unlogged(campaign_log.campaigns(design), loop)
    if other and not found:
        found = f"{other}; {command(design, 'verify-loop')} judges anew"
    if found:
        raise Refused(verb, [f"{path} {found}"])
    return loop


def loop_proof(design: Design) -> LoopProof | None:
    """The proof of the closed loop that lies in the directory, where the problem can have one;
    whether it speaks of the controller is the gate's to say."""
    path = design.file(PROOF)
    return LoopProof.load(path) if design.control.terminal and path.exists() else None


def stale(design: Design, name: str, judged: Manifest | None, *, remedy: bool = True) -> str:
    """Why the file `name` with this manifest speaks of another design than the one that stands,
    as the rest of a sentence that begins with its name; nothing where it does not. `remedy`: with
    the verb that judges anew."""
    wanted, maker = JUDGED[name]
    if judged is None:
        again = f"; {command(design, maker)} judges anew" if remedy else ""
        return f"does not say what was judged{again}"
    present, usual = manifest(design), usual_keys(design)
    # a key that a newer version knows, and that has its default here, was judged without a name
    now = present.part(lambda k: wanted(k) and (k in judged.entries or k not in usual))
    difference = judged.part(wanted).difference(now)
    if difference is None or not remedy:
        return f"judged {difference}" if difference else ""
    table = table_of(difference.key)
    verb = _VERBS.get(table, maker)
    if verb == "record" and (design.data.training or design.model_plant):
        verb = "verify" if table == "plant" else "train"
    if maker != "release":
        verb = maker
    anew = "judges anew" if verb == maker else "and the steps after it judge anew"
    return f"judged {difference}; {command(design, verb)} {anew}"


def command(design: Design, verb: str) -> str:
    return f"`lstm-mpc {verb} {shlex.quote(str(design.folder))} --force`"


_OTHER = "holds another {} than its manifest names"


def _other_content(design: Design, release: Release) -> str:
    """That a release is not what its manifest, which is that of the design, says of it."""
    low, high = input_range(release.model, design.control)
    names = {
        "policy": release.policy == design.release,
        "safe set": release.safe_set == tuple(design.safe_set),
        "range of the inputs": (release.u_low == low).all() and (release.u_high == high).all(),
        "model": release.manifest is not None
        and release.manifest.entries.get("model") in (None, release.model.digest),
    }
    other = next((what for what, same in names.items() if not same), None)
    if other is None:
        return ""
    return f"{_OTHER.format(other)}; {command(design, 'release')} judges anew"


def _other_law(
    evidence: Verification | LoopVerification,
    options: VerifyOptions | LoopVerifyOptions,
    design: Design,
) -> str:
    """That evidence is not what its manifest, which is that of the design, says of it."""
    asked = {key: getattr(options, key) for key in _OPTIONS} | {"safe_set": design.safe_set}
    other = [key for key, value in asked.items() if getattr(evidence, key) != value]
    return _OTHER.format(other[0]) if other else ""


_OPTIONS = ("epsilon", "beta", "rule", "steps", "settle", "seed")


def _other_validation(design: Design, release: Release, kept: Validation) -> str:
    """That the data here give another validation than the release says."""
    now = validate(
        release.model,
        design.records("validation"),
        **design.judge,
        choices=design.search.compared,
    )
    says, gives = (artefact_file.plain(asdict(one)) for one in (kept, now))
    other = [
        name
        for name, value in says.items()
        if value is not None and not agree(gives[name], value)  # None: of an older version
    ]
    if not other:
        return ""
    difference = (
        f"says a validation FIT of {kept.fit:.2f} %, the data and the model give {now.fit:.2f} %"
        if not agree(kept.fit, now.fit)
        else f"says another {other[0]} of the validation than the data and the model give"
    )
    return f"{difference}; {command(design, 'release')} judges anew"


# -- the log of campaigns --------------------------------------------------------------------------


def other_history(design: Design, release: Release) -> str:
    """That campaigns were removed since the release, or added."""
    kept, again = release.history, f"{command(design, 'release')} judges anew"
    if kept is None:
        return f"does not say how many campaigns there were; {again}"
    if short := _shortened(design, kept.log):
        return short
    now = history(design, release.verification)
    if (now.campaigns, now.against) == (kept.campaigns, kept.against):
        return ""
    return (
        f"counted {kept.campaigns} campaign(s) of the model, of which {len(kept.against)} spoke"
        f" against it; there are {now.campaigns}, and {len(now.against)} do; {again}"
    )


def _unlogged(log: CampaignLog, evidence: Verification | LoopVerification) -> str:
    """That no campaign of the log ended with this record: a number in it was altered, or it was
    made elsewhere. What a model's record without bounds lacks, the gate says."""
    if isinstance(evidence, Verification) and not evidence.bounds:
        return ""
    if campaign_log.campaign_of(evidence) in log.campaigns:
        return ""
    return f"is not what any line of {CAMPAIGNS} says that a campaign ended with"


def _shortened(design: Design, state: LogState | None) -> str:
    """That the log is not the one that a record names."""
    if state is None or not campaign_log.campaigns(design).lacks(state):
        return ""
    return (
        f"names line {state.length} of {CAMPAIGNS}, which is not there as it was:"
        " lines were removed or altered; bring the log back as the verbs wrote it"
    )
