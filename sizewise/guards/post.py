"""All guards as the settings want them, made once for a house, and where they stand in it; looks at nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from sizewise.answer import Answerer, Ask
from sizewise.chat import Chat, Embed
from sizewise.errors import ConfigError
from sizewise.guards.guard import Guard, Sighted, Topic, Words
from sizewise.guards.inspected import Counts, Inspected, Rules, look, refuse
from sizewise.guards.leakage import Leakage
from sizewise.guards.masked import Connect, Masking
from sizewise.kinds import Once, names
from sizewise.settings import Guards, Policy


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
        topics = {name: Topic(each.deny, each.allow) for name, each in wanted.about.items()}
        given = Words(topics, wanted.canaries)
        self._leakage = Leakage(wanted.canaries)
        usual = _actions(wanted)
        own = {
            name: {**usual, **{_bare(guard): action for guard, action in policy.guards.items()}}
            for name, policy in policies.items()
            if policy.guards
        }
        used = {guard for actions in (usual, *own.values()) for guard, action in actions.items() if action != "off"}
        shipped = names("guards")
        self._guards: dict[str, Guard] = {
            name: load("guards", name)(given)
            for name in sorted(used - {"leakage"})
            if name in shipped or name in wanted.others
        }
        self._usual = self._rules(usual)
        self.masking = Masking(connect, wanted.unmasked, self._guards, self._usual.hiding)
        self._own = {name: self._rules(actions) for name, actions in own.items()}
        for name, actions in own.items():
            if actions["leakage"] == "local":
                raise ConfigError(
                    f"policies.{name}.guards.leakage: a reply cannot be kept local", "flag, mask or block it"
                )

    def _rules(self, actions: Mapping[str, str]) -> Rules:
        wanted = [(name, guard) for name, guard in self._guards.items() if actions.get(name, "off") != "off"]
        sighted = tuple((name, guard) for name, guard in wanted if isinstance(guard, Sighted))
        active = tuple((name, guard) for name, guard in wanted if not isinstance(guard, Sighted))
        hiding = frozenset(name for name, _ in active if actions[name] == "mask")
        detected = {_bare(name): each for name, each in self._wanted.detected.items()}
        return Rules(active, dict(actions), hiding, actions["leakage"], detected, sighted)

    def rules(self, ask: Ask) -> Rules:
        if not self._own:
            return self._usual
        return self._own.get(self._plan(ask.what, ask.wishes.policy).name, self._usual)

    def looked(self, ask: Ask) -> tuple[Ask, Counts, Rules]:
        rules = self.rules(ask)
        return *look(ask, rules), rules

    def passed(self, ask: Ask) -> Ask:
        """The request as it would be routed. Raises Blocked for one that would not."""
        asked, counts, rules = self.looked(ask)
        refuse(counts, rules, "the request")
        return asked

    def inspected(self, answer: Answerer) -> Answerer:
        return Inspected(answer, self.looked, self._leakage)


def _actions(wanted: Guards) -> dict[str, str]:
    ours = {name: getattr(wanted, name) for name in ("pii", "secrets", "injection", "topics", "leakage")}
    return {**ours, **wanted.others}


def _bare(name: str) -> str:
    return name.removeprefix("others.")
