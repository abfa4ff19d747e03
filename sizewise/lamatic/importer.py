"""Importer from a Lamatic canvas to a flow in YAML, with a note for each node; runs nothing.

A node that cannot be translated is kept in the YAML under its Lamatic type, so that `flow check` reports it and nothing
is dropped silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from sizewise.flows.language.types import Json
from sizewise.lamatic import control_nodes, model_nodes, retrieval_nodes, triggers, web_nodes
from sizewise.lamatic.block_structure import NodeBlock, build_block
from sizewise.lamatic.branch_edges import BRANCHES, UNKNOWN_CASE
from sizewise.lamatic.canvas import Canvas, CanvasNode, LamaticFileError, TranslationGrade, TranslationNote
from sizewise.lamatic.template_parser import TranslationError
from sizewise.lamatic.translator import NodeOutputs, NodeTranslation, TranslatedNode, Translator, iterate_strings
from sizewise.lamatic.typescript_literals import NonLiteral
from sizewise.lamatic.yaml_writer import Comment, write_yaml

TRANSLATIONS: Mapping[str, NodeTranslation] = {
    **model_nodes.MODEL_NODES,
    **retrieval_nodes.RETRIEVAL_NODES,
    **control_nodes.CONTROL_NODES,
    **web_nodes.WEB_NODES,
}
LOOP_NODES: Mapping[str, str] = {
    "forLoopNode": "forLoopEndNode",
    "batchNode": "batchEndNode",
    "agentNode": "agentLoopEndNode",
}
JOINT_NODES = frozenset({"addNode", "branchNode", "endNode"})
COMMENT_NODES = frozenset({"stickyNoteNode"})
MAX_NODES = 1_000

HTTP_SUGGESTION = "Call its API with an http node, or add an MCP server for it ([mcp.NAME]) and use a tool node."
SUGGESTIONS: Mapping[str, str] = {
    "ImageGenNode": "Use a tool node with a tool that generates images.",
    "crawlerNode": "Add an MCP server that crawls ([mcp.NAME]) and use a tool node.",
    "tablesNode": "Keep rows in your own database, behind an http or tool node.",
    "postgresNode": "Add an MCP server for your database ([mcp.NAME]) and use a tool node.",
    "googleSheetsNode": HTTP_SUGGESTION, "googleDriveNode": HTTP_SUGGESTION, "s3Node": HTTP_SUGGESTION,
    "onedriveNode": HTTP_SUGGESTION, "sharepointNode": HTTP_SUGGESTION,
    "slackNode": HTTP_SUGGESTION, "gmailNode": HTTP_SUGGESTION, "teamsNode": HTTP_SUGGESTION,
    "notionNode": HTTP_SUGGESTION, "airtableNode": HTTP_SUGGESTION,
    "smtpNode": HTTP_SUGGESTION, "twilioNode": HTTP_SUGGESTION, "webflowNode": HTTP_SUGGESTION,
    "n8nNode": HTTP_SUGGESTION,
    "agenticDocExtractionNode": "Use a file node followed by a json node.",
}  # fmt: skip
_SLUG = re.compile(r"[^a-z0-9]+")


class ImportedFlow(Struct, frozen=True):
    """`text` is the flow's YAML, `data` the same as data. `notes`: at least one per node. `is_complete`: no grade is
    `named`.
    """

    name: str
    text: str
    data: Mapping[str, Json]
    notes: tuple[TranslationNote, ...]

    @property
    def is_complete(self) -> bool:
        return all(each.grade != "named" for each in self.notes)


def slug(name: str, other: str = "flow") -> str:
    """A valid flow name made from any text; `other` if nothing of it is usable."""
    made = _SLUG.sub("-", name.lower()).strip("-")[:60].strip("-")
    return (made if made[:1].isalpha() else f"{other}-{made}" if made else other)[:62]


def import_flow(canvas: Canvas, flows: Mapping[str, str] = {}, name: str = "") -> ImportedFlow:
    """`flows`: Lamatic id or name -> flow name, for flows imported together. Raises LamaticFileError."""
    return _Importer(canvas, flows, name or slug(canvas.name)).flow()


class _Importer:
    def __init__(self, canvas: Canvas, flows: Mapping[str, str], name: str) -> None:
        self._drawing = canvas
        self._name = name
        self._translator = Translator(canvas, TRANSLATIONS, flows)
        self._notes: list[TranslationNote] = list(canvas.notes)
        self._loop_ends = _loop_ends(canvas)
        self._loop_starts = {end: start for start, end in self._loop_ends.items()}
        self._item_names: dict[str, str] = {}
        self._cases: dict[tuple[str, str], tuple[str, str]] = {}

    def flow(self) -> ImportedFlow:
        bench, boxes = self._translator, self._drawing.nodes
        trigger = next((box for box in boxes.values() if box.is_trigger), None)
        answers = [box for box in boxes.values() if box.type in triggers.RESPONSE_NODES]
        kept = [
            id for id, box in boxes.items()
            if not box.is_trigger and box.type not in triggers.RESPONSE_NODES and box.type not in COMMENT_NODES
        ]  # fmt: skip
        for id in kept:
            if boxes[id].type not in JOINT_NODES and id not in self._loop_starts:
                bench.node_name(id)
        found = self._import_trigger(trigger)
        plan = build_block(self._drawing, kept, self._is_joint, self._loop_ends)
        self._record_containers(plan, ())
        for id in kept:
            self._map_outputs(boxes[id])
        for id in plan.cycle_nodes:
            self._add_note("note", boxes[id], "the edges form a circle", "An edge into this node was removed.")
        nodes = self._import_block(plan, (), ())
        bench.block, bench.enclosing, bench.current_id = None, (), ""
        outputs: dict[str, Json] = {}
        for box in answers:
            outputs.update(self._translate(box, lambda box: triggers.translate_response(bench, box)) or {})
        nodes = {**self._combined_nodes(()), **nodes}
        for box in boxes.values():
            if box.disabled:
                self._add_note("note", box, "the node is disabled and was not imported")
            elif box.type in JOINT_NODES:
                self._import_joint(box)
        data: dict[str, Json] = {"name": self._name}
        if description := self._drawing.description.strip():
            data["description"] = description[:2_000]
        if bench.inputs:
            data["inputs"] = bench.inputs
        if found:
            data["triggers"] = found
        data["nodes"] = nodes
        if outputs:
            data["outputs"] = outputs
        return ImportedFlow(self._name, write_yaml(data, self._comments()), data, tuple(self._notes))

    def _import_joint(self, node: CanvasNode) -> None:
        branches = node.values.get("branches")
        for each in branches if isinstance(branches, list) else ():
            if isinstance(each, Mapping) and each.get("condition"):
                hint = "A branch takes all of its paths: use a conditionNode in Lamatic, or a branch node here."
                self._add_note("named", node, "the node has conditions, which a branch ignores", hint)
                return
        self._add_note("imported", node, "a junction, which needs no node")

    # ---- notes ------------------------------------------------------------------------------------------------------

    def _add_note(self, grade: TranslationGrade, node: CanvasNode, message: str = "", hint: str = "") -> None:
        self._notes.append(TranslationNote(grade=grade, node=node.id, type=node.type, message=message, hint=hint))

    def _translate(self, node: CanvasNode, work: Callable[[CanvasNode], Json]) -> Json:
        """The result of `work`, with notes for the node; None if the node cannot be translated."""
        bench = self._translator
        bench.notes, bench.errors = [], []
        try:
            made = work(node)
        except TranslationError as wrong:
            self._add_note("named", node, wrong.message, wrong.hint)
            return None
        except RecursionError:
            self._add_note("named", node, "the values are nested too deeply", "Flatten them.")
            return None
        for each in bench.errors:
            self._add_note("named", node, each.message, each.hint)
        if bench.notes or bench.errors:
            for message, hint in bench.notes:
                self._add_note("note", node, message, hint)
        else:
            self._add_note("imported", node)
        if node.logic and node.logic not in ([], {}):
            self._add_note(
                "note",
                node,
                "its logic (fallback, retry, A/B) is not imported",
                "Use a policy, or `retry:`.",
            )
        return made

    def _comments(self) -> list[Comment]:
        made: list[Comment] = []
        head = [f"Imported from a Lamatic flow{': ' + self._drawing.name if self._drawing.name else ''}."]
        for box in self._drawing.nodes.values():
            if box.type in COMMENT_NODES:
                said = (
                    box.values.get("content")
                    or box.values.get("text")
                    or box.values.get("note")
                    or box.values.get("nodeName")
                )
                head += ["", *str(said or "").splitlines()[:40]]
                self._add_note("imported", box, "a comment at the top of the file")
        made.append(Comment((), tuple(head)))
        by_node: dict[str, list[str]] = {}
        for each in self._notes:
            if each.node and each.message and each.grade != "imported":
                mark = "Not imported" if each.grade == "named" else "Note"
                by_node.setdefault(each.node, []).append(
                    f"{mark}: {each.message}.{' ' + each.hint if each.hint else ''}",
                )
        for id, lines in by_node.items():
            made.append(Comment(("nodes", self._translator.ids.get(id, "")), tuple(lines)))
        return made

    # ---- triggers and outputs ---------------------------------------------------------------------------------------

    def _import_trigger(self, trigger: CanvasNode | None) -> list[dict[str, Json]]:
        bench = self._translator
        if trigger is None:
            return []
        begun = self._translate(trigger, lambda box: triggers.translate_trigger(bench, box)) or []
        bench.outputs[trigger.id] = triggers.trigger_outputs(bench, trigger)
        return list(begun)

    def _is_joint(self, id: str) -> bool:
        box = self._drawing.nodes[id]
        return box.type in JOINT_NODES or box.disabled

    def _record_containers(self, block: NodeBlock, around: tuple[str, ...]) -> None:
        for id in block.order:
            self._translator.containers[id] = around
            if id in block.loop_bodies:
                self._record_containers(block.loop_bodies[id], (*around, id))

    def _map_outputs(self, node: CanvasNode) -> None:
        bench = self._translator
        if node.disabled or node.type in JOINT_NODES:
            return
        if node.type in ("forLoopNode", "batchNode") and node.id in self._loop_ends:
            name, number = "item", 2
            depth = len(bench.containers.get(node.id, ()))
            self._item_names[node.id] = name if not depth else f"{name}_{number + depth - 1}"
            bench.outputs[node.id] = control_nodes.loop_outputs(bench, node, self._item_names[node.id])
            return
        if node.type == "agentNode" and node.id in self._loop_ends:
            decides = model_nodes.supervisor_node_names(bench, node)[0]
            bench.outputs[node.id] = NodeOutputs(f"{decides}.arguments", passthrough=True)
            return
        if node.id in self._loop_starts:
            start = self._loop_starts[node.id]
            if self._drawing.nodes[start].type == "agentNode":
                bench.outputs[node.id] = self._supervisor_outputs(self._drawing.nodes[start])
            else:
                bench.outputs[node.id] = control_nodes.loop_end_outputs(bench, start)
            return
        sort = TRANSLATIONS.get(node.type)
        shape = sort.map_outputs(bench, node) if sort else NodeOutputs(bench.node_name(node.id), passthrough=True)
        bench.outputs[node.id] = shape

    def _supervisor_outputs(self, start: CanvasNode) -> NodeOutputs:
        id = self._translator.node_name(start.id)
        try:
            names = list(model_nodes.supervisor_agents(self._translator, start))
        except TranslationError:
            names = []
        fields = {name: f"{id}[{name!r}]" if not name.isidentifier() else f"{id}.{name}" for name in names}
        answers = dict.fromkeys(
            ("agentOutput", "finalResponse", "generatedResponse", "response", "output"),
            f"{id}.answer",
        )
        return NodeOutputs("", {**answers, **fields})

    # ---- nodes ------------------------------------------------------------------------------------------------------

    def _import_block(
        self,
        block: NodeBlock,
        around: tuple[tuple[NodeBlock, str], ...],
        outer: tuple[str, ...],
    ) -> dict[str, Json]:
        bench = self._translator
        made: dict[str, dict[str, Json]] = {}
        first: dict[str, str] = {}
        for id in block.order:
            box = self._drawing.nodes[id]
            bench.block, bench.enclosing, bench.current_id = block, around, id
            done = self._import_node(box, block, around, outer)
            if box.label:
                done.nodes[bench.node_name(id)].setdefault("description", box.label[:300])
            for label, way in done.cases.items():
                self._cases[id, label] = way
            first[id] = next(iter(done.nodes))
            made.update(done.nodes)
        for id, lines in explicit_dependencies(block, bench, first, made, self._cases).items():
            lost = [line for line in lines if line.startswith("\0")]
            if lost:
                hint = "Use a case of that branch."
                self._add_note(
                    "named",
                    self._drawing.nodes[id],
                    f"the node follows {lost[0][1:80]!r}, which is not a case",
                    hint,
                )
            if lines:
                made[first[id]]["after"] = [line.removeprefix("\0") for line in lines]
        return {name: _ordered(each) for name, each in made.items()}

    def _import_node(
        self,
        node: CanvasNode,
        block: NodeBlock,
        around: tuple[tuple[NodeBlock, str], ...],
        outer: tuple[str, ...],
    ) -> TranslatedNode:
        if node.id in block.loop_bodies:
            made = self._translate(node, lambda box: self._import_loop(box, block, around, outer))
            self._add_loop_end_note(node)
        elif (sort := TRANSLATIONS.get(node.type)) is not None:
            made = self._translate(node, lambda box: self._import_known(sort, box))
        else:
            hint = SUGGESTIONS.get(triggers.base_type(node.type), "Use an http, tool or javascript node instead.")
            if node.type in LOOP_NODES or node.type in LOOP_NODES.values():
                hint = "Give the loop both its start and its end node, each with `connectedTo` set to the other."
            self._add_note("named", node, "there is no node of this kind in Sizewise", hint)
            made = None
        return (
            made if made is not None else TranslatedNode({self._translator.node_name(node.id): self._placeholder(node)})
        )

    def _import_known(self, translation: NodeTranslation, node: CanvasNode) -> TranslatedNode:
        lost = [
            line.target
            for line in (self._drawing.edges if node.type in BRANCHES else ())
            if line.source == node.id and line.case == UNKNOWN_CASE
        ]
        if lost:
            hint = "Export the flow again from the Studio, or write a branch node and `after: [NODE.CASE]`."
            raise TranslationError(f"the file does not tell which case leads to {', '.join(lost)[:120]}", hint)
        return translation.translate(self._translator, node)

    def _add_loop_end_note(self, node: CanvasNode) -> None:
        end = self._drawing.nodes[self._loop_ends[node.id]]
        self._add_note("imported", end, "the end of a loop")
        if end.values.get("outputAccumulator"):
            self._add_note(
                "note",
                end,
                "its aggregation is not imported",
                "Collect the values from loopOutput in a javascript node.",
            )

    def _placeholder(self, node: CanvasNode) -> dict[str, Json]:
        """An untranslatable node with its Lamatic type and values."""
        said = self._notes[-1]
        values = _readable({name: each for name, each in node.values.items() if name not in ("id", "nodeName")})
        return {
            "kind": node.type,
            "description": f"not imported: {said.message}"[:300],
            **({"values": values} if values else {}),
        }

    def _import_loop(
        self,
        node: CanvasNode,
        block: NodeBlock,
        around: tuple[tuple[NodeBlock, str], ...],
        outer: tuple[str, ...],
    ) -> TranslatedNode:
        bench, inner = self._translator, block.loop_bodies[node.id]
        told, wrongs = bench.notes, bench.errors
        nodes = self._import_block(inner, ((block, node.id), *around), (*outer, node.id))
        outputs = {id: {"output": self._loop_output(id)} for id in inner.order if id in bench.outputs}
        nodes = {**self._combined_nodes((*outer, node.id)), **nodes}  # after all that may request one
        bench.block, bench.enclosing, bench.current_id, bench.notes = block, around, node.id, told
        bench.errors = wrongs
        if node.type == "agentNode":
            return self._import_supervisor(node, inner, nodes)
        if not nodes:
            raise TranslationError("the loop contains no nodes", "Put a node between its start and its end.")
        at_once = node.values.get("concurrencyLimit") if node.type == "batchNode" else 1
        limit = min(256, int(str(at_once))) if re.fullmatch("[1-9][0-9]{0,5}", str(at_once)) else 8
        return control_nodes.translate_loop(bench, node, self._item_names[node.id], limit, nodes, outputs)

    def _loop_output(self, id: str) -> Json:
        bench = self._translator
        shape = bench.outputs[id]
        if shape.expression and (shape.passthrough or not shape.fields):
            return "{{ " + shape.expression + " }}"
        named = {
            name: bench.passages_name(each) if shape.compatibility_code and each.endswith(".passages") else each
            for name, each in shape.fields.items()
        }
        return {name: "{{ " + each + " }}" for name, each in named.items()}

    def _import_supervisor(self, node: CanvasNode, inner: NodeBlock, nodes: dict[str, Json]) -> TranslatedNode:
        bench = self._translator
        way = model_nodes.supervisor_node_names(bench, node)[1]
        names = list(model_nodes.supervisor_agents(bench, node))
        if not names:
            raise TranslationError("the supervisor has no agents", "Name the agents.")
        begins = {
            line.target: line.case for line in self._drawing.edges if line.source == node.id and line.case in names
        }
        paths: dict[str, str] = {}
        for id in inner.order:
            path = begins.get(id) or next(
                (paths[f"\0{each}"] for each, _ in inner.predecessors[id] if f"\0{each}" in paths),
                "",
            )
            if path:
                paths[f"\0{id}"] = path
                name = bench.node_name(id)
                if not inner.predecessors[id]:
                    nodes[name]["after"] = [f"{way}.{path}"]
                shape = bench.outputs.get(id)
                if shape is not None:
                    paths[path] = (
                        next(iter(shape.text_fields and {shape.fields[each] for each in shape.text_fields}), "")
                        or shape.expression
                        or name
                    )
        made = {name: each for name, each in paths.items() if not name.startswith("\0")}
        missing = [name for name in names if name not in made]
        if missing:
            raise TranslationError(
                f"the path of {missing[0][:60]!r} has no nodes",
                "Connect it to its first node.",
            )
        return model_nodes.translate_supervisor(bench, node, made, nodes)

    def _combined_nodes(self, around: tuple[str, ...]) -> dict[str, Json]:
        """Extra nodes that combine all outputs of another node, for the loop `around`."""
        bench = self._translator
        places = {bench.ids[id]: bench.containers.get(id, ()) for id in bench.ids}
        made: dict[str, Json] = {}
        for id in bench.combined_names:  # combined nodes first: they may request results nodes
            if "\0" not in id and bench.containers.get(id, ()) == around:
                made[bench.combined_names[id]] = {}
        for id, name in list(bench.combined_names.items()):
            if name in made:
                made[name] = bench.combined_node(self._drawing.nodes[id])
        for id, name in bench.combined_names.items():
            found, _, what = id.partition("\0")
            if what == "results" and places.get(found, places.get(found.removesuffix("_found"), ())) == around:
                inputs = {"passages": "{{ " + found + ".passages }}"}
                made[name] = {"kind": "javascript", "inputs": inputs, "code": retrieval_nodes.RESULTS_CODE}
        return made


def explicit_dependencies(
    block: NodeBlock,
    translator: Translator,
    first_nodes: Mapping[str, str],
    nodes: Mapping[str, Mapping[str, Json]],
    cases: Mapping[tuple[str, str], tuple[str, str]],
) -> dict[str, list[str]]:
    """Node -> its `after` entries, without those that its expressions imply. An entry that names no case of its branch
    begins with NUL; the flow's check refuses it.
    """
    numbers = {id: 1 << at for at, id in enumerate(block.order)}
    name = translator.node_name
    owner = {ours: id for id in block.order for ours in (name(id), first_nodes[id])}
    theirs = {ours: id for id, ours in translator.ids.items()}
    for key, ours in translator.combined_names.items():
        of = key.partition("\0")[0]
        of = of if of in numbers else theirs.get(of.removesuffix("_found"), "")
        if of in numbers:
            owner[ours] = of
    behind: dict[str, int] = {}
    found: dict[str, list[str]] = {}
    branches = {branch for branch, _ in cases}

    def way(branch: str, case: str) -> str:
        if case == UNKNOWN_CASE:
            return name(branch)
        if (branch, case) not in cases and branch in branches:
            return f"\0{name(branch)}.{case}"
        node, its = cases.get((branch, case), (name(branch), case))
        return f"{node}.{its}"

    for id in block.order:
        leaned = {
            owner[each]
            for ours in {name(id), first_nodes[id]}
            for each in _referenced_names(nodes.get(ours, {}))
            if each in owner
        }
        reached = 0
        for each in leaned - {id}:
            if not block.may_be_skipped(each, id):
                reached |= numbers[each] | behind.get(each, 0)
        lines: dict[str, None] = {}
        always = any(not case and not block.may_be_skipped(node, id) for node, case in block.predecessors[id])
        for node, case in block.predecessors[id]:
            if case and (node, case) in block.guaranteed_cases[id]:
                lines[way(node, case)] = None
            elif case:
                if not always:
                    lines[way(node, case)] = None
            elif block.may_be_skipped(node, id):
                missing = [each for each in block.guaranteed_cases[node] if each not in block.guaranteed_cases[id]]
                if not always and missing:
                    lines[way(*missing[-1])] = None
            elif not numbers[node] & reached:
                lines[name(node)] = None
                reached |= numbers[node] | behind.get(node, 0)
        if any(case for _, case in block.predecessors[id]) or not lines:
            for node, case in block.predecessors[id]:
                reached |= numbers[node] | behind.get(node, 0) if (node, case) in block.guaranteed_cases[id] else 0
        behind[id] = reached
        found[id] = list(lines)
    return found


_ROOT = re.compile(r"(?<![\w.\]\"'-])([A-Za-z_][A-Za-z0-9_-]*)(?=[.\[ |)])")


def _referenced_names(node: Mapping[str, Json]) -> set[str]:
    """Roots of all paths in a node's templates; may include other words."""
    found: set[str] = set()
    for text in iterate_strings({name: each for name, each in node.items() if name not in ("code", "description")}):
        for part in text.split("{{")[1:]:
            found.update(_ROOT.findall(" " + part.partition("}}")[0]))
    return found


def _loop_ends(canvas: Canvas) -> dict[str, str]:
    """Loop node -> its end node."""
    made: dict[str, str] = {}
    for id, box in canvas.nodes.items():
        end = canvas.nodes.get(str(box.values.get("connectedTo") or ""))
        if (
            box.type in LOOP_NODES
            and end is not None
            and end.type == LOOP_NODES[box.type]
            and end.id not in made.values()
        ):
            made[id] = end.id
    return made


_ORDER = ("kind", "description", "after", "retry", "timeout_s")


def _ordered(node: Mapping[str, Json]) -> dict[str, Json]:
    last = ("nodes", "outputs", "code")
    return {
        **{name: node[name] for name in _ORDER if name in node},
        **{name: each for name, each in node.items() if name not in _ORDER and name not in last},
        **{name: node[name] for name in last if name in node},
    }


def _readable(said: Json) -> Json:
    """The data with values that were not read replaced by a remark."""
    if isinstance(said, Mapping):
        return {str(name): _readable(each) for name, each in said.items()}
    if isinstance(said, list):
        return [_readable(each) for each in said]
    if isinstance(said, NonLiteral):
        return f"(cannot be read: {said.description})"
    return said


def import_flows(canvases: Mapping[str, Canvas]) -> dict[str, ImportedFlow | LamaticFileError]:
    """Imports flows of one project, by file, each under a unique name."""
    names: dict[str, str] = {}
    for path, drawing in canvases.items():
        base = made = slug(drawing.name)
        number = 2
        while made in names.values():
            made, number = f"{base[:55]}-{number}", number + 1
        names[path] = made
    known = {
        other: names[path]
        for path, each in canvases.items()
        for other in (each.name.lower(), each.name, each.id)
        if other
    }
    made_of: dict[str, ImportedFlow | LamaticFileError] = {}
    for path, drawing in canvases.items():
        try:
            made_of[path] = import_flow(drawing, known, names[path])
        except LamaticFileError as error:
            made_of[path] = error.in_file(path)
    return made_of
