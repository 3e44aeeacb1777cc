"""The log of campaigns of a design directory."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from lstm_mpc.certificates.evidence import (
    VERIFY,
    VERIFY_LOOP,
    LoopVerification,
    Verification,
)
from lstm_mpc.certificates.provenance.campaigns import Campaign, CampaignLog, LogState
from lstm_mpc.io import artefact_file
from lstm_mpc.project.artefacts import CAMPAIGNS
from lstm_mpc.project.design import Design

_Sampled = TypeVar("_Sampled", Verification, LoopVerification)


def campaigns(design: Design) -> CampaignLog:
    """The campaigns of a design so far."""
    return CampaignLog.load(design.file(CAMPAIGNS))


def log_campaign(design: Design, campaign: Campaign) -> LogState:
    """Add a campaign that ended to the log; one that is run again and ends alike is there."""
    log = campaigns(design)
    if campaign not in log.campaigns:
        log = log.added(campaign)
        log.save(design.file(CAMPAIGNS))
    place = log.campaigns.index(campaign)
    return LogState(place + 1, log.heads[place])


def logged(design: Design, evidence: _Sampled) -> _Sampled:
    """The evidence of a campaign that ended, with the state of the log that holds its line."""
    return replace(evidence, log=log_campaign(design, campaign_of(evidence)))


def campaign_of(evidence: Verification | LoopVerification) -> Campaign:
    """The line of the log for a campaign that ended with this evidence."""
    if isinstance(evidence, LoopVerification):
        claimed, passed = evidence.claimed, evidence.safe
        kind, controller = VERIFY_LOOP, evidence.controller
        verdict = "an input was moved beyond its limits" if evidence.violation else ""
    else:
        top = max(
            (b for b in evidence.bounds if b.system == "model"), key=lambda bound: bound.radius_u
        )
        claimed, passed = (), top.safe
        kind, controller, verdict = VERIFY, evidence.model, ""
    where = "stayed in" if passed else "left"
    shown = {k: v for k, v in evidence.content().items() if k not in ("manifest", "log")}
    ends = ", ".join(f"[{low:.4g}, {high:.4g}]" for low, high in evidence.safe_set)
    return Campaign(
        kind=kind,
        subject=evidence.subject,
        controller=controller,
        seed=evidence.seed,
        scenarios=evidence.scenarios,
        passed=passed,
        verdict=verdict or f"outputs {where} the safe set {ends}",
        claimed=() if verdict else claimed,
        evidence=artefact_file.digest(shown),
    )
