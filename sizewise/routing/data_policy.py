"""Data policy: how far a request's data may travel, by data class, project and policy. Only ever tightens."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from sizewise.data_class import PLACES, DataClass, Place, strictest
from sizewise.handler import Request

DEFAULT_REACH: Mapping[DataClass, Place] = MappingProxyType(
    {"public": "anyone", "internal": "anyone", "confidential": "machine"},
)
OFFLINE_REACH: Place = "machine"
"""The furthest place for a request with `online: deny`."""


class DataRule(Struct, frozen=True):
    """What a project or policy requires of its requests; omitted fields tighten nothing."""

    data_class: DataClass | None = None
    online: bool = True
    reach: Mapping[DataClass, Place] = {}


NO_RULE = DataRule()
SETTINGS_SOURCE = "the settings"


def _reach_reason(data_class: DataClass, by: str) -> str:
    return f"{data_class} data" if by == SETTINGS_SOURCE else f"{data_class} data (set by {by})"


class DataPolicy:
    """`reach`: the furthest place per data class. `default_class`: the class of requests without one. Immutable."""

    __slots__ = ("_default_class", "_default_decision", "_policies", "_projects", "_reach")

    def __init__(
        self,
        reach: Mapping[DataClass, Place] = DEFAULT_REACH,
        default_class: DataClass = "internal",
        projects: Mapping[str, DataRule] = MappingProxyType({}),
        policies: Mapping[str, DataRule] = MappingProxyType({}),
    ) -> None:
        self._reach = reach
        self._default_class = default_class
        self._projects = projects
        self._policies = policies
        self._default_decision = DataPolicyDecision(
            data_class=default_class,
            class_source=SETTINGS_SOURCE,
            reach=reach.get(default_class),
            reach_reason=_reach_reason(default_class, SETTINGS_SOURCE),
            offline_source="",
        )

    def decide(self, request: Request, policy: str = "") -> DataPolicyDecision:
        """The decision for `request` under the policy of this name."""
        principal, options = request.principal, request.options
        rule, chosen = self._projects.get(principal.project, NO_RULE), self._policies.get(policy, NO_RULE)
        if (
            rule is chosen is NO_RULE
            and principal.data_class is options.data_class is None
            and options.online != "deny"
        ):
            return self._default_decision  # nearly every request, in the hot path
        return self._decide(request, principal.project, rule, policy, chosen)

    def _decide(
        self,
        request: Request,
        project: str,
        project_rule: DataRule,
        policy: str,
        policy_rule: DataRule,
    ) -> DataPolicyDecision:
        principal = request.principal
        said: list[tuple[DataClass, str]] = []
        if request.options.data_class is not None:
            said.append((request.options.data_class, request.options.constraint_source or "the request"))
        if principal.data_class is not None:
            said.append((principal.data_class, f"the key {principal.key_id!r}"))
        if project_rule.data_class is not None:
            said.append((project_rule.data_class, f"the project {project!r}"))
        if policy_rule.data_class is not None:
            said.append((policy_rule.data_class, f"the policy {policy!r}"))
        data_class, by = self._default_class, SETTINGS_SOURCE
        for each, who in said:
            if each != data_class and strictest(each, data_class) == each:
                data_class, by = each, who
        limits = [(self._reach.get(data_class), _reach_reason(data_class, by))]
        if data_class in policy_rule.reach:
            limits.append((policy_rule.reach[data_class], f"{data_class} data under the policy {policy!r}"))
        place, why = min(limits, key=lambda limit: -1 if limit[0] is None else PLACES.index(limit[0]))
        denies = (
            (request.options.constraint_source or "the request") if request.options.online == "deny" else "",
            "" if project_rule.online else f"the project {project!r}",
            "" if policy_rule.online else f"the policy {policy!r}",
        )
        return DataPolicyDecision(
            data_class=data_class,
            class_source=by,
            reach=place,
            reach_reason=why,
            offline_source=next(filter(None, denies), ""),
        )


class DataPolicyDecision(Struct, frozen=True):
    """The data class and its source; the furthest allowed place (None: nowhere) and its source; the source of
    `online: deny`, empty if online is allowed.
    """

    data_class: DataClass
    class_source: str
    reach: Place | None
    reach_reason: str
    offline_source: str

    @property
    def limit(self) -> Place | None:
        """The furthest place for this request."""
        if self.reach is None or not self.offline_source:
            return self.reach
        return min(self.reach, OFFLINE_REACH, key=PLACES.index)
