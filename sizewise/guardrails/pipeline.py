"""Guardrail pipeline: all guards and rules of an application, built once from its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from secrets import token_bytes
from typing import Protocol

from msgspec.structs import replace

from sizewise.errors import ConfigError
from sizewise.guardrails.base import Finding, Guard, GuardConfig, OriginAwareGuard, Topic
from sizewise.guardrails.data_leakage import DataLeakageGuard
from sizewise.guardrails.long_requests import LongRequests
from sizewise.guardrails.masking import MaskingConnector
from sizewise.guardrails.middleware import (
    ORIGINS,
    GuardrailMiddleware,
    GuardrailRules,
    raise_if_blocked,
    scan_request,
    scan_short_request,
    split_prefiltered,
)
from sizewise.guardrails.output_filter import FindingCounts
from sizewise.guardrails.spotlighting import SpotlightingConnector, apply_spotlighting
from sizewise.guardrails.tool_allowlist import GUARD_NAME as TOOLS
from sizewise.guardrails.tool_allowlist import ToolAllowlist, ToolAllowlistMiddleware
from sizewise.guardrails.untrusted_content import derive_canary, new_canary
from sizewise.handler import ConnectModel, Handler, Request, Spotlighting
from sizewise.messages import ChatRequest, EmbeddingRequest, Reply, request_size
from sizewise.model_card import ModelCard
from sizewise.offload.offload import LONG_BYTES, Offload
from sizewise.plugins import PluginRegistry
from sizewise.settings.guardrails import CUSTOM_PREFIX, GuardrailsSettings
from sizewise.settings.routing import PolicySettings

INJECTION = "injection"
MARKED = Spotlighting(delimit=True, datamark=True)
"""What a request with a finding gets under the action `mark`."""


class NamedPlan(Protocol):
    @property
    def policy_name(self) -> str: ...


PlanRequest = Callable[[ChatRequest | EmbeddingRequest, str | None], NamedPlan]
"""The policy that will route a request. Raises UnknownModel."""


class GuardrailPipeline:
    """Raises ConfigError for an unknown guard and for settings that contradict each other."""

    def __init__(
        self,
        *,
        settings: GuardrailsSettings,
        policies: Mapping[str, PolicySettings],
        plan: PlanRequest,
        plugins: PluginRegistry,
        connect: ConnectModel,
        offload: Offload | None = None,
    ) -> None:
        """With `offload`, long requests are scanned in its worker processes."""
        self._settings = settings
        self._plan = plan
        self._secret = token_bytes(32)
        topics = {name: Topic(each.deny, each.allow) for name, each in settings.denied_topics.items()}
        given = GuardConfig(topics, settings.canaries)
        self._leakage = DataLeakageGuard(settings.canaries)
        self._long = None if offload is None else LongRequests(offload, given)
        usual = _actions(settings)
        own = {
            name: {**usual, **{_bare(guard): action for guard, action in policy.guardrails.items()}}
            for name, policy in policies.items()
            if policy.guardrails
            or policy.allowed_tools
            or (policy.spotlighting, policy.datamarking, policy.add_canary) != (None, None, None)
        }
        used = {guard for actions in (usual, *own.values()) for guard, action in actions.items() if action != "off"}
        for guard in map(_bare, settings.detected_data_class):
            plugins("guardrails", guard)  # one that is not installed finds nothing, and would never set its class
        self._guards: dict[str, Guard] = {
            name: plugins("guardrails", name)(given) for name in sorted(used - {"leakage"})
        }
        self._default_rules = self._build_rules("guardrails", usual, None)
        self._policy_rules = {
            name: self._build_rules(f"policies.{name}", actions, policies[name]) for name, actions in own.items()
        }
        every = (self._default_rules, *self._policy_rules.values())
        adds = any(rules.spotlighting is not None or rules.marking for rules in every)
        inner = SpotlightingConnector(connect, self._long) if adds else connect
        self.masking_connector = MaskingConnector(
            inner,
            settings.unmasked_place,
            self._guards,
            self._default_rules.masking_guards,
            long=self._long,
        )
        for name, actions in own.items():
            if actions["leakage"] == "local":
                raise ConfigError(
                    f'policies.{name}.guardrails.leakage: the action "local" is not possible for replies',
                    'use "flag", "mask" or "block"',
                )
            for guard, action in actions.items():
                if action == "mark" and guard != INJECTION:
                    raise ConfigError(
                        f'policies.{name}.guardrails.{guard}: the action "mark" is of "injection" alone',
                        'use "flag", "mask", "local" or "block"',
                    )

    def _build_rules(
        self,
        settings_path: str,
        actions: Mapping[str, str],
        policy: PolicySettings | None,
    ) -> GuardrailRules:
        wanted = [(name, guard) for name, guard in self._guards.items() if actions.get(name, "off") != "off"]
        sighted = tuple((name, guard) for name, guard in wanted if isinstance(guard, OriginAwareGuard))
        active = tuple((name, guard) for name, guard in wanted if not isinstance(guard, OriginAwareGuard))
        hiding = frozenset(name for name, _ in active if actions[name] == "mask")
        detected = {_bare(name): each for name, each in self._settings.detected_data_class.items()}
        box = ToolAllowlist((policy.allowed_tools if policy else ()) or self._settings.allowed_tools or None)
        fence, has_canary = _spotlighting(self._settings, policy)
        if has_canary and actions["leakage"] == "off":
            raise ConfigError(
                f"{settings_path}: `add_canary` has no effect while `leakage` is off, since replies are not scanned",
                'set leakage = "flag", "mask" or "block", or add_canary = false',
            )
        suspects = frozenset(ORIGINS[each] for each in self._settings.injection_sources)
        known = {**actions, TOOLS: "remove"}
        marking = frozenset(name for name, action in actions.items() if action == "mark")
        first_look, always = split_prefiltered(active)
        return GuardrailRules(
            active=active,
            actions=known,
            masking_guards=hiding,
            leakage_action=actions["leakage"],
            detected_classes=detected,
            origin_aware=sighted,
            allowlist=box,
            spotlighting=fence,
            adds_canary=has_canary,
            marking=marking,
            suspect_origins=suspects,
            prefilter=first_look,
            unfiltered=always,
        )

    def rules_for(self, request: Request) -> GuardrailRules:
        if not self._policy_rules:
            return self._default_rules
        return self._policy_rules.get(
            self._plan(request.payload, request.options.policy).policy_name,
            self._default_rules,
        )

    def scan(self, request: Request) -> tuple[Request, FindingCounts, GuardrailRules]:
        rules = self.rules_for(request)
        request, gone = _without_unlisted_tools(request, rules)
        return self._completed(*scan_request(request, rules), rules, gone)

    def scan_short(self, request: Request) -> tuple[Request, FindingCounts, GuardrailRules] | None:
        """As `scan`; None if that would take milliseconds."""
        rules, gone = self.rules_for(request), 0
        if rules.allowlist.allowed is not None:
            if request_size(request.payload) >= LONG_BYTES:
                return None
            request, gone = _without_unlisted_tools(request, rules)
        found = scan_short_request(request, rules)
        return None if found is None else self._completed(*found, rules, gone)

    async def scan_long(self, request: Request, long: LongRequests) -> tuple[Request, FindingCounts, GuardrailRules]:
        """As `scan`, away from the event loop."""
        rules = self.rules_for(request)
        request, gone = await long.offload.in_thread(_without_unlisted_tools, request, rules)
        asked, counts = await long.scan(request, rules)
        if not counts and isinstance(request.payload, ChatRequest):
            said = (message.content for message in request.payload.messages)
            rules.clean.add(text for text in said if isinstance(text, str))
        return self._completed(asked, counts, rules, gone)

    def _completed(
        self, asked: Request, counts: FindingCounts, rules: GuardrailRules, gone: int
    ) -> tuple[Request, FindingCounts, GuardrailRules]:
        """Adds what depends on no text: markers, and the number of tools that were taken away."""
        suspect = rules.marking and any(name in rules.marking and kind != "DIRECT" for name, kind in counts)
        marks = MARKED if suspect else rules.spotlighting
        if marks is not None and isinstance(asked.payload, ChatRequest):
            asked = replace(asked, spotlighting=self._with_canary(asked, marks, rules.adds_canary))
        if gone:
            counts[TOOLS, "UNLISTED"] = gone
        return asked, counts, rules

    def _with_canary(self, request: Request, spotlighting: Spotlighting, has_canary: bool) -> Spotlighting:
        """With an idempotency key the canary is derived from it: a repeat may get the stored reply of the first."""
        if not has_canary:
            return spotlighting
        key, principal = request.options.idempotency_key, request.principal
        drawn = new_canary() if key is None else derive_canary(self._secret, principal.tenant, principal.project, key)
        return replace(spotlighting, canary=drawn)

    def view_for(self, card: ModelCard, request: Request) -> ChatRequest | EmbeddingRequest:
        """The request as it is sent to `card`, masked and spotlighted."""
        return apply_spotlighting(self.masking_connector.view_for(card, request), request.spotlighting)[0]

    def check(self, request: Request) -> Request:
        """The request as it would be routed. Raises GuardrailBlocked if it would be blocked."""
        asked, counts, rules = self.scan(request)
        raise_if_blocked(counts, rules, "the request")
        return asked

    async def check_offloaded(self, request: Request) -> Request:
        """As `check`; a long request is scanned in a worker process."""
        scanned = self.scan(request) if self._long is None else self.scan_short(request)
        if scanned is None:
            assert self._long is not None
            scanned = await self.scan_long(request, self._long)
        asked, counts, rules = scanned
        raise_if_blocked(counts, rules, "the request")
        return asked

    async def judge(self, request: Request) -> tuple[FindingCounts, GuardrailRules]:
        """What the guards find in texts of a user, whatever `injection_sources` says; blocks nothing."""
        rules = replace(self.rules_for(request), suspect_origins=frozenset({"person"}))
        found = scan_short_request(request, rules) if self._long is not None else scan_request(request, rules)
        if found is None:
            assert self._long is not None
            found = await self._long.scan(request, rules)
        return found[1], rules

    async def view_offloaded(self, card: ModelCard, request: Request) -> ChatRequest | EmbeddingRequest:
        """As `view_for`; a long request is spotlighted in a worker process."""
        if self._long is None or request.spotlighting is None or not self._long.is_long(request.payload):
            return self.view_for(card, request)
        masked = self.masking_connector.view_for(card, request)
        return (await self._long.mark(masked, request.spotlighting))[0]

    def wrap(self, handler: Handler) -> Handler:
        if any(rules.allowlist.allowed is not None for rules in (self._default_rules, *self._policy_rules.values())):
            handler = ToolAllowlistMiddleware(handler, lambda ask: self.rules_for(ask).allowlist)
        long = None if self._long is None else PipelineLongScans(self, self._long)
        return GuardrailMiddleware(handler, self.scan if long is None else self.scan_short, self._leakage, long)


@dataclass(frozen=True, slots=True)
class PipelineLongScans:
    """The scans of one pipeline for long requests, as the middleware calls them."""

    pipeline: GuardrailPipeline
    requests: LongRequests

    async def scan(self, request: Request) -> tuple[Request, FindingCounts, GuardrailRules]:
        return await self.pipeline.scan_long(request, self.requests)

    async def stream_guard(self, guard: DataLeakageGuard, chat: ChatRequest, system: str, own_canary: str) -> Guard:
        return await self.requests.stream_guard(guard, chat, system, own_canary)

    async def leaks(self, request: Request, reply: Reply, system: str, own_canary: str) -> Mapping[str, list[Finding]]:
        return await self.requests.leaks(request, reply, system, own_canary)


def _without_unlisted_tools(request: Request, rules: GuardrailRules) -> tuple[Request, int]:
    """The request without tools that are not on the allowlist, and their number."""
    if not isinstance(request.payload, ChatRequest) or rules.allowlist.allowed is None:
        return request, 0
    what, gone = rules.allowlist.filter_tools(request.payload)
    return replace(request, payload=what), gone


def _actions(settings: GuardrailsSettings) -> dict[str, str]:
    ours = {name: getattr(settings, name) for name in ("pii", "secrets", "injection", "topics", "leakage")}
    return {**ours, **settings.custom}


def _spotlighting(settings: GuardrailsSettings, policy: PolicySettings | None) -> tuple[Spotlighting | None, bool]:
    """What each attempt adds, and whether each request gets a canary."""
    own = policy or PolicySettings()
    mark = settings.spotlighting if own.spotlighting is None else own.spotlighting
    throughout = settings.datamarking if own.datamarking is None else own.datamarking
    has_canary = settings.add_canary if own.add_canary is None else own.add_canary
    return Spotlighting(mark, mark and throughout) if mark or has_canary else None, has_canary


def _bare(name: str) -> str:
    """A guardrail's own name: settings write that of a custom one as `custom.NAME`."""
    return name.removeprefix(CUSTOM_PREFIX)
