"""On which terms a request may go where: by its data class, project and policy; pure, and only ever tightens."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from sizewise.data_class import PLACES, DataClass, Place, strictest
from sizewise.handler import Ask

EVERYWHERE: Mapping[DataClass, Place] = MappingProxyType(
    {"public": "anyone", "internal": "anyone", "confidential": "machine"}
)
OFFLINE: Place = "machine"
"""How far a request goes that denies going online."""


class Rule(Struct, frozen=True):
    """What a project or a policy says of its requests; what is left out tightens nothing."""

    data_class: DataClass | None = None
    online: bool = True
    reach: Mapping[DataClass, Place] = {}


ANY = Rule()
SETTINGS = "the settings"


def _whose(data_class: DataClass, by: str) -> str:
    return f"{data_class} data" if by == SETTINGS else f"{data_class} data ({by} says so)"


class Terms:
    """`reach` is the furthest place for each class of data, `unsaid` the class that nobody has said. Immutable."""

    __slots__ = ("_policies", "_projects", "_reach", "_unsaid", "_usual")

    def __init__(
        self,
        reach: Mapping[DataClass, Place] = EVERYWHERE,
        unsaid: DataClass = "internal",
        projects: Mapping[str, Rule] = MappingProxyType({}),
        policies: Mapping[str, Rule] = MappingProxyType({}),
    ) -> None:
        self._reach = reach
        self._unsaid = unsaid
        self._projects = projects
        self._policies = policies
        self._usual = Given(unsaid, SETTINGS, reach.get(unsaid), _whose(unsaid, SETTINGS), "")

    def of(self, ask: Ask, policy: str = "") -> Given:
        """What holds for `ask` under the policy of that name."""
        caller, wishes = ask.caller, ask.wishes
        rule, chosen = self._projects.get(caller.project, ANY), self._policies.get(policy, ANY)
        if rule is chosen is ANY and caller.data_class is wishes.data_class is None and wishes.online != "deny":
            return self._usual  # nearly every request, and this stands in the hot path
        return self._of(ask, caller.project, rule, policy, chosen)

    def _of(self, ask: Ask, project: str, rule: Rule, policy: str, chosen: Rule) -> Given:
        caller = ask.caller
        said: list[tuple[DataClass, str]] = []
        if ask.wishes.data_class is not None:
            said.append((ask.wishes.data_class, ask.wishes.by or "the request"))
        if caller.data_class is not None:
            said.append((caller.data_class, f"the key {caller.key!r}"))
        if rule.data_class is not None:
            said.append((rule.data_class, f"the project {project!r}"))
        if chosen.data_class is not None:
            said.append((chosen.data_class, f"the policy {policy!r}"))
        data_class, by = self._unsaid, SETTINGS
        for each, who in said:
            if each != data_class and strictest(each, data_class) == each:
                data_class, by = each, who
        limits = [(self._reach.get(data_class), _whose(data_class, by))]
        if data_class in chosen.reach:
            limits.append((chosen.reach[data_class], f"{data_class} data under the policy {policy!r}"))
        place, why = min(limits, key=lambda limit: -1 if limit[0] is None else PLACES.index(limit[0]))
        denies = (
            (ask.wishes.by or "the request") if ask.wishes.online == "deny" else "",
            "" if rule.online else f"the project {project!r}",
            "" if chosen.online else f"the policy {policy!r}",
        )
        return Given(data_class, by, place, why, next(filter(None, denies), ""))


class Given(Struct, frozen=True):
    """The class of the data and who said so; the furthest place it may go to (None: nowhere) and whose word that is;
    who denies going online, empty when nobody does."""

    data_class: DataClass
    by: str
    reach: Place | None
    whose: str
    denied: str

    @property
    def limit(self) -> Place | None:
        """The furthest place for this very request."""
        if self.reach is None or not self.denied:
            return self.reach
        return min(self.reach, OFFLINE, key=PLACES.index)
