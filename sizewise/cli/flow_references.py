"""Finds names in a flow that this installation lacks: models, bases, agents, tools, hosts and roles."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sizewise import plugins
from sizewise.agents.knowledge_tool import tool_name
from sizewise.app.routing_config import build_policies
from sizewise.auth.permissions import BUILTIN_ROLES
from sizewise.catalog.loader import load_cards
from sizewise.errors import ConfigError, ModelNotFound
from sizewise.flows.file_source import FlowFile, default_flows_folder
from sizewise.flows.language.diagnostics import Diagnostic, DiagnosticCollector, Path, did_you_mean
from sizewise.flows.language.flow_spec import NodeSpec, TriggerSpec
from sizewise.flows.language.types import Json
from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.scheduler import schedule_error
from sizewise.messages import ChatRequest
from sizewise.plugins import PluginRegistry
from sizewise.prompts.prompt_library import list_prompt_ids
from sizewise.settings.load import Settings
from sizewise.tools.code_tool import code_tools
from sizewise.tools.sandbox.process_pool import Sandbox

NODE_FIELD_LABELS: Mapping[str, tuple[str, str]] = {
    "agents": ("agent", "Declare it: [agents.{}] in sizewise.toml"),
    "hosts": ("host", "Allow it: [hosts.{}] in sizewise.toml"),
    "approvers": ("role", "Define it: [roles.{}] in sizewise.toml"),
    "knowledge": ("knowledge base", "Create it: sizewise knowledge add {}"),
    "prompts": ("prompt", "Write the file prompts/{}.md"),
    "tools": ("tool", "Declare the MCP server that has it: [mcp.NAME] in sizewise.toml"),
}
"""For each value of a parameter's `x-names`: its description, and how to add a missing one."""


class ReferenceChecker:
    """The names of one installation, from its settings. `flows`: names of flows, which can be used as tools."""

    def __init__(self, settings: Settings, flows: Collection[str] = ()) -> None:
        """Raises ConfigError if the settings name models that do not exist."""
        self._kinds = NodeRegistry()
        self._here = settings.config_file is not None
        self._models = build_policies(settings, load_cards(settings), PluginRegistry())[1]
        # Tools of MCP servers are unknown without a connection to them.
        self._reached = {"tools"} if settings.mcp else set()
        codes = [each.name for each in code_tools(Sandbox(settings.sandbox))] if settings.sandbox.enabled else []
        self._names: Mapping[str, Collection[str]] = {
            "agents": settings.agents,
            "approvers": [*BUILTIN_ROLES, *settings.roles],
            "hosts": settings.hosts,
            "knowledge": settings.knowledge,
            "prompts": list_prompt_ids(default_flows_folder(settings.config_file, settings.home).parent / "prompts"),
            "tools": [*plugins.plugin_names("tools"), *codes, *map(tool_name, settings.knowledge), *flows],
        }

    def check(self, file: FlowFile) -> list[Diagnostic]:
        """A schedule that never fires is an error; unknown names are warnings, and not reported without settings."""
        spec = file.validation.spec
        if spec is None:
            return []
        found = DiagnosticCollector(parse_yaml(file.text).positions)
        for number, trigger in enumerate(spec.triggers):
            if trigger.kind == "cron" and len(trigger.schedule.split()) == 5:
                _timetable(found, ("triggers", number), trigger)
        for node in spec.all_nodes() if self._here else ():
            self._node(found, node)
        return list(found.sorted())

    def _node(self, found: DiagnosticCollector, node: NodeSpec) -> None:
        kind = self._kinds(node.kind)
        for name, parameter in kind.parameters.items() if kind is not None else ():
            for said in _names(parameter.names, node.values.get(name)):
                wrong, hint = self._model(said) if parameter.names == "models" else self._missing(parameter.names, said)
                if wrong:
                    found.add((*node.path, name), node.id, wrong, hint, warning=True)

    def _model(self, said: str) -> tuple[str, str]:
        try:
            self._models(ChatRequest(said, [], {}))
        except ModelNotFound as error:
            return f"the settings: {error.message}", error.hint[:1].upper() + error.hint[1:]
        return "", ""

    def _missing(self, which: str, said: str) -> tuple[str, str]:
        names = self._names.get(which)
        if names is None or which in self._reached or said in names:
            return "", ""
        what, hint = NODE_FIELD_LABELS[which]
        where = "the folder `prompts`" if which == "prompts" else "the settings"
        return f"there is no {what} {said[:60]!r} in {where}", did_you_mean(said, names) or hint.format(said[:60])


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
