"""Flow spec: the inputs, nodes, outputs and triggers of a flow file, parsed; knows no node type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from msgspec import Struct

from sizewise.flows.language import types
from sizewise.flows.language.diagnostics import DiagnosticCollector, Path, did_you_mean
from sizewise.flows.language.types import Type, UnknownType
from sizewise.flows.language.yaml_source import YamlSource

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z", re.IGNORECASE)
"""Names of flows, nodes, inputs and outputs: a letter, then letters, digits, _ and -."""
MAX_NODES = 2_000
"""Nodes of one flow, inner nodes included."""
MAX_NESTING = 8
"""Levels of nodes within nodes."""
RESERVED_NAMES = ("inputs", "true", "false", "null", "and", "or", "not", "in")
"""Names that no node can have."""
MAX_ATTEMPTS = 10
"""Limit of `retry.times`."""

MIN_VERSION_DIGITS = 8
"""Hex digits of a version in NAME@VERSION, of 64."""

TriggerKind = Literal["api", "webhook", "cron", "chat"]


class InputSpec(Struct, frozen=True):
    type: Type
    default: Any = None
    required: bool = True
    description: str = ""


class RetrySpec(Struct, frozen=True):
    """`times`: attempts, the first included. `wait_s`: seconds before the second one, doubled each time."""

    times: int = 1
    wait_s: float = 1.0


class TriggerSpec(Struct, frozen=True):
    """A trigger of the flow besides the API. `inputs`: templates with `body`, `headers` (webhook) and `time` (cron).

    `schedule`: five cron fields, in the time zone `zone`. The secrets of webhooks are in [triggers.NAME].
    """

    kind: TriggerKind
    name: str = ""
    schedule: str = ""
    zone: str = "UTC"
    inputs: Mapping[str, Any] = {}
    description: str = ""


class NodeSpec(Struct, frozen=True):
    """A node. `values`: its parameters as written. `path`: in the file. `nodes`, `outputs`: the body of each and loop.

    `after`: (node, case) pairs, edges besides those of references; the case is empty unless the node is a branch.
    """

    id: str
    kind: str
    path: Path
    values: Mapping[str, Any] = {}
    after: tuple[tuple[str, str], ...] = ()
    retry: RetrySpec = RetrySpec()
    timeout_s: float | None = None
    nodes: tuple[NodeSpec, ...] = ()
    outputs: Any = None
    description: str = ""


class FlowSpec(Struct, frozen=True):
    """A flow. `version` is its content hash."""

    name: str
    inputs: Mapping[str, InputSpec]
    nodes: tuple[NodeSpec, ...]
    outputs: Mapping[str, Any]
    version: str
    description: str = ""
    triggers: tuple[TriggerSpec, ...] = ()

    def all_nodes(self) -> Iterator[NodeSpec]:
        """All nodes, inner nodes included."""
        waiting = list(reversed(self.nodes))
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.nodes))


FLOW_FIELDS = ("name", "description", "inputs", "nodes", "outputs", "triggers")
NODE_FIELDS = ("kind", "after", "retry", "timeout_s", "description")
"""Keys of every node, in addition to the parameters of its type."""
BODY_FIELDS = ("nodes", "outputs")
"""Additional keys of each and loop."""


def parse_flow(source: YamlSource, diagnostics: DiagnosticCollector) -> FlowSpec:
    """The flow, with defaults for what is invalid; each error is added to `diagnostics`."""
    data = source.data
    if not isinstance(data, dict):
        diagnostics.add((), "", "the file contains no flow", "A flow has a name, nodes and outputs.")
        data = {}
    return _Reader(diagnostics).flow(data, source.version if data else "")


class _Reader:
    def __init__(self, diagnostics: DiagnosticCollector) -> None:
        self._found = diagnostics
        self._count = 0

    def flow(self, data: Mapping[str, Any], version: str) -> FlowSpec:
        self._only(data, FLOW_FIELDS, (), "")
        name = self._text(data, "name", ())
        if not NAME.match(name):
            hint = "Use a letter, then letters, digits, _ and -, as in: name: support"
            self._found.add(
                ("name",), "", f"{name[:60]!r} is not a valid flow name" if name else "the flow has no name", hint
            )
        nodes = self._nodes(data.get("nodes"), ("nodes",), "")
        if "nodes" not in data:
            self._found.add((), "", "the flow has no nodes", "Add them: nodes: {answer: {kind: ask, ...}}")
        outputs = data.get("outputs", {})
        if not isinstance(outputs, dict):
            hint = 'Name each output: outputs: {answer: "{{ answer.text }}"}'
            self._found.add(("outputs",), "", "`outputs` is not a mapping", hint)
            outputs = {}
        for each in outputs:
            self._named(each, ("outputs", each), "", "an output")
        return FlowSpec(
            name=name,
            inputs=self._inputs(data.get("inputs", {})),
            nodes=nodes,
            outputs=outputs,
            version=version,
            description=self._text(data, "description", ()),
            triggers=self._triggers(data.get("triggers", [])),
        )

    # ---- inputs -----------------------------------------------------------------------------------------------------

    def _inputs(self, said: object) -> dict[str, InputSpec]:
        if not isinstance(said, dict):
            self._found.add(("inputs",), "", "`inputs` is not a mapping", "Name each input: inputs: {question: text}")
            return {}
        made: dict[str, InputSpec] = {}
        for name, each in said.items():
            path: Path = ("inputs", name)
            self._named(name, path, "", "an input")
            made[name] = self._input(each, path)
        return made

    def _input(self, said: object, path: Path) -> InputSpec:
        if isinstance(said, dict) and "type" in said:
            self._only(said, ("type", "default", "description"), path, "")
            kind = self._type(said["type"], (*path, "type"))
            default, given = said.get("default"), "default" in said
            for wrong in types.type_errors(kind, default, "the default") if default is not None else ():
                self._found.add((*path, "default"), "", wrong, f"Use {types.with_article(kind)}, or remove it.")
            return InputSpec(kind, default, not given, self._text(said, "description", path))
        return InputSpec(self._type(said, path))

    def _type(self, said: object, path: Path) -> Type:
        try:
            return types.parse_type(said)
        except UnknownType as wrong:
            near = did_you_mean(said, types.TYPE_NAMES) if isinstance(said, str) else ""
            self._found.add(
                path,
                "",
                str(wrong),
                near or f"Known: {', '.join(types.TYPE_NAMES)}, {{list: T}}, {{object: …}}.",
            )
            return types.JSON

    # ---- nodes ------------------------------------------------------------------------------------------------------

    def _nodes(self, said: object, path: Path, within: str) -> tuple[NodeSpec, ...]:
        if said is None:
            return ()
        if not isinstance(said, dict):
            hint = "Name each node: nodes: {answer: {kind: ask, ...}}"
            self._found.add(path, within, "`nodes` is not a mapping", hint)
            return ()
        if path.count("nodes") > MAX_NESTING:
            self._found.add(
                path,
                within,
                f"nodes are nested deeper than {MAX_NESTING}",
                "Move them to a subflow.",
            )
            return ()
        made = []
        for id, each in said.items():
            self._count += 1
            if self._count == MAX_NODES + 1:
                self._found.add((*path, id), id, f"the flow has more than {MAX_NODES} nodes", "Move some to subflows.")
            if self._count <= MAX_NODES:
                made.append(self._node(id, each, (*path, id)))
        return tuple(made)

    def _node(self, id: str, said: object, path: Path) -> NodeSpec:
        self._named(id, path, id, "a node")
        if id in RESERVED_NAMES:
            self._found.add(
                path,
                id,
                f"{id!r} is reserved in expressions",
                "Choose another name.",
                at_key=True,
            )
        if not isinstance(said, dict):
            self._found.add(path, id, "the node is not a mapping", f"Set its kind: {id}: {{kind: ask, ...}}")
            return NodeSpec(id, "", path)
        kind = said.get("kind")
        if not isinstance(kind, str):
            self._found.add(path, id, "the node has no kind", "Set it, as in: kind: ask", at_key=True)
            kind = ""
        holds = BODY_FIELDS if "nodes" in said else ()
        return NodeSpec(
            id=id,
            kind=kind,
            path=path,
            values={name: each for name, each in said.items() if name not in NODE_FIELDS and name not in holds},
            after=self._after(said.get("after", []), (*path, "after"), id),
            retry=self._retry(said.get("retry"), (*path, "retry"), id),
            timeout_s=self._seconds(said.get("timeout_s"), (*path, "timeout_s"), id),
            nodes=self._nodes(said["nodes"], (*path, "nodes"), id) if holds else (),
            outputs=said.get("outputs") if holds else None,
            description=self._text(said, "description", path),
        )

    def _after(self, said: object, path: Path, id: str) -> tuple[tuple[str, str], ...]:
        listed = [said] if isinstance(said, str) else said
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            self._found.add(path, id, "`after` must be a list of nodes", "Write it as: after: [find, route.refund]")
            return ()
        parts = [each.partition(".") for each in listed]
        return tuple((name, case) for name, _, case in parts)

    def _retry(self, said: object, path: Path, id: str) -> RetrySpec:
        if said is None:
            return RetrySpec()
        if not isinstance(said, dict):
            self._found.add(path, id, "`retry` must be a mapping", "Write it as: retry: {times: 3, wait_s: 1}")
            return RetrySpec()
        self._only(said, ("times", "wait_s"), path, id)
        times, wait_s = said.get("times", 1), said.get("wait_s", 1.0)
        if type(times) is not int or not 1 <= times <= MAX_ATTEMPTS:
            self._found.add(
                (*path, "times"),
                id,
                f"{times!r} is not an integer from 1 to {MAX_ATTEMPTS}",
                "Set the maximum number of attempts, including the first.",
            )
            times = 1
        return RetrySpec(times, self._seconds(wait_s, (*path, "wait_s"), id, 0) or 0.0)

    def _seconds(self, said: object, path: Path, id: str, least: float = 0.001) -> float | None:
        if said is None:
            return None
        if isinstance(said, bool) or not isinstance(said, (int, float)) or not least <= said <= 86_400:
            self._found.add(
                path, id, f"{str(said)[:60]!r} is not a valid number of seconds", f"Use {least:g} to 86400."
            )
            return None
        return float(said)

    # ---- triggers ---------------------------------------------------------------------------------------------------

    def _triggers(self, said: object) -> tuple[TriggerSpec, ...]:
        if not isinstance(said, list):
            hint = "List them: triggers: [{kind: cron, schedule: '0 7 * * *'}]"
            self._found.add(("triggers",), "", "`triggers` is not a list", hint)
            return ()
        made = []
        for number, each in enumerate(said):
            path: Path = ("triggers", number)
            if isinstance(each, dict) and each.get("kind") in get_args(TriggerKind):
                made.append(self._trigger(each, path))
                continue
            kind = str(each.get("kind", "") if isinstance(each, dict) else each)
            hint = did_you_mean(kind, get_args(TriggerKind))
            self._found.add(path, "", f"there is no trigger kind {kind[:60]!r}", hint)
        return tuple(made)

    def _trigger(self, said: Mapping[str, Any], path: Path) -> TriggerSpec:
        self._only(said, ("kind", "name", "schedule", "zone", "inputs", "description"), path, "")
        texts = {name: self._text(said, name, path) for name in ("name", "schedule", "description")}
        inputs = said.get("inputs", {})
        if not isinstance(inputs, dict):
            self._found.add(
                (*path, "inputs"), "", "`inputs` is not a mapping", 'Name each input: inputs: {question: "..."}'
            )
            inputs = {}
        if said["kind"] == "cron" and len(texts["schedule"].split()) != 5:
            hint = "Set minute, hour, day, month and weekday: schedule: '0 7 * * 1-5'"
            self._found.add((*path, "schedule"), "", f"{texts['schedule'][:60]!r} is not a valid schedule", hint)
        return TriggerSpec(said["kind"], zone=self._text(said, "zone", path) or "UTC", inputs=inputs, **texts)

    # ---- shared -----------------------------------------------------------------------------------------------------

    def _only(self, said: Mapping[str, Any], names: Sequence[str], path: Path, node: str) -> None:
        for each in said:
            if each not in names:
                self._found.add(
                    (*path, each),
                    node,
                    f"there is no key {each[:60]!r} here",
                    did_you_mean(each, [name for name in names if name not in said]),
                    at_key=True,
                )

    def _named(self, name: str, path: Path, node: str, what: str) -> None:
        if not NAME.match(name):
            hint = "Use a letter, then letters, digits, _ and -."
            self._found.add(path, node[:60], f"{name[:60]!r} is not a valid name for {what}", hint, at_key=True)

    def _text(self, said: Mapping[str, Any], name: str, path: Path) -> str:
        text = said.get(name, "")
        if isinstance(text, str):
            return text
        self._found.add((*path, name), "", f"`{name}` is not a string", "Put it in quotes.")
        return ""
