"""Turns deployments into providers, replicas, aliases, policies and limits of a settings file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from urllib.parse import urlsplit

from sizewise.catalog.offered_models import ALL_MODELS
from sizewise.migration.litellm_connections import Connection
from sizewise.migration.litellm_deployments import Deployment
from sizewise.migration.litellm_facts import added_limits
from sizewise.migration.litellm_values import slug
from sizewise.migration.migration_report import ConfigNode, MigrationReport
from sizewise.migration.settings_draft import SettingsDraft, Value
from sizewise.settings.provider_presets import ProviderPreset

ROLES = ("auto", "small", "large")
"""Values of `model` that an alias cannot take."""
MAX_RETRIES = 5
ONCE_MORE = "is tried once more, or once at each further replica"
EMBEDDED = "local"
"""The provider of the embedded models."""


@dataclass(frozen=True, slots=True)
class RoutingWishes:
    """What the settings of LiteLLM's router say of all groups. `retries`: also where they are set."""

    kind: str = "fixed"
    retries: tuple[int, ConfigNode] | None = None
    fallbacks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ConfigNode]] = field(default_factory=dict)
    default_fallbacks: Sequence[str] = ()


class ModelTables:
    """Writes into `draft`. Names of providers are unique; a model is offered once by each."""

    def __init__(self, draft: SettingsDraft, report: MigrationReport, presets: Mapping[str, ProviderPreset]) -> None:
        self._draft, self._report, self._presets = draft, report, presets
        self.budgets: list[tuple[str, ConfigNode]] = []  # [limits] table, and the `max_budget` that it comes from
        self._providers: dict[tuple[Connection, ...], list[str]] = {}  # names of those at these places
        self._limited: set[str] = set()  # full names of models with limits, each of one group alone
        self._models: dict[str, list[str]] = {}  # provider -> its models
        self._targets: dict[str, list[str]] = {}  # group -> full names, in the order of the file
        self._names: dict[str, list[ConfigNode | None]] = {}  # group -> each `model_name`
        self._orders: dict[str, list[ConfigNode]] = {}  # group -> each `order`

    @property
    def groups(self) -> Sequence[str]:
        return tuple(self._targets)

    def targets(self, group: str) -> Sequence[str]:
        """Full names of its models; empty for patterns and names that nobody offers."""
        return self._targets.get(group, ())

    def add(self, deployments: Sequence[Deployment]) -> None:
        """Patterns first: they name their providers."""
        patterns: dict[str, list[Deployment]] = {}
        for each in (one for one in deployments if one.is_pattern):
            patterns.setdefault(each.group, []).append(each)
        for pattern, group in sorted(patterns.items(), key=lambda each: each[0] == "*"):
            self._add_pattern(pattern, group)
        for each in patterns.get("*", ()):
            self._report_ambiguous_names(each)
        groups: dict[str, list[Deployment]] = {}
        for each in (one for one in deployments if not one.is_pattern):
            groups.setdefault(each.group, []).append(each)
        for name, group in groups.items():
            self._names[name] = [each.node.get("model_name") for each in group]
            params = [each.node.get("litellm_params") for each in group]
            self._orders[name] = [
                node for each in params if each is not None and (node := each.get("order")) is not None
            ]
            self._add_group(name, group)

    def _add_pattern(self, pattern: str, group: Sequence[Deployment]) -> None:
        """A provider of that name, also where another one asks the same server."""
        alike: dict[Connection, list[Deployment]] = {}
        for each in group:
            alike.setdefault(_without_address(each.connection), []).append(each)
        prefix = pattern.removesuffix("/*") if pattern != "*" else ""
        for same in alike.values():
            places = {each.connection: each for each in same}
            wanted = prefix or same[0].connection.preset or same[0].prefix
            known = "" if prefix else next(iter(self._providers.get(tuple(places), ())), "")
            provider = known or self._add_provider(list(places.values()), wanted)
            for each in same:
                self._offer(each, provider)
                if prefix not in ("", provider):
                    self._report.changed(each.node.get("model_name"), f"its name here is {provider}/*")

    def _report_ambiguous_names(self, deployment: Deployment) -> None:
        """Of the pattern `*`: a name without a prefix is refused where several providers list it."""
        seller = (deployment.connection.preset, deployment.connection.base_url)
        providers = [
            name
            for (first, *_), names in self._providers.items()
            if (first.preset, first.base_url) == seller
            for name in names
        ]
        if len(providers) > 1:
            names = ", ".join(f"{each}/NAME" for each in providers)
            self._report.changed(
                deployment.node.get("model_name"), f"a model that several providers list is asked as one of {names}"
            )

    def _add_group(self, name: str, group: Sequence[Deployment]) -> None:
        alike: dict[tuple[Connection, str], list[Deployment]] = {}
        for each in group:
            alike.setdefault((_without_address(each.connection), each.model), []).append(each)
        for same in sorted(alike.values(), key=lambda several: min(map(_rank, several))):
            has_limits = any(each.limits for each in same)
            places = {each.connection: each for each in same}
            if len(places) == 1:
                if same[0].weight != 1:
                    params = same[0].node.get("litellm_params")
                    self._report.changed(params and params.get("weight"), "only replicas of one model share by weight")
                wanted = _provider_name(same[0])
            else:
                for each in same if len(set(map(_rank, same))) > 1 else ():
                    params = each.node.get("litellm_params")
                    self._report.changed(params and params.get("order"), "replicas of one model share by weight")
                wanted = slug(f"{_provider_name(same[0])}-{same[0].model}")
            known = self._shared_provider(tuple(places), same[0].model, has_limits)
            provider = known or self._add_provider(list(places.values()), wanted)
            if has_limits:
                self._limited.add(f"{provider}/{same[0].model}")
            full = self._offer(same[0], provider)
            targets = self._targets.setdefault(name, [])
            if full not in targets:
                targets.append(full)
            for other in same[1:]:
                self._add_facts_and_limits(full, other)
            if len(places) < len(same):
                self._report.changed(same[-1].node.get("model_name"), "the same deployment stands in the file twice")

    def _shared_provider(self, connections: tuple[Connection, ...], model: str, has_limits: bool) -> str:
        """The provider at the same place; empty if there is none, or if a name there has limits of its own."""
        for name in self._providers.get(connections, ()):
            is_taken = model in self._models[name] and (has_limits or f"{name}/{model}" in self._limited)
            if not is_taken:
                return name
        return ""

    def _write_replicas(self, provider: str, deployments: Sequence[Deployment]) -> None:
        table = self._draft.table("providers", provider)
        table["replicas"] = [self._replica(each) for each in deployments]
        table.pop("key", None)
        for part in ("resource", "region", "account"):
            if table.pop(part, ""):
                table["base_url"] = self._base_url(deployments[0].connection)

    def _add_provider(self, deployments: Sequence[Deployment], wanted: str) -> str:
        """The name of its table. `deployments`: one at each of its places."""
        connections = tuple(each.connection for each in deployments)
        name, number = slug(wanted), 2
        while name in self._models or name == EMBEDDED:
            name, number = f"{slug(wanted)}-{number}", number + 1
        self._models[name] = []
        self._providers.setdefault(connections, []).append(name)
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
        if len(deployments) > 1:
            self._write_replicas(name, deployments)
        return name

    def _offer(self, deployment: Deployment, provider: str) -> str:
        """The full name of its model."""
        models = self._models[provider]
        if deployment.model not in models:
            models.append(deployment.model)
        self._draft.table("providers", provider)["models"] = models
        full = f"{provider}/{deployment.model}"
        self._add_facts_and_limits(full, deployment)
        return full

    def _add_facts_and_limits(self, full: str, deployment: Deployment) -> None:
        """Limits of several deployments are added up: each had its own. Of their facts the first count."""
        if deployment.facts:
            facts = self._draft.table("models", full)
            facts.update({key: value for key, value in deployment.facts.items() if key not in facts})
        params = deployment.node.get("litellm_params")
        if params is not None and (budget := params.get("max_budget")):
            self.budgets.append((f"model:{full}", budget))
        limits = self._draft.table("limits", f"model:{full}")
        for key, value in deployment.limits.items():
            limits[key] = added_limits(limits[key], value) if key in limits else value

    def route(self, wishes: RoutingWishes) -> None:
        """Aliases, and policies where a group has several models or others to fall back on."""
        names: dict[str, str] = {}
        for group, targets in self._targets.items():
            if group in ROLES or group.startswith(("auto:", "flow:")):
                self._report.changed(self._names[group][0], f"this name has a meaning here: ask for {targets[0]}")
                continue
            asked = dict.fromkeys(targets)
            for other in wishes.fallbacks.get(group, wishes.default_fallbacks):
                asked.update(dict.fromkeys(self.targets(other)))
            chats = [each for each in asked if self._is_chat(each)]
            if len(chats) < 2 or not self._is_chat(targets[0]):
                names[group] = targets[0]
                if len(targets) > 1:
                    for name in self._names[group]:
                        self._report.changed(name, f"only chats have policies: {targets[0]} alone is asked")
                continue
            policy = slug(group)
            table = self._draft.table("policies", policy)
            kind = wishes.kind if len(targets) == len(chats) else "fixed"
            table.update({"kind": kind, "models": chats})
            order = "in their order" if kind == "fixed" else f"in the order of a policy of kind {kind!r}"
            for name in self._names[group] if len(targets) > 1 else ():
                self._report.changed(name, f"[policies.{policy}] asks its models {order}")
            for node in self._orders[group] if kind != "fixed" else ():
                self._report.changed(node, f"a policy of kind {kind!r} has an order of its own")
            if wishes.retries is not None:
                table["retries"] = min(wishes.retries[0], MAX_RETRIES)
            names[group] = f"auto:{policy}"
        if wishes.retries is not None:
            self._report_retries(*wishes.retries, names)
        for alias, (group, node) in wishes.aliases.items():
            if group in names:
                names.setdefault(alias, names[group])
                self._report.carried(node, "[router] alias")
            else:
                self._report.refused(node, "there is no such model in `model_list`")
        aliases = self._draft.table("router", "alias")
        aliases.update({name: target for name, target in names.items() if name != target})

    def _report_retries(self, count: int, node: ConfigNode, names: Mapping[str, str]) -> None:
        """Only a policy has `retries`. `names`: of clients, and what each asks."""
        found = min(count, MAX_RETRIES)
        of_policies = f"`retries` of the policies: {found}, of 0 to {MAX_RETRIES}"
        has_policies = any(each.startswith("auto:") for each in names.values())
        has_patterns = any(ALL_MODELS in models for models in self._models.values())
        has_models = has_patterns or not all(each.startswith("auto:") for each in names.values())
        if (has_models or not has_policies) and count != 1:
            others = f"{of_policies}; a name of one model" if has_policies else "no policy has it: a named model"
            self._report.changed(node, f"{others} {ONCE_MORE}")
        elif has_policies and found != count:
            self._report.changed(node, of_policies)
        else:
            self._report.carried(node, of_policies if has_policies else f"a named model {ONCE_MORE}")

    def _is_chat(self, full: str) -> bool:
        return "task" not in self._draft.table("models", full)

    def _replica(self, deployment: Deployment) -> dict[str, Value]:
        connection = deployment.connection
        found: dict[str, Value] = {
            "base_url": self._base_url(connection),
            "key": connection.key,
            "weight": deployment.weight,
        }
        return {key: value for key, value in found.items() if value not in ("", 1)}

    def _base_url(self, connection: Connection) -> str:
        """Of a replica, whose key goes to the address beside it alone: also the preset's."""
        if connection.base_url or not connection.preset:
            return connection.base_url
        parts = {"resource": connection.resource, "region": connection.region, "account": connection.account}
        return self._presets[connection.preset].base_url.format_map(parts)


def _rank(deployment: Deployment) -> float:
    return inf if deployment.order is None else deployment.order


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
