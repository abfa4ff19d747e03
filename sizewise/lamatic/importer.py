"""A drawing into a flow of ours: its YAML, and what is to be said of every node; runs nothing of it.

A node that cannot be said stays in the file under the kind that it had there, so that `flow check` points at it and
nothing is left out in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from sizewise.flows.language.types import Json
from sizewise.lamatic import control_nodes, model_nodes, retrieval_nodes, triggers
from sizewise.lamatic.block_structure import Level, level
from sizewise.lamatic.canvas import Box, Drawing, Grade, Refused, Told
from sizewise.lamatic.template_parser import Unsayable
from sizewise.lamatic.translator import Bench, Made, Shape, Sort, strings
from sizewise.lamatic.typescript_literals import Unread
from sizewise.lamatic.yaml_writer import Comment, yaml

SORTS: Mapping[str, Sort] = {**model_nodes.SORTS, **retrieval_nodes.SORTS, **control_nodes.SORTS}
LOOPS: Mapping[str, str] = {
    "forLoopNode": "forLoopEndNode",
    "batchNode": "batchEndNode",
    "agentNode": "agentLoopEndNode",
}
JOINTS = frozenset({"addNode", "branchNode", "endNode"})
NOTES = frozenset({"stickyNoteNode"})
NODES = 1_000

HTTP = "Ask its API with an http node, or declare an MCP server for it ([mcp.NAME]) and take a tool node."
NAMED: Mapping[str, str] = {
    "ImageGenNode": "Call a tool that makes pictures: a tool node.",
    "webSearchNode": "Declare an MCP server that searches ([mcp.NAME]) and take a tool node.",
    "scraperNode": "Ask for the page with an http node, or declare an MCP server and take a tool node.",
    "crawlerNode": "Declare an MCP server that crawls ([mcp.NAME]) and take a tool node.",
    "firecrawlNode": "Declare its MCP server ([mcp.NAME]) and take a tool node.",
    "tablesNode": "Keep rows in a database of yours, behind an http or tool node.",
    "postgresNode": "Declare an MCP server for your database ([mcp.NAME]) and take a tool node.",
    "googleSheetsNode": HTTP, "googleDriveNode": HTTP, "s3Node": HTTP, "onedriveNode": HTTP, "sharepointNode": HTTP,
    "slackNode": HTTP, "gmailNode": HTTP, "teamsNode": HTTP, "notionNode": HTTP, "airtableNode": HTTP,
    "smtpNode": HTTP, "twilioNode": HTTP, "webflowNode": HTTP, "n8nNode": HTTP,
    "agenticDocExtractionNode": "Take a file node, and a json node behind it.",
}  # fmt: skip
_SLUG = re.compile(r"[^a-z0-9]+")


class Imported(Struct, frozen=True):
    """`text` is the flow's YAML. `told`: every node, graded; `clean`: none is named."""

    name: str
    text: str
    data: Mapping[str, Json]
    told: tuple[Told, ...]

    @property
    def clean(self) -> bool:
        return all(each.grade != "named" for each in self.told)


def slug(name: str, other: str = "flow") -> str:
    """A name of a flow out of any name."""
    made = _SLUG.sub("-", name.lower()).strip("-")[:60].strip("-")
    return (made if made[:1].isalpha() else f"{other}-{made}" if made else other)[:62]


def imported(drawing: Drawing, flows: Mapping[str, str] = {}, name: str = "") -> Imported:
    """`flows`: the others that come with it, by their ids and names there. Raises Refused."""
    return _Import(drawing, flows, name or slug(drawing.name)).flow()


class _Import:
    def __init__(self, drawing: Drawing, flows: Mapping[str, str], name: str) -> None:
        self._drawing = drawing
        self._name = name
        self._bench = Bench(drawing, SORTS, flows)
        self._told: list[Told] = list(drawing.told)
        self._ends = _ends(drawing)
        self._starts = {end: start for start, end in self._ends.items()}
        self._items: dict[str, str] = {}
        self._cases: dict[tuple[str, str], tuple[str, str]] = {}

    def flow(self) -> Imported:
        bench, boxes = self._bench, self._drawing.boxes
        trigger = next((box for box in boxes.values() if box.trigger), None)
        answers = [box for box in boxes.values() if box.type in triggers.RESPONSES]
        kept = [
            id for id, box in boxes.items()
            if not box.trigger and box.type not in triggers.RESPONSES and box.type not in NOTES
        ]  # fmt: skip
        for id in kept:
            if boxes[id].type not in JOINTS and id not in self._starts:
                bench.name(id)
        found = self._start(trigger)
        plan = level(self._drawing, kept, self._joint, self._ends)
        self._place(plan, ())
        for id in kept:
            self._shape(boxes[id])
        for id in plan.circles:
            self._tell("note", boxes[id], "its lines go in a circle", "A line into it was left out.")
        nodes = self._level(plan, (), ())
        bench.level, bench.around, bench.id = None, (), ""
        outputs: dict[str, Json] = {}
        for box in answers:
            outputs.update(self._do(box, lambda box: triggers.answered(bench, box)) or {})
        nodes = {**self._wholes(()), **nodes}
        for box in boxes.values():
            if box.off:
                self._tell("note", box, "it is switched off, and left out")
            elif box.type in JOINTS:
                self._joined(box)
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
        return Imported(self._name, yaml(data, self._comments()), data, tuple(self._told))

    def _joined(self, box: Box) -> None:
        branches = box.values.get("branches")
        for each in branches if isinstance(branches, list) else ():
            if isinstance(each, Mapping) and each.get("condition"):
                hint = "A branch runs all its ways: decide by a conditionNode there, or a branch node here."
                self._tell("named", box, "it has conditions, which a branch does not look at", hint)
                return
        self._tell("imported", box, "a joint, which needs no node")

    # ---- what is said -----------------------------------------------------------------------------------------------

    def _tell(self, grade: Grade, box: Box, message: str = "", hint: str = "") -> None:
        self._told.append(Told(grade, box.id, box.type, message, hint))

    def _do(self, box: Box, work: Callable[[Box], Json]) -> Json:
        """What `work` gives, and what is said of the node; None where it cannot be said."""
        bench = self._bench
        bench.notes, bench.wrongs = [], []
        try:
            made = work(box)
        except Unsayable as wrong:
            self._tell("named", box, wrong.message, wrong.hint)
            return None
        except RecursionError:
            self._tell("named", box, "its values lie too deep in each other", "Flatten them.")
            return None
        for each in bench.wrongs:
            self._tell("named", box, each.message, each.hint)
        if bench.notes or bench.wrongs:
            for message, hint in bench.notes:
                self._tell("note", box, message, hint)
        else:
            self._tell("imported", box)
        if box.logic and box.logic not in ([], {}):
            self._tell("note", box, "its logic (fallback, retry, A/B) is left out", "A policy, or `retry:`, does that.")
        return made

    def _comments(self) -> list[Comment]:
        made: list[Comment] = []
        head = [f"Imported from a Lamatic flow{': ' + self._drawing.name if self._drawing.name else ''}."]
        for box in self._drawing.boxes.values():
            if box.type in NOTES:
                said = (
                    box.values.get("content")
                    or box.values.get("text")
                    or box.values.get("note")
                    or box.values.get("nodeName")
                )
                head += ["", *str(said or "").splitlines()[:40]]
                self._tell("imported", box, "a comment at the head of the file")
        made.append(Comment((), tuple(head)))
        by_node: dict[str, list[str]] = {}
        for each in self._told:
            if each.node and each.message and each.grade != "imported":
                mark = "Not imported" if each.grade == "named" else "Note"
                by_node.setdefault(each.node, []).append(
                    f"{mark}: {each.message}.{' ' + each.hint if each.hint else ''}"
                )
        for id, lines in by_node.items():
            made.append(Comment(("nodes", self._bench.ids.get(id, "")), tuple(lines)))
        return made

    # ---- beginnings -------------------------------------------------------------------------------------------------

    def _start(self, trigger: Box | None) -> list[dict[str, Json]]:
        bench = self._bench
        if trigger is None:
            return []
        begun = self._do(trigger, lambda box: triggers.started(bench, box)) or []
        bench.shapes[trigger.id] = triggers.trigger_shape(bench, trigger)
        return list(begun)

    def _joint(self, id: str) -> bool:
        box = self._drawing.boxes[id]
        return box.type in JOINTS or box.off

    def _place(self, plan: Level, around: tuple[str, ...]) -> None:
        for id in plan.order:
            self._bench.within[id] = around
            if id in plan.inner:
                self._place(plan.inner[id], (*around, id))

    def _shape(self, box: Box) -> None:
        bench = self._bench
        if box.off or box.type in JOINTS:
            return
        if box.type in ("forLoopNode", "batchNode") and box.id in self._ends:
            name, number = "item", 2
            depth = len(bench.within.get(box.id, ()))
            self._items[box.id] = name if not depth else f"{name}_{number + depth - 1}"
            bench.shapes[box.id] = control_nodes.loop_shape(bench, box, self._items[box.id])
            return
        if box.type == "agentNode" and box.id in self._ends:
            decides = model_nodes.supervisor_names(bench, box)[0]
            bench.shapes[box.id] = Shape(f"{decides}.arguments", open=True)
            return
        if box.id in self._starts:
            start = self._starts[box.id]
            if self._drawing.boxes[start].type == "agentNode":
                bench.shapes[box.id] = self._agent_end(self._drawing.boxes[start])
            else:
                bench.shapes[box.id] = control_nodes.end_shape(bench, start)
            return
        sort = SORTS.get(box.type)
        shape = sort.shape(bench, box) if sort else Shape(bench.name(box.id), open=True)
        bench.shapes[box.id] = shape

    def _agent_end(self, start: Box) -> Shape:
        id = self._bench.name(start.id)
        try:
            names = list(model_nodes.agents(self._bench, start))
        except Unsayable:
            names = []
        fields = {name: f"{id}[{name!r}]" if not name.isidentifier() else f"{id}.{name}" for name in names}
        answers = dict.fromkeys(
            ("agentOutput", "finalResponse", "generatedResponse", "response", "output"), f"{id}.answer"
        )
        return Shape("", {**answers, **fields})

    # ---- nodes ------------------------------------------------------------------------------------------------------

    def _level(self, plan: Level, around: tuple[tuple[Level, str], ...], outer: tuple[str, ...]) -> dict[str, Json]:
        bench = self._bench
        made: dict[str, dict[str, Json]] = {}
        first: dict[str, str] = {}
        for id in plan.order:
            box = self._drawing.boxes[id]
            bench.level, bench.around, bench.id = plan, around, id
            done = self._made(box, plan, around, outer)
            if box.name:
                done.nodes[bench.name(id)].setdefault("description", box.name[:300])
            for label, way in done.cases.items():
                self._cases[id, label] = way
            first[id] = next(iter(done.nodes))
            made.update(done.nodes)
        for id, lines in after(plan, bench, first, made, self._cases).items():
            lost = [line for line in lines if line.startswith("\0")]
            if lost:
                hint = "Name a case that its branch has."
                self._tell(
                    "named", self._drawing.boxes[id], f"it comes after {lost[0][1:80]!r}, which is no case", hint
                )
            if kept := [line for line in lines if line not in lost]:
                made[first[id]]["after"] = kept
        return {name: _ordered(each) for name, each in made.items()}

    def _made(self, box: Box, plan: Level, around: tuple[tuple[Level, str], ...], outer: tuple[str, ...]) -> Made:
        if box.id in plan.inner:
            made = self._do(box, lambda box: self._loop(box, plan, around, outer))
            self._tell_end(box)
        elif (sort := SORTS.get(box.type)) is not None:
            made = self._do(box, lambda box: sort.make(self._bench, box))
        else:
            hint = NAMED.get(triggers.plain(box.type), "Take an http, tool or javascript node in its place.")
            if box.type in LOOPS or box.type in LOOPS.values():
                hint = "Give the loop both of its ends, each connectedTo the other."
            self._tell("named", box, "there is no node of this kind here", hint)
            made = None
        return made if made is not None else Made({self._bench.name(box.id): self._kept(box)})

    def _tell_end(self, box: Box) -> None:
        end = self._drawing.boxes[self._ends[box.id]]
        self._tell("imported", end, "the end of what its loop holds")
        if end.values.get("outputAccumulator"):
            self._tell("note", end, "what it gathers is left out", "Gather it from loopOutput in a javascript node.")

    def _kept(self, box: Box) -> dict[str, Json]:
        """A node that we have no words for, as it was."""
        said = self._told[-1]
        values = _readable({name: each for name, each in box.values.items() if name not in ("id", "nodeName")})
        return {
            "kind": box.type,
            "description": f"not imported: {said.message}"[:300],
            **({"values": values} if values else {}),
        }

    def _loop(self, box: Box, plan: Level, around: tuple[tuple[Level, str], ...], outer: tuple[str, ...]) -> Made:
        bench, inner = self._bench, plan.inner[box.id]
        told, wrongs = bench.notes, bench.wrongs
        nodes = self._level(inner, ((plan, box.id), *around), (*outer, box.id))
        nodes = {**self._wholes((*outer, box.id)), **nodes}
        bench.level, bench.around, bench.id, bench.notes = plan, around, box.id, told
        bench.wrongs = wrongs
        if box.type == "agentNode":
            return self._supervisor(box, inner, nodes)
        if not nodes:
            raise Unsayable("it holds no nodes", "Put one between its two ends.")
        outputs = {id: {"output": self._output(id)} for id in inner.order if id in bench.shapes}
        at_once = box.values.get("concurrencyLimit") if box.type == "batchNode" else 1
        limit = min(256, int(str(at_once))) if re.fullmatch("[1-9][0-9]{0,5}", str(at_once)) else 8
        return control_nodes.loop(bench, box, self._items[box.id], limit, nodes, outputs)

    def _output(self, id: str) -> Json:
        bench = self._bench
        shape = bench.shapes[id]
        if shape.whole and (shape.open or not shape.fields):
            return "{{ " + shape.whole + " }}"
        named = {
            name: bench.results(each) if shape.coded and each.endswith(".passages") else each
            for name, each in shape.fields.items()
        }
        return {name: "{{ " + each + " }}" for name, each in named.items()}

    def _supervisor(self, box: Box, inner: Level, nodes: dict[str, Json]) -> Made:
        bench = self._bench
        way = model_nodes.supervisor_names(bench, box)[1]
        names = list(model_nodes.agents(bench, box))
        if not names:
            raise Unsayable("it leads nobody", "Name its agents.")
        begins = {
            line.target: line.case for line in self._drawing.lines if line.source == box.id and line.case in names
        }
        paths: dict[str, str] = {}
        for id in inner.order:
            path = begins.get(id) or next(
                (paths[f"\0{each}"] for each, _ in inner.before[id] if f"\0{each}" in paths), ""
            )
            if path:
                paths[f"\0{id}"] = path
                name = bench.name(id)
                if not inner.before[id]:
                    nodes[name]["after"] = [f"{way}.{path}"]
                shape = bench.shapes.get(id)
                if shape is not None:
                    paths[path] = (
                        next(iter(shape.texts and {shape.fields[each] for each in shape.texts}), "")
                        or shape.whole
                        or name
                    )
        made = {name: each for name, each in paths.items() if not name.startswith("\0")}
        missing = [name for name in names if name not in made]
        if missing:
            raise Unsayable(f"the path of {missing[0][:60]!r} leads nowhere", "Draw a line from it to its first node.")
        return model_nodes.supervised(bench, box, made, nodes)

    def _wholes(self, around: tuple[str, ...]) -> dict[str, Json]:
        """Nodes that hold all that another gives, for those within `around`."""
        bench = self._bench
        places = {bench.ids[id]: bench.within.get(id, ()) for id in bench.ids}
        made: dict[str, Json] = {}
        for id in bench.whole:  # of those that hold all first: they may ask for results
            if "\0" not in id and bench.within.get(id, ()) == around:
                made[bench.whole[id]] = {}
        for id, name in list(bench.whole.items()):
            if name in made:
                made[name] = bench.all_of(self._drawing.boxes[id])
        for id, name in bench.whole.items():
            found, _, what = id.partition("\0")
            if what == "results" and places.get(found, places.get(found.removesuffix("_found"), ())) == around:
                inputs = {"passages": "{{ " + found + ".passages }}"}
                made[name] = {"kind": "javascript", "inputs": inputs, "code": retrieval_nodes.RESULTS}
        return made


def after(
    plan: Level,
    bench: Bench,
    first: Mapping[str, str],
    made: Mapping[str, Mapping[str, Json]],
    cases: Mapping[tuple[str, str], tuple[str, str]],
) -> dict[str, list[str]]:
    """What each node must say it comes after: what no expression says already. What is no case begins with a zero."""
    numbers = {id: 1 << at for at, id in enumerate(plan.order)}
    name = bench.name
    owner = {ours: id for id in plan.order for ours in (name(id), first[id])}
    theirs = {ours: id for id, ours in bench.ids.items()}
    for key, ours in bench.whole.items():
        of = key.partition("\0")[0]
        of = of if of in numbers else theirs.get(of.removesuffix("_found"), "")
        if of in numbers:
            owner[ours] = of
    behind: dict[str, int] = {}
    found: dict[str, list[str]] = {}
    branches = {branch for branch, _ in cases}

    def way(branch: str, case: str) -> str:
        if (branch, case) not in cases and branch in branches:
            return f"\0{name(branch)}.{case}"
        node, its = cases.get((branch, case), (name(branch), case))
        return f"{node}.{its}"

    for id in plan.order:
        leaned = {owner[each] for ours in {name(id), first[id]} for each in _names(made.get(ours, {})) if each in owner}
        reached = 0
        for each in leaned - {id}:
            if not plan.maybe(each, id):
                reached |= numbers[each] | behind.get(each, 0)
        lines: dict[str, None] = {}
        always = any(not case and not plan.maybe(node, id) for node, case in plan.before[id])
        for node, case in plan.before[id]:
            if case and (node, case) in plan.sure[id]:
                lines[way(node, case)] = None
            elif case:
                if not always:
                    lines[way(node, case)] = None
            elif plan.maybe(node, id):
                missing = [each for each in plan.sure[node] if each not in plan.sure[id]]
                if not always and missing:
                    lines[way(*missing[-1])] = None
            elif not numbers[node] & reached:
                lines[name(node)] = None
                reached |= numbers[node] | behind.get(node, 0)
        if any(case for _, case in plan.before[id]) or not lines:
            for node, case in plan.before[id]:
                reached |= numbers[node] | behind.get(node, 0) if (node, case) in plan.sure[id] else 0
        behind[id] = reached
        found[id] = list(lines)
    return found


_ROOT = re.compile(r"(?<![\w.\]\"'-])([A-Za-z_][A-Za-z0-9_-]*)(?=[.\[ |)])")


def _names(node: Mapping[str, Json]) -> set[str]:
    """The first names of paths in a node's templates, and more words than these."""
    found: set[str] = set()
    for text in strings({name: each for name, each in node.items() if name not in ("code", "description")}):
        for part in text.split("{{")[1:]:
            found.update(_ROOT.findall(" " + part.partition("}}")[0]))
    return found


def _ends(drawing: Drawing) -> dict[str, str]:
    """The loops, each with its end."""
    made: dict[str, str] = {}
    for id, box in drawing.boxes.items():
        end = drawing.boxes.get(str(box.values.get("connectedTo") or ""))
        if box.type in LOOPS and end is not None and end.type == LOOPS[box.type] and end.id not in made.values():
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
    """Data without what was not read."""
    if isinstance(said, Mapping):
        return {str(name): _readable(each) for name, each in said.items()}
    if isinstance(said, list):
        return [_readable(each) for each in said]
    if isinstance(said, Unread):
        return f"(not read: {said.what})"
    return said


def together(drawings: Mapping[str, Drawing]) -> dict[str, Imported | Refused]:
    """Flows that come with each other, by the files that they stood in, and each with a name of its own."""
    names: dict[str, str] = {}
    for path, drawing in drawings.items():
        base = made = slug(drawing.name)
        number = 2
        while made in names.values():
            made, number = f"{base[:55]}-{number}", number + 1
        names[path] = made
    known = {
        other: names[path]
        for path, each in drawings.items()
        for other in (each.name.lower(), each.name, each.id)
        if other
    }
    made_of: dict[str, Imported | Refused] = {}
    for path, drawing in drawings.items():
        try:
            made_of[path] = imported(drawing, known, names[path])
        except Refused as error:
            made_of[path] = error.within(path)
    return made_of
