"""What a flow names that this installation does not have: models, bases, agents, tools, hosts, times; asks nobody."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sizewise import plugins
from sizewise.agents.knowledge_tool import called
from sizewise.app.routing_config import choices
from sizewise.catalog.loader import cards
from sizewise.errors import ConfigError, UnknownModel
from sizewise.flows.file_source import File
from sizewise.flows.language.diagnostics import Finding, Findings, Path, known
from sizewise.flows.language.flow_spec import Node, Trigger
from sizewise.flows.language.yaml_source import read
from sizewise.flows.node_registry import Kinds
from sizewise.flows.scheduler import objection
from sizewise.messages import Chat
from sizewise.plugins import Once
from sizewise.settings.load import Settings
from sizewise.tools.code_tool import code
from sizewise.tools.sandbox.process_pool import Sandbox

WORDS: Mapping[str, tuple[str, str]] = {
    "agents": ("agent", "Declare it: [agents.{}] in sizewise.toml"),
    "hosts": ("host", "Allow it: [hosts.{}] in sizewise.toml"),
    "knowledge": ("knowledge base", "Begin it: sizewise knowledge add {}"),
    "tools": ("tool", "Declare the server that has it: [mcp.NAME] in sizewise.toml"),
}
"""Of a parameter's `x-names`: what it is in words, and what would bring it."""


class Known:
    """The names of one installation, as its settings have them. `flows`: which are tools too."""

    def __init__(self, settings: Settings, flows: Collection[str] = ()) -> None:
        """Raises ConfigError where these name models that are not there."""
        self._kinds = Kinds()
        self._here = settings.config is not None
        self._models = choices(settings, cards(settings), Once())[1]
        # Tools of other servers are known where these are reached.
        self._reached = {"tools"} if settings.mcp else set()
        codes = [each.name for each in code(Sandbox(settings.sandbox))] if settings.sandbox.enabled else []
        self._names: Mapping[str, Collection[str]] = {
            "agents": settings.agents,
            "hosts": settings.hosts,
            "knowledge": settings.knowledge,
            "tools": [*plugins.names("tools"), *codes, *map(called, settings.knowledge), *flows],
        }

    def findings(self, file: File) -> list[Finding]:
        """Timetables that never come are mistakes; names only warnings, and none where there are no settings."""
        spec = file.checked.spec
        if spec is None:
            return []
        found = Findings(read(file.text).places)
        for number, trigger in enumerate(spec.triggers):
            if trigger.kind == "cron" and len(trigger.schedule.split()) == 5:
                _timetable(found, ("triggers", number), trigger)
        for node in spec.every() if self._here else ():
            self._node(found, node)
        return list(found.all())

    def _node(self, found: Findings, node: Node) -> None:
        kind = self._kinds(node.kind)
        for name, parameter in kind.parameters.items() if kind is not None else ():
            said = node.values.get(name)
            if not parameter.names or not isinstance(said, str) or not said or "{{" in said:
                continue
            wrong, hint = self._model(said) if parameter.names == "models" else self._missing(parameter.names, said)
            if wrong:
                found.add((*node.path, name), node.id, wrong, hint, warning=True)

    def _model(self, said: str) -> tuple[str, str]:
        try:
            self._models(Chat(said, [], {}))
        except UnknownModel as error:
            return f"the settings: {error.message}", error.hint[:1].upper() + error.hint[1:]
        return "", ""

    def _missing(self, which: str, said: str) -> tuple[str, str]:
        names = self._names.get(which)
        if names is None or which in self._reached or said in names:
            return "", ""
        what, hint = WORDS[which]
        return f"the settings name no {what} {said[:60]!r}", known(said, names) or hint.format(said[:60])


def _timetable(found: Findings, path: Path, trigger: Trigger) -> None:
    try:
        wrong = objection(trigger.schedule, trigger.zone)
    except ConfigError as error:
        found.add((*path, "schedule"), "", error.message, error.hint, warning=True)
        return
    if wrong:
        at = "zone" if "zone" in wrong.partition("'")[0] else "schedule"
        found.add((*path, at), "", wrong, "As in: schedule: '0 7 * * 1-5', zone: Europe/Berlin")
