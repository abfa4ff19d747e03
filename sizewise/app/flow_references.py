"""Finds names in a flow that this installation lacks: models, bases, agents, tools, hosts, prompts and roles."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sizewise import plugins
from sizewise.agents.knowledge_tool import tool_name
from sizewise.auth.permissions import BUILTIN_ROLES
from sizewise.errors import ConfigError, ModelNotFound
from sizewise.flows.host_requirements import HostRequirement, Hosts, missing_grants, required_hosts
from sizewise.flows.language.diagnostics import Diagnostic, DiagnosticCollector, Path, did_you_mean
from sizewise.flows.language.flow_spec import NodeSpec, TriggerSpec
from sizewise.flows.language.types import Json
from sizewise.flows.node_registry import NodeType
from sizewise.flows.schedule import schedule_error
from sizewise.flows.validator import ValidationResult
from sizewise.messages import ChatRequest
from sizewise.model_card import MODEL_KINDS, ModelCard, ModelTask
from sizewise.routing.model_aliases import ModelAliases
from sizewise.settings.load import Settings
from sizewise.tools.code_tool import CODE_TOOLS

NODE_FIELD_LABELS: Mapping[str, tuple[str, str]] = {
    "agents": ("agent", "Declare it: [agents.{}] in sizewise.toml"),
    "hosts": ("host", "Allow it: [hosts.{}] in sizewise.toml"),
    "approvers": ("role", "Define it: [roles.{}] in sizewise.toml"),
    "knowledge": ("knowledge base", "Create it: sizewise knowledge add {}"),
    "prompts": ("prompt", "Write the file prompts/{}.md"),
    "tools": ("tool", "Declare the MCP server that has it: [mcp.NAME] in sizewise.toml"),
}
"""For each value of a parameter's `x-names`: its description, and how to add a missing one."""
MAX_CHOICES = 8
"""Names that are offered in place of one that is missing."""


def known_names(
    settings: Settings, *, flows: Collection[str] = (), prompts: Collection[str] = (), bases: Collection[str] = ()
) -> Mapping[str, Collection[str]]:
    """By kind; tools are left out where servers of other programs have more. `flows`: which can be used as tools.
    `bases`: those that are not in the settings.
    """
    names: dict[str, Collection[str]] = {
        "agents": settings.agents,
        "approvers": [*BUILTIN_ROLES, *settings.roles],
        "hosts": settings.hosts,
        "knowledge": [*dict.fromkeys((*settings.knowledge, *bases))],
        "prompts": prompts,
    }
    if not settings.mcp:
        codes = CODE_TOOLS if settings.sandbox.enabled else ()
        names["tools"] = [*plugins.plugin_names("tools"), *codes, *map(tool_name, settings.knowledge), *flows]
    return names


@dataclass(frozen=True, slots=True)
class FlowReferences:
    """`models`: None where there are no settings, so that no name is looked up. `names`: as of `known_names`.
    `hosts`: of the settings. `pullable`: models that this machine can fetch.
    """

    models: ModelAliases | None
    names: Mapping[str, Collection[str]]
    hosts: Hosts
    pullable: Collection[ModelCard] = ()

    def check(self, checked: ValidationResult) -> list[Diagnostic]:
        """A schedule that never fires is an error; a name that is not known is a warning."""
        if checked.spec is None or checked.source is None:
            return []
        found = DiagnosticCollector(checked.source.positions)
        for number, trigger in enumerate(checked.spec.triggers):
            if trigger.kind == "cron" and len(trigger.schedule.split()) == 5:
                _timetable(found, ("triggers", number), trigger)
        if self.models is not None:
            for node, kind in _nodes(checked):
                self._node(found, node, kind, self.models)
            _check_hosts(found, required_hosts(checked, self.hosts), self.hosts)
        return list(found.sorted())

    def _node(self, found: DiagnosticCollector, node: NodeSpec, kind: NodeType, models: ModelAliases) -> None:
        for name, parameter in kind.parameters.items():
            default = kind.defaults.get(name) if parameter.names == "models" else None
            for said in _names(parameter.names, node.values.get(name, default)):
                if parameter.names == "models":
                    wrong, hint, known = _model(said, models)
                    wrong, hint = (wrong, hint) if wrong else self._too_small(said, kind, models)
                else:
                    wrong, hint, known = self._missing(parameter.names, said)
                if wrong:
                    choices = tuple(known)[:MAX_CHOICES]
                    found.add((*node.path, name), node.id, wrong, hint, warning=True, choices=choices)

    def _too_small(self, said: str, kind: NodeType, models: ModelAliases) -> tuple[str, str]:
        """A warning if every model that may answer is known to be smaller than the node needs."""
        least = kind.node_class.least_parameters
        cards = models(ChatRequest(said, [], {})).cards if least else ()
        sizes = [card.parameters for card in cards]
        if not sizes or any(size is None or size >= least for size in sizes):
            return "", ""
        largest = max(cards, key=lambda card: card.parameters or 0)
        fitting = [card for card in self.pullable if card.task == "chat" and (card.parameters or 0) >= least]
        pulled = min(fitting, key=lambda card: card.parameters or 0, default=None)
        return (
            f"a {kind.name} node needs a model of about {_size(least)} parameters, and the largest one here,"
            f" {largest.name}, has {_size(largest.parameters or 0)}: most of its answers will be withheld",
            f"Pull a larger one: sizewise models pull {pulled.model}" if pulled else "Configure a larger model.",
        )

    def _missing(self, which: str, said: str) -> tuple[str, str, Collection[str]]:
        names = self.names.get(which)
        if names is None or said in names:
            return "", "", ()
        what, hint = NODE_FIELD_LABELS[which]
        where = "the folder `prompts`" if which == "prompts" else "the settings"
        wrong = f"there is no {what} {said[:60]!r} in {where}"
        return wrong, did_you_mean(said, names) or hint.format(said[:60]), names


def _check_hosts(found: DiagnosticCollector, required: Sequence[HostRequirement], hosts: Hosts) -> None:
    """A missing name is a warning of its own."""
    grants = {grant.url: grant for grant in missing_grants(required, hosts)}
    for each in required:
        path = (*each.node.path, each.parameter)
        if each.allowed and not each.method_allowed:
            wrong = f"the host {each.name!r} does not allow {each.method}"
            found.add(path, each.node.id, wrong, f"Add it to `methods` in [hosts.{each.name}].", warning=True)
        elif not each.allowed and each.url:
            grant = grants[each.url]
            hint = f'Allow it in sizewise.toml: [hosts.{grant.name}] url = "{grant.url}"'
            found.add(path, each.node.id, f"flows are not allowed to call {each.url!r}", hint, warning=True)
        elif not each.allowed and not each.name and not hosts:
            wrong = "the host of its URL is known only when it runs, and the settings allow none"
            hint = 'Allow those that it may call: [hosts.NAME] url = "https://..." in sizewise.toml.'
            found.add(path, each.node.id, wrong, hint, warning=True)


def _model(said: str, models: ModelAliases) -> tuple[str, str, Collection[str]]:
    try:
        task = _task(said, models)
    except ModelNotFound as error:
        return f"the settings: {error.message}", error.hint[:1].upper() + error.hint[1:], _chat_names(models)
    if task == "chat":
        return "", "", ()
    return f"a node asks chat models, and {MODEL_KINDS[task]} is {said!r}", "Name a chat model.", _chat_names(models)


def _size(parameters: int) -> str:
    """Such as 135M and 1.5B."""
    return f"{parameters / 1e9:.2g}B" if parameters >= 1e9 else f"{parameters / 1e6:.0f}M"


def _task(name: str, models: ModelAliases) -> ModelTask:
    """Raises ModelNotFound."""
    plan = models(ChatRequest(name, [], {}))
    return plan.cards[0].task if plan.names_model else "chat"


def _chat_names(models: ModelAliases) -> list[str]:
    """Models before roles and policies."""
    found = [name for name in models.chat_names if _task(name, models) == "chat"]
    return sorted(found, key=set(models.role_names).__contains__)


def _nodes(checked: ValidationResult) -> Iterator[tuple[NodeSpec, NodeType]]:
    for level in checked.levels:
        for draft in level.drafts:
            if draft.node_type is not None:
                yield draft.node, draft.node_type


def _names(which: str, said: Json) -> list[str]:
    """The names in the value of a parameter; of approvers the roles: only the server knows users and keys."""
    if which == "approvers":
        listed = said if isinstance(said, list) else []
        return [each.removeprefix("role:") for each in listed if isinstance(each, str) and each.startswith("role:")]
    return [said] if which and isinstance(said, str) and said and "{{" not in said else []


def _timetable(found: DiagnosticCollector, path: Path, trigger: TriggerSpec) -> None:
    try:
        wrong = schedule_error(trigger.schedule, trigger.zone)
    except ConfigError as error:
        found.add((*path, "schedule"), "", error.message, error.hint, warning=True)
        return
    if wrong:
        at = "zone" if "zone" in wrong.partition("'")[0] else "schedule"
        found.add((*path, at), "", wrong, "For example: schedule: '0 7 * * 1-5', zone: Europe/Berlin")
