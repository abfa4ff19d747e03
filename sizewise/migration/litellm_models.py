"""Turns deployments into providers, replicas, aliases, policies and limits of a settings file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from sizewise.migration.litellm_connections import Connection
from sizewise.migration.litellm_deployments import Deployment
from sizewise.migration.litellm_values import slug
from sizewise.migration.migration_report import ConfigNode, MigrationReport
from sizewise.migration.settings_draft import SettingsDraft, Value
from sizewise.settings.provider_presets import provider_presets

ROLES = ("auto", "small", "large")
"""Values of `model` that an alias cannot take."""
EMBEDDED = "local"
"""The provider of the embedded models."""


@dataclass(frozen=True, slots=True)
class RoutingWishes:
    """What the settings of LiteLLM's router say of all groups."""

    kind: str = "fixed"
    retries: int | None = None
    fallbacks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ConfigNode]] = field(default_factory=dict)
    default_fallbacks: Sequence[str] = ()


class ModelTables:
    """Writes into `draft`. Names of providers are unique; a model is offered once by each."""

    def __init__(self, draft: SettingsDraft, report: MigrationReport) -> None:
        self._draft, self._report = draft, report
        self._providers: dict[tuple[Connection, ...], str] = {}
        self._models: dict[str, list[str]] = {}  # provider -> its models
        self._targets: dict[str, list[str]] = {}  # group -> full names, in the order of the file
        self._names: dict[str, ConfigNode | None] = {}  # group -> its first `model_name`

    @property
    def groups(self) -> Sequence[str]:
        return tuple(self._targets)

    def targets(self, group: str) -> Sequence[str]:
        """Full names of its models; empty for patterns and names that nobody offers."""
        return self._targets.get(group, ())

    def add(self, deployments: Sequence[Deployment]) -> None:
        """Patterns first: they name their providers."""
        for each in (one for one in deployments if one.is_pattern):
            wanted = each.group.removesuffix("/*") if each.group != "*" else each.connection.preset or each.prefix
            self._offer(each, self._provider((each.connection,), wanted))
        groups: dict[str, list[Deployment]] = {}
        for each in (one for one in deployments if not one.is_pattern):
            groups.setdefault(each.group, []).append(each)
        for name, group in groups.items():
            self._names[name] = group[0].node.get("model_name")
            self._add_group(name, group)

    def _add_group(self, name: str, group: Sequence[Deployment]) -> None:
        alike: dict[tuple[Connection, str], list[Deployment]] = {}
        for each in group:
            alike.setdefault((_without_address(each.connection), each.model), []).append(each)
        for same in alike.values():
            places = {each.connection: each for each in same}
            if len(places) == 1:
                provider = self._provider((same[0].connection,), _provider_name(same[0]))
            else:
                provider = self._provider(tuple(places), slug(f"{_provider_name(same[0])}-{same[0].model}"))
                table = self._draft.table("providers", provider)
                table["replicas"] = [_replica(each) for each in places.values()]
                table.pop("key", None)
                for part in ("resource", "region", "account"):
                    if table.pop(part, ""):
                        table["base_url"] = _base_url(same[0].connection)
            full = self._offer(same[0], provider)
            targets = self._targets.setdefault(name, [])
            if full not in targets:
                targets.append(full)
            for other in same[1:]:
                self._add_limits(full, other)
            if len(places) < len(same):
                self._report.changed(same[-1].node.get("model_name"), "the same deployment stands in the file twice")
        if len(alike) > 1:
            for each in group:
                self._report.changed(
                    each.node.get("model_name"), f"[policies.{slug(name)}] asks its models in their order"
                )

    def _provider(self, connections: tuple[Connection, ...], wanted: str) -> str:
        """The name of its table, which is written if it is new."""
        if connections in self._providers:
            return self._providers[connections]
        name, number = slug(wanted), 2
        while name in self._providers.values() or name == EMBEDDED:
            name, number = f"{slug(wanted)}-{number}", number + 1
        self._providers[connections] = name
        first = connections[0]
        table = self._draft.table("providers", name)
        if first.preset:
            table["endpoint"] = first.preset
        for key in ("base_url", "account", "region", "resource", "key"):
            if value := getattr(first, key):
                table[key] = value
        if first.headers:
            table["headers"] = dict(first.headers)
        if first.drop_params:
            table["drop_params"] = list(first.drop_params)
        if first.timeouts:
            table["timeouts"] = dict(first.timeouts)
        if first.is_local:
            table["place"] = "machine"
        return name

    def _offer(self, deployment: Deployment, provider: str) -> str:
        """The full name of its model."""
        models = self._models.setdefault(provider, [])
        if deployment.model not in models:
            models.append(deployment.model)
        self._draft.table("providers", provider)["models"] = models
        full = f"{provider}/{deployment.model}"
        if deployment.facts:
            facts = self._draft.table("models", full)
            facts.update({key: value for key, value in deployment.facts.items() if key not in facts})
        self._add_limits(full, deployment)
        return full

    def _add_limits(self, full: str, deployment: Deployment) -> None:
        """Those of several deployments are added up: each had its own."""
        limits = self._draft.table("limits", f"model:{full}")
        for key, value in deployment.limits.items():
            before = limits.get(key)
            limits[key] = before + value if isinstance(before, int) and isinstance(value, int) else value

    def route(self, wishes: RoutingWishes) -> None:
        """Aliases, and policies where a group has several models or others to fall back on."""
        names: dict[str, str] = {}
        for group, targets in self._targets.items():
            if group in ROLES or group.startswith(("auto:", "flow:")):
                self._report.changed(self._names[group], f"this name has a meaning here: ask for {targets[0]}")
                continue
            asked = dict.fromkeys(targets)
            for other in wishes.fallbacks.get(group, wishes.default_fallbacks):
                asked.update(dict.fromkeys(self.targets(other)))
            chats = [each for each in asked if self._is_chat(each)]
            if len(chats) < 2 or not self._is_chat(targets[0]):
                names[group] = targets[0]
                if len(targets) > 1:
                    self._report.changed(self._names[group], f"only chats have policies: {targets[0]} alone is asked")
                continue
            policy = slug(group)
            table = self._draft.table("policies", policy)
            kind = wishes.kind if len(targets) == len(chats) else "fixed"
            table.update({"kind": kind, "models": chats})
            if wishes.retries is not None:
                table["retries"] = wishes.retries
            names[group] = f"auto:{policy}"
        for alias, (group, node) in wishes.aliases.items():
            if group in names:
                names.setdefault(alias, names[group])
                self._report.carried(node, "[router] alias")
            else:
                self._report.refused(node, "there is no such model in `model_list`")
        aliases = self._draft.table("router", "alias")
        aliases.update({name: target for name, target in names.items() if name != target})

    def _is_chat(self, full: str) -> bool:
        return "task" not in self._draft.table("models", full)


def _without_address(connection: Connection) -> Connection:
    return replace(connection, base_url="", resource="", key="")


def _provider_name(deployment: Deployment) -> str:
    connection = deployment.connection
    if connection.preset:
        return connection.preset
    host = urlsplit(connection.base_url).hostname or ""
    labels = [each for each in host.split(".") if each not in ("api", "www")]
    is_address = ":" in host or host == "localhost" or not labels or labels[-1].isdigit()
    return f"{deployment.prefix}-compatible" if is_address else slug(labels[0])


def _replica(deployment: Deployment) -> dict[str, Value]:
    connection = deployment.connection
    found: dict[str, Value] = {
        "base_url": _base_url(connection),
        "key": connection.key,
        "weight": deployment.weight,
    }
    return {key: value for key, value in found.items() if value not in ("", 1)}


def _base_url(connection: Connection) -> str:
    """Of a replica, whose key goes to the address beside it alone: also the preset's."""
    if connection.base_url or not connection.preset:
        return connection.base_url
    parts = {"resource": connection.resource, "region": connection.region, "account": connection.account}
    return provider_presets()[connection.preset].base_url.format_map(parts)
