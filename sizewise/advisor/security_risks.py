"""The four risks of a deployment (API violation, injection, poisoning, leakage) with what decides each; no scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sizewise.advisor.candidates import DeploymentCandidate
from sizewise.advisor.workload import Workload

RiskLevel = Literal["none", "low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class SecurityRisk:
    name: str
    level: RiskLevel
    reason: str


def security_risks(candidate: DeploymentCandidate, workload: Workload) -> tuple[SecurityRisk, ...]:
    """By where the parts run, whether one is trained on examples, and the data class; the same rules for all."""
    away = not all(part.is_local for part in candidate.placements)
    trained = any(part.fine_tuned or part.is_classifier for part in candidate.placements)
    talks = not all(part.is_classifier for part in candidate.placements)
    return (
        _api_violation(away, workload),
        _injection(talks, workload),
        _poisoning(trained, away),
        _leakage(away, trained, workload),
    )


def _api_violation(away: bool, workload: Workload) -> SecurityRisk:
    name = "API violation"
    if not away:
        return SecurityRisk(name, "none", "no provider's terms apply, and no key can be stolen")
    level: RiskLevel = "low" if workload.privacy == "public" else "medium"
    return SecurityRisk(name, level, "the provider's terms and limits apply, and a stolen key can be used by others")


def _injection(talks: bool, workload: Workload) -> SecurityRisk:
    name = "prompt injection"
    if not talks:
        return SecurityRisk(name, "none", "a classifier follows no instructions")
    if workload.task in ("classify", "extract") and not workload.images:
        return SecurityRisk(name, "medium", "texts can hold instructions; a check of the answer's form limits them")
    what = "images and texts" if workload.images else "texts"
    return SecurityRisk(name, "high", f"{what} can hold instructions that a free answer follows: use guardrails")


def _poisoning(trained: bool, away: bool) -> SecurityRisk:
    name = "data poisoning"
    if trained:
        return SecurityRisk(name, "medium", "whoever can add examples can change it: run sizewise scan before training")
    where = (
        "the vendor's training data cannot be checked" if away else "the weights are public; pull checks their sha256"
    )
    return SecurityRisk(name, "low", where)


def _leakage(away: bool, trained: bool, workload: Workload) -> SecurityRisk:
    name = "data leakage"
    if away:
        level: RiskLevel = "low" if workload.privacy == "public" else "high"
        return SecurityRisk(name, level, f"{workload.privacy} texts are at a third party, under its retention")
    if trained:
        return SecurityRisk(name, "low", "a model can repeat the examples that it was trained on; they stay here")
    return SecurityRisk(name, "none", "nothing leaves this machine, and nothing is trained on it")
