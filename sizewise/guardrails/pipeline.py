"""All guards as the settings want them, made once for a house, and where they stand in it; looks at nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from secrets import token_bytes
from typing import Protocol

from msgspec.structs import replace

from sizewise.errors import ConfigError
from sizewise.guardrails.base import Guard, Sighted, Topic, Words
from sizewise.guardrails.data_leakage import Leakage
from sizewise.guardrails.masking import Connect, Masking
from sizewise.guardrails.middleware import SOURCES, Inspected, Rules, look, refuse, traced
from sizewise.guardrails.output_filter import Counts
from sizewise.guardrails.spotlighting import Fencing, fenced
from sizewise.guardrails.tool_allowlist import NAME as TOOLS
from sizewise.guardrails.tool_allowlist import Boxed, Toolbox
from sizewise.guardrails.untrusted_content import canary, canary_of
from sizewise.handler import Answerer, Ask, Fence
from sizewise.messages import Chat, Embed
from sizewise.model_card import Card
from sizewise.plugins import Once, names
from sizewise.settings.guardrails import Guards
from sizewise.settings.routing import Policy


class Planned(Protocol):
    @property
    def name(self) -> str: ...


Planning = Callable[[Chat | Embed, str | None], Planned]
"""The policy that a request will be routed by. Raises UnknownModel."""


class Post:
    """Raises ConfigError for a guard that nobody has."""

    def __init__(
        self, wanted: Guards, policies: Mapping[str, Policy], plan: Planning, load: Once, connect: Connect
    ) -> None:
        self._wanted = wanted
        self._plan = plan
        self._secret = token_bytes(32)
        topics = {name: Topic(each.deny, each.allow) for name, each in wanted.denied_topics.items()}
        given = Words(topics, wanted.canaries)
        self._leakage = Leakage(wanted.canaries)
        usual = _actions(wanted)
        own = {
            name: {**usual, **{_bare(guard): action for guard, action in policy.guardrails.items()}}
            for name, policy in policies.items()
            if policy.guardrails
            or policy.allowed_tools
            or (policy.spotlighting, policy.datamarking, policy.add_canary) != (None, None, None)
        }
        used = {guard for actions in (usual, *own.values()) for guard, action in actions.items() if action != "off"}
        shipped = names("guardrails")
        self._guards: dict[str, Guard] = {
            name: load("guardrails", name)(given)
            for name in sorted(used - {"leakage"})
            if name in shipped or name in wanted.custom
        }
        self._usual = self._rules("guardrails", usual, None)
        self._own = {name: self._rules(f"policies.{name}", actions, policies[name]) for name, actions in own.items()}
        adds = any(rules.fence is not None for rules in (self._usual, *self._own.values()))
        inner = Fencing(connect) if adds else connect
        self.masking = Masking(inner, wanted.unmasked_place, self._guards, self._usual.hiding)
        for name, actions in own.items():
            if actions["leakage"] == "local":
                raise ConfigError(
                    f"policies.{name}.guardrails.leakage: a reply cannot be kept local", "flag, mask or block it"
                )

    def _rules(self, place: str, actions: Mapping[str, str], policy: Policy | None) -> Rules:
        wanted = [(name, guard) for name, guard in self._guards.items() if actions.get(name, "off") != "off"]
        sighted = tuple((name, guard) for name, guard in wanted if isinstance(guard, Sighted))
        active = tuple((name, guard) for name, guard in wanted if not isinstance(guard, Sighted))
        hiding = frozenset(name for name, _ in active if actions[name] == "mask")
        detected = {_bare(name): each for name, each in self._wanted.detected_data_class.items()}
        box = Toolbox((policy.allowed_tools if policy else ()) or self._wanted.allowed_tools or None)
        fence, has_canary = _fence(self._wanted, policy)
        if has_canary and actions["leakage"] == "off":
            raise ConfigError(
                f"{place}: `add_canary` is on, and replies are not looked at while `leakage` is off",
                'set leakage = "flag", "mask" or "block", or add_canary = false',
            )
        suspects = frozenset(SOURCES[each] for each in self._wanted.injection_sources)
        known = {**actions, TOOLS: "remove"}
        first_look, always = traced(active)
        return Rules(
            active,
            known,
            hiding,
            actions["leakage"],
            detected,
            sighted,
            box,
            fence,
            has_canary,
            suspects,
            first_look,
            always,
        )

    def rules(self, ask: Ask) -> Rules:
        if not self._own:
            return self._usual
        return self._own.get(self._plan(ask.what, ask.wishes.policy).name, self._usual)

    def looked(self, ask: Ask) -> tuple[Ask, Counts, Rules]:
        rules, gone = self.rules(ask), 0
        if isinstance(ask.what, Chat) and rules.box.allowed is not None:
            what, gone = rules.box.offered(ask.what)
            ask = replace(ask, what=what)
        asked, counts = look(ask, rules)
        if rules.fence is not None and isinstance(asked.what, Chat):
            asked = replace(asked, fence=self._fenced(asked, rules.fence, rules.canary))
        if gone:
            counts[TOOLS, "UNLISTED"] = gone
        return asked, counts, rules

    def _fenced(self, ask: Ask, fence: Fence, has_canary: bool) -> Fence:
        """A request that comes again by its key has the canary that it had, for it may get the answer that it got."""
        if not has_canary:
            return fence
        key, caller = ask.wishes.idempotency_key, ask.caller
        drawn = canary() if key is None else canary_of(self._secret, caller.tenant, caller.project, key)
        return replace(fence, canary=drawn)

    def seen_by(self, card: Card, ask: Ask) -> Chat | Embed:
        """The request as `card` gets it."""
        return fenced(self.masking.seen_by(card, ask), ask.fence)[0]

    def passed(self, ask: Ask) -> Ask:
        """The request as it would be routed. Raises Blocked for one that would not."""
        asked, counts, rules = self.looked(ask)
        refuse(counts, rules, "the request")
        return asked

    def inspected(self, answer: Answerer) -> Answerer:
        if any(rules.box.allowed is not None for rules in (self._usual, *self._own.values())):
            answer = Boxed(answer, lambda ask: self.rules(ask).box)
        return Inspected(answer, self.looked, self._leakage)


def _actions(wanted: Guards) -> dict[str, str]:
    ours = {name: getattr(wanted, name) for name in ("pii", "secrets", "injection", "topics", "leakage")}
    return {**ours, **wanted.custom}


def _fence(wanted: Guards, policy: Policy | None) -> tuple[Fence | None, bool]:
    """What attempts add, and whether each request has a canary."""
    own = policy or Policy()
    mark = wanted.spotlighting if own.spotlighting is None else own.spotlighting
    throughout = wanted.datamarking if own.datamarking is None else own.datamarking
    has_canary = wanted.add_canary if own.add_canary is None else own.add_canary
    return Fence(mark, mark and throughout) if mark or has_canary else None, has_canary


def _bare(name: str) -> str:
    return name.removeprefix("others.")
