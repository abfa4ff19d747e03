"""Where a drawing's nodes are made into ours: names, what each gives, and texts with {{ }} said in our language; pure.

Every type of node is a Sort (asking.py, finding.py, steps.py): what its output is called there and here, and how it is
made. What cannot be said raises Unsayable, and the node is named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping

import msgspec
from msgspec import Struct

from sizewise.flows.language.flow_spec import TAKEN
from sizewise.flows.language.types import Json
from sizewise.lamatic import javascript_templates, typescript_literals
from sizewise.lamatic.block_structure import Level
from sizewise.lamatic.canvas import Box, Drawing, Refused
from sizewise.lamatic.template_parser import Choice, Literal_, Or, Reach, Slice, Unsayable, Variable, braced, pieces
from sizewise.lamatic.typescript_literals import Unread

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_BAD = re.compile(r"[^A-Za-z0-9_-]+")
_PATH = re.compile(r"\s*[A-Za-z_$]")
_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_GIVEN = re.compile(
    r"[ \t]*const[ \t]+(?P<name>[A-Za-z][A-Za-z0-9_]{0,60})[ \t]*=[ \t]*\{\{(?P<inner>[^{}\n]{1,500})\}\};?[ \t]*\n"
)
TEXTS = frozenset({"text"})


class Shape(Struct, frozen=True):
    """What a node gives. `whole`: all of it, in our words; empty where that is put together of `fields`.

    `fields`: its names there, and what we say for each. `open`: other names are the same in both, within `whole`.
    `texts`: fields that are texts for certain; `gone`: names there that have nothing here, and what to do.
    `items`: what the fields of passages in it are called; `coded`: code that gives them these names, for other code.
    """

    whole: str
    fields: Mapping[str, str] = {}
    open: bool = False
    texts: frozenset[str] = frozenset()
    gone: Mapping[str, str] = {}
    items: Mapping[str, str] = {}
    coded: str = ""


class Made(Struct):
    """Nodes of ours, by id, in order: the first takes what comes before, the last is the node itself.

    `cases`: for a branch, where each case there leads from here.
    """

    nodes: dict[str, dict[str, Json]]
    cases: dict[str, tuple[str, str]] = {}


Shapes = Callable[["Bench", Box], Shape]
Makes = Callable[["Bench", Box], Made]


class Sort(Struct, frozen=True):
    """A type of node there. `says`: what it becomes, for the table of them."""

    says: str
    shape: Shapes
    make: Makes


class Bench:
    """One drawing under way. `level` and `id` are where it is at work."""

    def __init__(self, drawing: Drawing, sorts: Mapping[str, Sort], flows: Mapping[str, str]) -> None:
        """`flows`: other flows that are imported with it, by their ids and names there."""
        self.drawing = drawing
        self.sorts = sorts
        self.flows = flows
        self.ids: dict[str, str] = {}
        self._taken: set[str] = set(TAKEN)
        self.inputs: dict[str, dict[str, Json] | str] = {}
        self.input_names: dict[str, str] = {}
        self.shapes: dict[str, Shape] = {}
        self.notes: list[tuple[str, str]] = []
        self.wrongs: list[Unsayable] = []
        self.whole: dict[str, str] = {}
        self.extra: dict[str, dict[str, Json]] = {}
        self.level: Level | None = None
        self.around: tuple[tuple[Level, str], ...] = ()
        self.id = ""
        self.in_code = False
        self.used: set[str] = set()
        self.within: dict[str, tuple[str, ...]] = {}

    # ---- names ------------------------------------------------------------------------------------------------------

    def name(self, id: str) -> str:
        """Ours for a node: the same, but for what no name may hold."""
        if id not in self.ids:
            made = _BAD.sub("_", id).strip("_-")[:50] or "node"
            self.ids[id] = self.fresh(made if made[0].isalpha() else f"n_{made}")
        return self.ids[id]

    def fresh(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name

    def input(self, wanted: str, type: str | dict[str, Json], *, needed: bool = False) -> str:
        """The name of an input that is called so there; made where there is none."""
        if wanted not in self.input_names:
            made = _BAD.sub("_", wanted).strip("_-")[:60] or "value"
            name = made if made[0].isalpha() else f"n_{made}"
            while name in self.inputs:
                name += "_"
            self.input_names[wanted] = name
            self.inputs[name] = type if needed else {"type": type, "default": None}
        return self.input_names[wanted]

    def type_of(self, name: str) -> Json:
        said = self.inputs.get(name)
        return said.get("type") if isinstance(said, dict) and "type" in said else said

    def note(self, message: str, hint: str = "") -> None:
        if (message, hint) not in self.notes:
            self.notes.append((message, hint))

    def each_value(self, said: Mapping[str, Json], what: str) -> dict[str, Json]:
        """The values by their names, without those that cannot be said, which are told one by one."""
        made: dict[str, Json] = {}
        for name, each in said.items():
            try:
                made[name] = self.value(each, what)
            except Unsayable as wrong:
                self.wrongs.append(Unsayable(f"{name[:60]}: {wrong.message}", wrong.hint))
        return made

    # ---- values -----------------------------------------------------------------------------------------------------

    def text(self, said: object, what: str) -> str:
        """A text of theirs as a template of ours that comes to a text."""
        if said is None:
            return ""
        if isinstance(said, (dict, list)):
            said = json.dumps(said, ensure_ascii=False)
        if isinstance(said, bool):
            return "true" if said else "false"
        if isinstance(said, (int, float)):
            return str(said)
        return self._template(_whole(said, what), True)

    def value(self, said: object, what: str) -> Json:
        """Json value, with the texts in it said in our language; one that is one {{ }} keeps its type."""
        if isinstance(said, Mapping):
            return {str(name): self.value(each, f"{what}.{name}") for name, each in said.items()}
        if isinstance(said, list):
            return [self.value(each, what) for each in said]
        if isinstance(said, str):
            return self._template(said, False)
        if isinstance(said, Unread):
            _whole(said, what)
        return said

    def _template(self, text: str, as_text: bool) -> str:
        """Ours of theirs."""
        found = [
            each if isinstance(each, str) or _PATH.match(each[0]) else f"{{{{{each[0]}}}}}" for each in pieces(text)
        ]
        alone = len(found) == 1 or (
            as_text is False and len([each for each in found if isinstance(each, tuple) or each.strip()]) == 1
        )
        parts: list[str] = []
        for each in found:
            if isinstance(each, str):
                if not (alone and len(found) > 1):
                    parts.append(plain(each))
                continue
            said, certain = self.expression(each[0])
            if as_text and alone and not certain:
                said = f"{said} | text"
            parts.append("{{ " + said + " }}")
        return "".join(parts)

    def expression(self, inner: str) -> tuple[str, bool]:
        """What stands between {{ }} there, as it does here, and whether it is a text for certain. Raises Unsayable."""
        found = braced(inner)
        match found:
            case Reach():
                return self.reach(found)
            case Or(first, other):
                left, certain = self.reach(first)
                if isinstance(other, Literal_) and isinstance(other.value, (list, dict)):
                    return left, certain
                right = _literal(other.value) if isinstance(other, Literal_) else self.reach(other)[0]
                return f"{_within(left)} or {_within(right)}", False
            case Choice(when, then, other):
                if not (isinstance(then, Literal_) and then.value):
                    raise Unsayable("a choice (a ? b : c) whose first value may be empty", "Use a branch.")
                last = _literal(other.value) if isinstance(other, Literal_) else _within(self.reach(other)[0])
                return f"{_within(self.reach(when)[0])} and {_literal(then.value)} or {last}", False
        raise Unsayable("what stands in {{ }} cannot be read")

    def reach(self, path: Reach) -> tuple[str, bool]:
        """A path of theirs in our words. Raises Unsayable."""
        box = self.drawing.boxes.get(path.root)
        if box is None:
            raise _nowhere(path)
        shape = self.shapes.get(box.id)
        if shape is None:
            raise Unsayable(f"{{{{ {path.root} }}}}, a node that gives nothing here")
        around = self.within.get(box.id, ())
        if self.within.get(self.id, ())[: len(around)] != around:
            hint = "Take it from the loop's end, as in loopOutput[0]."
            raise Unsayable(f"{{{{ {path.root} }}}}, which lies within a loop", hint)
        steps = list(path.steps)
        name = steps[0] if steps and isinstance(steps[0], str) else ""
        if name in shape.fields:
            base, steps = shape.fields[name], steps[1:]
            certain = name in shape.texts and not steps
            inner = next((each for each in steps if isinstance(each, str)), "")
            if name in ("loopOutput", "batchOutput") and inner and inner not in self.within:
                raise Unsayable(
                    f"{{{{ {path.root}.output.{name}[].{inner[:60]} }}}}", "Name a node that its loop holds."
                )
            if shape.items and base.endswith(".passages"):
                if self.in_code:
                    base = self.results(base)
                else:
                    steps = _of_items(steps, shape.items)
        elif name in shape.gone:
            raise Unsayable(f"{{{{ {path.root}.output.{name} }}}} has nothing here", shape.gone[name])
        elif not steps:
            base, certain = shape.whole or self._all(box, shape), False
        elif shape.open:
            base, certain = shape.whole, False
        else:
            known = ", ".join(shape.fields) or "nothing"
            raise Unsayable(f"{{{{ {path.root}.output.{name} }}}}: it gives {known}", "Name one of these.")
        said = base + self._steps(steps)
        self._seen(base)
        if self._maybe(box.id, base):
            said += " | default(null)"
        return said, certain

    def _steps(self, steps: list[Json]) -> str:
        parts: list[str] = []
        piped = False
        for number, each in enumerate(steps):
            match each:
                case Variable():
                    raise Unsayable(f"an index that is a name ([{each.name}])", "Take it apart in a javascript node.")
                case Slice(begin, end):
                    whole = begin in (None, 0) and end is None
                    if piped and not parts[-1].startswith(" | slice"):
                        parts.append(" | flat")
                    if not whole:
                        parts.append(f" | slice({begin or 0}{'' if end is None else f', {end}'})")
                    piped = True
                    if whole and number == len(steps) - 1:
                        piped = False
                case str() if piped:
                    parts.append(f" | pluck({json.dumps(each, ensure_ascii=False)})")
                case int() if piped:
                    raise Unsayable("one item of every list", "Take it apart in a javascript node.")
                case str():
                    parts.append(f".{each}" if _NAME.fullmatch(each) else f"[{json.dumps(each, ensure_ascii=False)}]")
                case _:
                    parts.append(f"[{each}]")
        return "".join(parts)

    def _all(self, box: Box, shape: Shape) -> str:
        """All that a node gives, under the names it has there: a node of its own, made when somebody asks for it."""
        if not shape.fields:
            raise Unsayable(f"all that {box.id} gives", "Name a field of it.")
        if box.id not in self.whole:
            self.whole[box.id] = self.fresh(
                f"{self.ids.get(box.id, 'inputs')}_all" if box.id in self.ids else "started"
            )
        return f"{self.whole[box.id]}.value"

    def all_of(self, box: Box) -> dict[str, Json]:
        """The node that holds it."""
        shape = self.shapes[box.id]
        named = {
            name: self.results(each) if shape.coded and each.endswith(".passages") else each
            for name, each in shape.fields.items()
        }
        fields = {name: "{{ " + each + " }}" for name, each in named.items()}
        return {"kind": "template", "value": fields}

    def results(self, passages: str) -> str:
        """Passages with the names that code of theirs knows: a node of its own, made when somebody asks for it."""
        found = passages.removesuffix(".passages")
        key = f"{found}\0results"
        if key not in self.whole:
            self.whole[key] = self.fresh(f"{found}_results")
        return self.whole[key]

    def _maybe(self, id: str, base: str) -> bool:
        if base.startswith("inputs") or self.level is None:
            return False
        for level, here in ((self.level, self.id), *self.around):
            if id in level.sure and here in level.sure:
                return level.maybe(id, here)
        return False

    def _seen(self, base: str) -> None:
        self.used.add(re.split(r"[.\[ ]", base, maxsplit=1)[0])

    # ---- code -------------------------------------------------------------------------------------------------------

    def code(self, said: object, what: str) -> tuple[str, dict[str, str]]:
        """Code of theirs as ours, and its inputs. Raises Unsayable."""
        text = _whole(said, what)
        inputs, text = self._first_lines(text)
        words = {word for each in pieces(text) if isinstance(each, str) for word in _WORD.findall(each)}
        named: dict[tuple[str, bool], str] = {}

        def fill(hole: javascript_templates.Hole) -> str:
            path, rest = _up_to_variable(hole.inner)
            as_text = hole.where == "text"
            if (path, as_text) not in named:
                self.in_code = True
                try:
                    expression, certain = self.expression(path)
                finally:
                    self.in_code = False
                name = _identifier(path, words | inputs.keys(), as_text)
                inputs[name] = "{{ " + expression + (" | text" if as_text and not certain else "") + " }}"
                named[path, as_text] = name
            name = named[path, as_text] + rest
            if not as_text:
                return name
            return f"${{{name}}}" if hole.quote == "`" else f"{hole.quote} + {name} + {hole.quote}"

        return javascript_templates.filled(text, fill), inputs

    def _first_lines(self, code: str) -> tuple[dict[str, str], str]:
        """Lines at its head that do nothing but name a value (`const x = {{path}};`) as inputs, and the other code."""
        inputs: dict[str, str] = {}
        at = 0
        while (match := _GIVEN.match(code, at)) is not None and match["name"] not in inputs:
            try:
                self.in_code = True
                inputs[match["name"]] = "{{ " + self.expression(match["inner"])[0] + " }}"
            finally:
                self.in_code = False
            at = match.end()
        return inputs, code[at:]

    # ---- data within texts ------------------------------------------------------------------------------------------

    def data(self, said: object, what: str) -> Json:
        """What a value says that is data, or a text that holds data as JSON. Raises Unsayable."""
        if not isinstance(said, str):
            if isinstance(said, Unread):
                _whole(said, what)
            return said
        if not said.strip():
            return None
        try:
            return msgspec.json.decode(said)
        except (msgspec.DecodeError, RecursionError):
            pass
        try:
            return typescript_literals.value(javascript_templates.filled(said, _quoted))
        except Refused as error:
            raise Unsayable(f"`{what}` cannot be read: {error.bare}", "Write it as JSON.") from error


def _of_items(steps: list[Json], names: Mapping[str, str]) -> list[Json]:
    """The same in the names that passages have here."""
    made = [each for each in steps if each != "_additional"]
    for at, each in enumerate(made):
        if isinstance(each, str) and at:
            if each not in names:
                raise Unsayable(
                    f"the field {each[:60]!r} of what is found",
                    f"A passage has {', '.join(sorted(set(names.values())))}.",
                )
            made[at] = names[each]
    return made


def _quoted(hole: javascript_templates.Hole) -> str:
    shown = "{{" + hole.inner + "}}"
    return shown if hole.where == "text" else json.dumps(shown)


def _whole(said: object, what: str) -> str:
    """A text, or Unsayable where it was not read."""
    if isinstance(said, Unread):
        raise Unsayable(f"`{what}` is no literal (line {said.line}: {said.what})", "Write its value out.")
    return said if isinstance(said, str) else str(said)


def _nowhere(path: Reach) -> Unsayable:
    if path.root == "secrets":
        hint = "Keys belong into the settings, as in [hosts.NAME]; a flow never holds one."
        return Unsayable(f"the secret {'.'.join(map(str, path.steps))[:80]}", hint)
    if path.root == "env":
        return Unsayable(f"a variable of the environment ({path.root})", "Make an input of it, or write its value.")
    return Unsayable(f"there is no node {path.root[:60]!r}", "Name one that is there.")


def _up_to_variable(inner: str) -> tuple[str, str]:
    """A path up to an index that is a name, and the rest of it, which code goes on with."""
    try:
        found = braced(inner)
    except Unsayable:
        return inner, ""
    if not isinstance(found, Reach) or not any(isinstance(each, Variable) for each in found.steps):
        return inner, ""
    match = re.search(r"\[\s*[A-Za-z_$]", inner)
    assert match is not None
    return inner[: match.start()].strip(), inner[match.start() :].strip()


def _identifier(path: str, taken: set[str], as_text: bool) -> str:
    """A name for a value in code: of its path, and none that the code has."""
    words = [each for each in re.split(r"[^A-Za-z0-9]+", path) if each and each != "output"]
    base = "_".join(words)[:60] or "value"
    base = ("" if base[0].isalpha() else "v_") + base + ("_text" if as_text else "")
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name


def plain(text: str) -> str:
    """A text in which {{ means nothing there, as one in which it means nothing here."""
    return text.replace("{{", '{{ "{{" }}')


def _literal(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return quoted(value)


def quoted(text: str) -> str:
    """A text as a literal of an expression."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'


def _within(said: str) -> str:
    return f"({said})" if " " in said and not said.startswith('"') else said


within = _within


def strings(said: object) -> Iterator[str]:
    """Every text in a value."""
    waiting = [said]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
