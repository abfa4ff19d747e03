"""Edge safety: what of a project a Worker can run, and for everything else why not, by name; compiles nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sizewise.model_card import ModelCard
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policies.cheapest import CheapestPolicy
from sizewise.routing.policies.fixed import FixedPolicy
from sizewise.routing.policies.learned import LearnedPolicy
from sizewise.routing.policy import Policy
from sizewise.settings.guardrails import GuardrailsSettings
from sizewise.settings.load import Settings
from sizewise.settings.models import ProviderSettings
from sizewise.settings.routing import PolicySettings
from sizewise.settings.validators import is_reference

EDGE_GUARDS = ("pii", "secrets")
"""Guards whose patterns a Worker has."""
GUARDS = ("pii", "secrets", "injection", "topics", "leakage")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """`subject` cannot run at an edge: `why`, and the next step."""

    subject: str
    why: str
    hint: str


def model_obstacle(card: ModelCard, settings: Settings) -> Obstacle | None:
    """Why no Worker can ask this model itself."""
    row = settings.models.get(card.name)
    if row is not None and row.edge:
        return None
    endpoint = card.endpoint
    if card.weights is not None or endpoint.wire == "echo":
        return Obstacle(card.name, "it runs inside the gateway", "set `origin` in [edge] to have it asked there")
    if endpoint.wire != ProviderSettings().wire:
        why = f"its API is {endpoint.wire!r}, which no Worker speaks"
        return Obstacle(card.name, why, "set `origin` in [edge] to have it asked through the gateway")
    provider = settings.providers.get(endpoint.provider)
    if provider is not None and provider.replicas:
        why = "its provider has several keys or addresses"
        return Obstacle(card.name, why, "set `origin` in [edge], or give the provider one key")
    references = [endpoint.key, *(value for _, value in endpoint.headers)]
    if any(each.startswith(("file:", "exec:")) for each in references if is_reference(each)):
        why = "its key is in a file or comes from a command, and a Worker has only secrets with names"
        return Obstacle(card.name, why, 'give the key as "env:NAME"')
    return None


def policy_obstacles(name: str, policy: Policy, cards: Iterable[ModelCard]) -> Iterator[Obstacle]:
    """What of a policy, over these models, only the gateway can do."""
    subject = f"policies.{name}"
    if isinstance(policy, CascadePolicy):
        yield from _cascade_obstacles(subject, policy, tuple(cards))
    elif isinstance(policy, FixedPolicy | CheapestPolicy):
        if policy.hedge_delay_s:
            yield Obstacle(subject, "it hedges (`hedge_delay_s`)", "leave it out at the edge")
        if policy.resume:
            yield Obstacle(subject, "it resumes interrupted answers (`resume`)", "leave it out at the edge")
    elif not isinstance(policy, LearnedPolicy):
        yield Obstacle(
            subject,
            f"its kind ({type(policy).__name__}) runs in the gateway alone",
            'use cascade, cheapest, fixed or learned, or unsupported = "forward" in [edge]',
        )


def _cascade_obstacles(subject: str, policy: CascadePolicy, cards: tuple[ModelCard, ...]) -> Iterator[Obstacle]:
    hint = 'give it a `threshold` instead, or set unsupported = "forward" in [edge]'
    judged = sorted(card.name for card in cards if card.logprobs)
    if policy.certificate is not None or policy.target is not None:
        yield Obstacle(subject, "its certificate needs judges of the gateway", hint)
    elif judged and len(cards) > 1:
        by = "its prior" if policy.prior is not None else "the judge of confidence"
        why = f"{by} reads log-probabilities ({', '.join(judged)}), which only the gateway does"
        yield Obstacle(subject, why, f"set logprobs = false for {judged[0]} in [models], or {hint}")
    if policy.votes > 1:
        yield Obstacle(subject, "it asks a model several times (`votes`)", "leave it out at the edge")
    if policy.verifier:
        yield Obstacle(subject, "it has a `verifier`", "leave it out at the edge")
    if policy.resume:
        yield Obstacle(subject, "it resumes interrupted answers (`resume`)", "leave it out at the edge")


def guard_actions(settings: GuardrailsSettings, policy: PolicySettings | None) -> Mapping[str, str]:
    """The action by guard, for the requests of a policy."""
    usual = {name: str(getattr(settings, name)) for name in GUARDS}
    own = {} if policy is None else {_bare(name): str(action) for name, action in policy.guardrails.items()}
    return {**usual, **settings.custom, **own}


def guard_obstacles(name: str, settings: Settings) -> Iterator[Obstacle]:
    """What guards a policy's requests that a Worker does not have. A guard that only flags changes no answer."""
    policy, usual = settings.policies.get(name), settings.guardrails
    for guard, action in guard_actions(usual, policy).items():
        if action not in ("off", "flag") and guard not in EDGE_GUARDS:
            yield Obstacle(
                f"guardrails.{guard}",
                f'its action is "{action}" for the policy {name!r}, and this guard is in the gateway alone',
                'set it to "off" or "flag", for this policy alone if you like, or unsupported = "forward" in [edge]',
            )
    own = (None, None, None) if policy is None else (policy.spotlighting, policy.datamarking, policy.add_canary)
    common = (usual.spotlighting, usual.datamarking, usual.add_canary)
    if any(each if mine is None else mine for each, mine in zip(common, own, strict=True)):
        yield Obstacle("guardrails.spotlighting", "prompts are marked in the gateway alone", "turn it off at the edge")
    if usual.allowed_tools or (policy is not None and policy.allowed_tools):
        yield Obstacle(
            "guardrails.allowed_tools", "tools are filtered in the gateway alone", "leave it out at the edge"
        )
    for guard in usual.detected_data_class:
        if _bare(guard) not in EDGE_GUARDS:
            yield Obstacle(
                f"guardrails.detected_data_class.{guard}", "this guard is in the gateway alone", "leave it out"
            )


def flagging_guards(settings: Settings) -> list[str]:
    """Guards that only flag: at an edge nothing is noted of what they would find."""
    return sorted(
        name
        for name, action in guard_actions(settings.guardrails, None).items()
        if action == "flag" and name not in EDGE_GUARDS
    )


def _bare(guard: str) -> str:
    return guard.removeprefix("custom.")
