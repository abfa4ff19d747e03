"""Translator of one Lamatic canvas: node names, node outputs, templates and code in Sizewise's syntax.

Every Lamatic node type has a NodeTranslation (model_nodes.py, retrieval_nodes.py, control_nodes.py), which maps its
outputs and translates the node. What cannot be translated raises TranslationError, and the node is graded `named`.

In names and docstrings, "source" is Lamatic's side.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping

import msgspec
from msgspec import Struct

from sizewise.flows.language.flow_spec import RESERVED_NAMES
from sizewise.flows.language.types import Json
from sizewise.lamatic import code_globals, javascript_templates, typescript_literals
from sizewise.lamatic.block_structure import NodeBlock
from sizewise.lamatic.canvas import Canvas, CanvasNode, LamaticFileError
from sizewise.lamatic.template_parser import (
    ConditionalExpression,
    DefaultExpression,
    SliceStep,
    TemplateLiteral,
    TemplatePath,
    TranslationError,
    VariableIndex,
    parse_expression,
    split_template,
)
from sizewise.lamatic.typescript_literals import NonLiteral

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_BAD = re.compile(r"[^A-Za-z0-9_-]+")
_ID = re.compile(r"(?P<type>[A-Za-z]+Node)_\w+")
_PLAIN = re.compile(r"[^a-z0-9]+")
_PATH = re.compile(r"\s*[A-Za-z_$]")
_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_LEADING_CONST = re.compile(
    r"[ \t]*const[ \t]+(?P<name>[A-Za-z][A-Za-z0-9_]{0,60})[ \t]*=[ \t]*\{\{(?P<inner>[^{}\n]{1,500})\}\};?[ \t]*\n",
)
TEXT_FIELD = frozenset({"text"})


class NodeOutputs(Struct, frozen=True):
    """Outputs of a node. `expression`: our expression for all of it; empty if it is combined from `fields`.

    `fields`: Lamatic's field -> our expression. `passthrough`: other fields have the same name, below `expression`.
    `text_fields`: fields that are always texts. `unavailable`: Lamatic's field without an equivalent -> hint.
    `passage_fields`: Lamatic's field of a search result -> our field of a passage. `compatibility_code`: JavaScript
    that gives passages Lamatic's field names, for code that uses them.
    """

    expression: str
    fields: Mapping[str, str] = {}
    passthrough: bool = False
    text_fields: frozenset[str] = frozenset()
    unavailable: Mapping[str, str] = {}
    passage_fields: Mapping[str, str] = {}
    compatibility_code: str = ""


class TranslatedNode(Struct):
    """Our nodes by id, in order: the first takes the predecessors, the last is the node itself.

    `cases`: Lamatic's case -> (our branch node, its case).
    """

    nodes: dict[str, dict[str, Json]]
    cases: dict[str, tuple[str, str]] = {}


OutputMapper = Callable[["Translator", CanvasNode], NodeOutputs]
NodeTranslateFunction = Callable[["Translator", CanvasNode], TranslatedNode]


class NodeTranslation(Struct, frozen=True):
    """Translation of one Lamatic node type. `description`: what it becomes, for the table in the docs."""

    description: str
    map_outputs: OutputMapper
    translate: NodeTranslateFunction


class Translator:
    """State of one canvas being translated. `block` and `current_id`: the node being translated."""

    def __init__(self, canvas: Canvas, translations: Mapping[str, NodeTranslation], flows: Mapping[str, str]) -> None:
        """`flows`: Lamatic id or name -> flow name, for flows imported together."""
        self.canvas = canvas
        self.translations = translations
        self.flows = flows
        self.ids: dict[str, str] = {}
        self._reserved: set[str] = set(RESERVED_NAMES)
        self.inputs: dict[str, dict[str, Json] | str] = {}
        self.input_names: dict[str, str] = {}
        self.outputs: dict[str, NodeOutputs] = {}
        self.notes: list[tuple[str, str]] = []
        self.errors: list[TranslationError] = []
        self.combined_names: dict[str, str] = {}
        self.extra_nodes: dict[str, dict[str, Json]] = {}
        self.block: NodeBlock | None = None
        self.enclosing: tuple[tuple[NodeBlock, str], ...] = ()
        self.current_id = ""
        self.in_code = False
        self.referenced: set[str] = set()
        self.containers: dict[str, tuple[str, ...]] = {}

    # ---- names ------------------------------------------------------------------------------------------------------

    def node_name(self, id: str) -> str:
        """Our name for a node: its id without invalid characters."""
        if id not in self.ids:
            made = _BAD.sub("_", id).strip("_-")[:50] or "node"
            self.ids[id] = self.unique_name(made if made[0].isalpha() else f"n_{made}")
        return self.ids[id]

    def unique_name(self, base: str) -> str:
        name, number = base, 2
        while name in self._reserved:
            name, number = f"{base}_{number}", number + 1
        self._reserved.add(name)
        return name

    def declare_input(self, source_name: str, type: str | dict[str, Json], *, required: bool = False) -> str:
        """Our name for a Lamatic input; declares the input if necessary."""
        if source_name not in self.input_names:
            made = _BAD.sub("_", source_name).strip("_-")[:60] or "value"
            name = made if made[0].isalpha() else f"n_{made}"
            while name in self.inputs:
                name += "_"
            self.input_names[source_name] = name
            self.inputs[name] = type if required else {"type": type, "default": None}
        return self.input_names[source_name]

    def input_type(self, name: str) -> Json:
        said = self.inputs.get(name)
        return said.get("type") if isinstance(said, dict) and "type" in said else said

    def add_note(self, message: str, hint: str = "") -> None:
        if (message, hint) not in self.notes:
            self.notes.append((message, hint))

    def translate_mapping(self, values: Mapping[str, Json], label: str) -> dict[str, Json]:
        """Translates each value; those that fail are left out and added to `errors`."""
        made: dict[str, Json] = {}
        for name, each in values.items():
            try:
                made[name] = self.translate_value(each, label)
            except TranslationError as wrong:
                self.errors.append(TranslationError(f"{name[:60]}: {wrong.message}", wrong.hint))
        return made

    # ---- values -----------------------------------------------------------------------------------------------------

    def translate_text(self, value: object, label: str) -> str:
        """A Lamatic text as a template of ours that yields a text."""
        if value is None:
            return ""
        if isinstance(value, (dict, list)):
            value = json.dumps(value, ensure_ascii=False)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (int, float)):
            return str(value)
        return self._translate_template(_require_text(value, label), True)

    def translate_value(self, value: object, label: str) -> Json:
        """A JSON value with its texts translated. A text that is a single {{ }} keeps its type."""
        if isinstance(value, Mapping):
            return {str(name): self.translate_value(each, f"{label}.{name}") for name, each in value.items()}
        if isinstance(value, list):
            return [self.translate_value(each, label) for each in value]
        if isinstance(value, str):
            return self._translate_template(value, False)
        if isinstance(value, NonLiteral):
            _require_text(value, label)
        return value

    def _translate_template(self, text: str, as_text: bool) -> str:
        found = [
            each if isinstance(each, str) or _PATH.match(each[0]) else f"{{{{{each[0]}}}}}"
            for each in split_template(text)
        ]
        alone = len(found) == 1 or (
            as_text is False and len([each for each in found if isinstance(each, tuple) or each.strip()]) == 1
        )
        parts: list[str] = []
        for each in found:
            if isinstance(each, str):
                if not (alone and len(found) > 1):
                    parts.append(escape_template(each))
                continue
            said, certain = self.translate_expression(each[0])
            if as_text and alone and not certain:
                said = f"{said} | text"
            parts.append("{{ " + said + " }}")
        return "".join(parts)

    def translate_expression(self, source: str) -> tuple[str, bool]:
        """Translates the content of a {{ }}; returns our expression and whether it is always a text. Raises
        TranslationError.
        """
        found = parse_expression(source)
        match found:
            case TemplatePath():
                return self.translate_path(found)
            case DefaultExpression(first, other):
                left, certain = self.translate_path(first)
                if isinstance(other, TemplateLiteral) and isinstance(other.value, (list, dict)):
                    return left, certain
                right = _literal(other.value) if isinstance(other, TemplateLiteral) else self.translate_path(other)[0]
                return f"{_parenthesize(left)} or {_parenthesize(right)}", False
            case ConditionalExpression(when, then, other):
                if not (isinstance(then, TemplateLiteral) and then.value):
                    raise TranslationError("a conditional (a ? b : c) whose first value may be empty", "Use a branch.")
                last = (
                    _literal(other.value)
                    if isinstance(other, TemplateLiteral)
                    else _parenthesize(self.translate_path(other)[0])
                )
                return f"{_parenthesize(self.translate_path(when)[0])} and {_literal(then.value)} or {last}", False
        raise TranslationError("the expression in {{ }} cannot be parsed")

    def translate_path(self, path: TemplatePath) -> tuple[str, bool]:
        """Our expression for a Lamatic path, and whether it is always a text. Raises TranslationError."""
        box = self.canvas.nodes.get(path.root) or self._node_by_name(path.root)
        if box is None:
            if (name := self._input_by_name(path)) is not None:
                return f"inputs.{name}", False
            raise _unknown_root(path)
        shape = self.outputs.get(box.id)
        if shape is None:
            raise TranslationError(f"{{{{ {path.root} }}}} refers to a node without outputs")
        around = self.containers.get(box.id, ())
        if self.containers.get(self.current_id, ())[: len(around)] != around:
            hint = "Use the output of the loop's end, as in loopOutput[0]."
            raise TranslationError(f"{{{{ {path.root} }}}} refers to a node within a loop", hint)
        steps = list(path.steps)
        name = steps[0] if steps and isinstance(steps[0], str) else ""
        if name in shape.fields:
            base, steps = shape.fields[name], steps[1:]
            certain = name in shape.text_fields and not steps
            inner = next((each for each in steps if isinstance(each, str)), "")
            if name in ("loopOutput", "batchOutput") and inner and inner not in self.containers:
                raise TranslationError(
                    f"{{{{ {path.root}.output.{name}[].{inner[:60]} }}}} does not refer to a node of the loop",
                    "Use a node in the loop.",
                )
            if shape.passage_fields and base.endswith(".passages"):
                if self.in_code:
                    base = self.passages_name(base)
                else:
                    steps = _passage_steps(steps, shape.passage_fields)
        elif name in shape.unavailable:
            raise TranslationError(
                f"{{{{ {path.root}.output.{name} }}}} has no counterpart in Sizewise", shape.unavailable[name]
            )
        elif not steps:
            base, certain = shape.expression or self._combined_name(box, shape), False
        elif shape.passthrough:
            base, certain = shape.expression, False
        else:
            known = ", ".join(shape.fields) or "nothing"
            raise TranslationError(
                f"{{{{ {path.root}.output.{name} }}}}: the node returns {known}", "Use a field of that list."
            )
        said = base + self._translate_steps(steps)
        self._mark_referenced(base)
        if self._may_be_skipped(box.id, base):
            said += " | default(null)"
        return said, certain

    def _node_by_name(self, word: str) -> CanvasNode | None:
        """The only node that is shown under this name, or the trigger for `trigger`, or the only node of the type for
        an ID that no node has; adds a note.
        """
        wanted = _plain_name(word)
        nodes = self.canvas.nodes.values()
        found = [box for box in nodes if wanted and wanted == _plain_name(box.label)]
        if not found and wanted == "trigger":
            found = [box for box in nodes if box.is_trigger]
        if not found and (match := _ID.fullmatch(word)):
            found = [box for box in nodes if box.type == match["type"]]
        if len(found) != 1:
            return None
        self.add_note(
            f"{{{{ {word} }}}} is no node's ID; it was read as {found[0].id}", "Check that it is the right one."
        )
        return found[0]

    def _input_by_name(self, path: TemplatePath) -> str | None:
        """The input that a lone word such as {{today}} names: one of the trigger's, or a new one; adds a note."""
        word = path.root
        if path.steps or self.in_code or word in ("secrets", "env") or not _NAME.fullmatch(word):
            return None
        known = word in self.input_names
        name = self.declare_input(word, "text")
        hint = "Check that it is the right one." if known else "Pass it with each call; it is empty otherwise."
        self.add_note(f"{{{{ {word} }}}} names no node; it was read as the input {name}", hint)
        return name

    def _translate_steps(self, steps: list[Json]) -> str:
        parts: list[str] = []
        piped = False
        for number, each in enumerate(steps):
            match each:
                case VariableIndex():
                    raise TranslationError(
                        f"indexing by a variable ([{each.name}]) is not supported",
                        "Select the value in a javascript node.",
                    )
                case SliceStep(begin, end):
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
                    raise TranslationError(
                        "selecting the same item of several lists is not supported",
                        "Select the values in a javascript node.",
                    )
                case str():
                    parts.append(f".{each}" if _NAME.fullmatch(each) else f"[{json.dumps(each, ensure_ascii=False)}]")
                case _:
                    parts.append(f"[{each}]")
        return "".join(parts)

    def _combined_name(self, node: CanvasNode, shape: NodeOutputs) -> str:
        """Expression for all outputs of a node under Lamatic's names; requests an extra node for it."""
        if not shape.fields:
            raise TranslationError(f"all outputs of {node.id} at once are not supported", "Name a field.")
        if node.id not in self.combined_names:
            self.combined_names[node.id] = self.unique_name(
                f"{self.ids.get(node.id, 'inputs')}_all" if node.id in self.ids else "started",
            )
        return f"{self.combined_names[node.id]}.value"

    def combined_node(self, node: CanvasNode) -> dict[str, Json]:
        """The extra node of `_combined_name`."""
        shape = self.outputs[node.id]
        named = {
            name: self.passages_name(each) if shape.compatibility_code and each.endswith(".passages") else each
            for name, each in shape.fields.items()
        }
        fields = {name: "{{ " + each + " }}" for name, each in named.items()}
        return {"kind": "template", "value": fields}

    def passages_name(self, passages: str) -> str:
        """Name of an extra node that gives passages Lamatic's field names, for imported code."""
        found = passages.removesuffix(".passages")
        key = f"{found}\0results"
        if key not in self.combined_names:
            self.combined_names[key] = self.unique_name(f"{found}_results")
        return self.combined_names[key]

    def _may_be_skipped(self, id: str, base: str) -> bool:
        if base.startswith("inputs") or self.block is None:
            return False
        for level, here in ((self.block, self.current_id), *self.enclosing):
            if id in level.guaranteed_cases and here in level.guaranteed_cases:
                return level.may_be_skipped(id, here)
        return False

    def _mark_referenced(self, base: str) -> None:
        self.referenced.add(re.split(r"[.\[ ]", base, maxsplit=1)[0])

    # ---- code -------------------------------------------------------------------------------------------------------

    def translate_code(self, source: object, label: str) -> tuple[str, dict[str, Json]]:
        """Lamatic code as code for our sandbox, and its inputs. Raises TranslationError."""
        text = _require_text(source, label)
        named_first, text = self._leading_constants(text)
        inputs: dict[str, Json] = {**named_first, **self._code_globals(text)}
        words = {word for each in split_template(text) if isinstance(each, str) for word in _WORD.findall(each)}
        named: dict[tuple[str, bool], str] = {}

        def fill(hole: javascript_templates.Placeholder) -> str:
            path, rest = _up_to_variable(hole.expression)
            as_text = hole.context == "text"
            if (path, as_text) not in named:
                self.in_code = True
                try:
                    expression, certain = self.translate_expression(path)
                finally:
                    self.in_code = False
                name = _identifier(path, words | inputs.keys(), as_text)
                inputs[name] = "{{ " + expression + (" | text" if as_text and not certain else "") + " }}"
                named[path, as_text] = name
            name = named[path, as_text] + rest
            if not as_text:
                return name
            return f"${{{name}}}" if hole.quote == "`" else f"{hole.quote} + {name} + {hole.quote}"

        return javascript_templates.substitute(text, fill), inputs

    def _code_globals(self, code: str) -> dict[str, Json]:
        """What Lamatic gives to code by itself: `output`, and `workflow` with the nodes that the code names."""
        made: dict[str, Json] = {code_globals.OUTPUT: {}} if code_globals.reads_output(code) else {}
        outputs: dict[str, Json] = {}
        for id in code_globals.workflow_nodes(code):
            outputs[id] = {"output": "{{ " + self._translate_in_code(id) + " }}"}
        return made | ({code_globals.WORKFLOW: outputs} if outputs else {})

    def _translate_in_code(self, expression: str) -> str:
        self.in_code = True
        try:
            return self.translate_expression(expression)[0]
        finally:
            self.in_code = False

    def _leading_constants(self, code: str) -> tuple[dict[str, str], str]:
        """Turns leading lines that only name a value (`const x = {{path}};`) into inputs; returns them and the rest."""
        inputs: dict[str, str] = {}
        at = 0
        while (match := _LEADING_CONST.match(code, at)) is not None and match["name"] not in inputs:
            inputs[match["name"]] = "{{ " + self._translate_in_code(match["inner"]) + " }}"
            at = match.end()
        return inputs, code[at:]

    # ---- data in texts ----------------------------------------------------------------------------------------------

    def parse_data(self, value: object, label: str) -> Json:
        """The value itself, or the data that a text holds as JSON or TypeScript. Raises TranslationError."""
        if not isinstance(value, str):
            if isinstance(value, NonLiteral):
                _require_text(value, label)
            return value
        if not value.strip():
            return None
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            pass
        try:
            return typescript_literals.parse_literal(javascript_templates.substitute(value, _placeholder_literal))
        except LamaticFileError as error:
            raise TranslationError(f"`{label}` cannot be parsed: {error.reason}", "Write it as JSON.") from error


def _passage_steps(steps: list[Json], names: Mapping[str, str]) -> list[Json]:
    """The same steps with our field names of passages."""
    made = [each for each in steps if each != "_additional"]
    for at, each in enumerate(made):
        if isinstance(each, str) and at:
            if each not in names:
                raise TranslationError(
                    f"passages have no field {each[:60]!r}",
                    f"The fields of a passage are {', '.join(sorted(set(names.values())))}.",
                )
            made[at] = names[each]
    return made


def _placeholder_literal(placeholder: javascript_templates.Placeholder) -> str:
    shown = "{{" + placeholder.expression + "}}"
    return shown if placeholder.context == "text" else json.dumps(shown)


def _require_text(said: object, what: str) -> str:
    """`said` as text. Raises TranslationError for a NonLiteral."""
    if isinstance(said, NonLiteral):
        where = f"line {said.line}: " if said.line else ""
        raise TranslationError(f"`{what}` is not a literal ({where}{said.description})", "Write the value out.")
    return said if isinstance(said, str) else str(said)


def _unknown_root(path: TemplatePath) -> TranslationError:
    if path.root == "secrets":
        hint = "Put keys into the settings, as in [hosts.NAME]; a flow never contains keys."
        return TranslationError(f"the secret {'.'.join(map(str, path.steps))[:80]} is not imported", hint)
    if path.root == "env":
        return TranslationError(
            f"environment variables ({path.root}) are not supported",
            "Turn the variable into an input, or write its value.",
        )
    return TranslationError(f"there is no node {path.root[:60]!r}", "Use the name of an existing node.")


def _plain_name(text: str) -> str:
    return _PLAIN.sub("", text.lower())


def _up_to_variable(inner: str) -> tuple[str, str]:
    """Splits a path before an index that is a variable; the rest stays in the code."""
    try:
        found = parse_expression(inner)
    except TranslationError:
        return inner, ""
    if not isinstance(found, TemplatePath) or not any(isinstance(each, VariableIndex) for each in found.steps):
        return inner, ""
    match = re.search(r"\[\s*[A-Za-z_$]", inner)
    assert match is not None
    return inner[: match.start()].strip(), inner[match.start() :].strip()


def _identifier(path: str, taken: set[str], as_text: bool) -> str:
    """A variable name made from a path, different from the `taken` ones."""
    words = [each for each in re.split(r"[^A-Za-z0-9]+", path) if each and each != "output"]
    base = "_".join(words)[:60] or "value"
    base = ("" if base[0].isalpha() else "v_") + base + ("_text" if as_text else "")
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name


def escape_template(text: str) -> str:
    """Escapes a literal {{ for our templates."""
    return text.replace("{{", '{{ "{{" }}')


def _literal(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return string_literal(value)


def string_literal(text: str) -> str:
    """A text as a string literal of our expressions."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'


def _parenthesize(said: str) -> str:
    return f"({said})" if " " in said and not said.startswith('"') else said


parenthesize = _parenthesize


def iterate_strings(value: object) -> Iterator[str]:
    """All texts in a value, at any depth; unordered."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
