"""Prompt: a text with typed variables, a version by its content, and rendering; reads no file and calls no model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Literal, get_args

import msgspec
from msgspec import UNSET, Struct

from sizewise.errors import BadBody, BadRequest, did_you_mean

VariableType = Literal["text", "number", "integer", "boolean", "json"]
PromptRole = Literal["system", "user"]
PROMPT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
"""A prompt's id: the name of its file without `.md`."""
MAX_BYTES = 262_144
"""Size of a prompt file."""
MAX_VARIABLES = 100
MAX_RENDERED = 4 * 1024 * 1024
"""Characters of a rendered prompt."""
VARIABLE_TYPES: tuple[str, ...] = get_args(VariableType)
FIELDS = ("description", "model", "policy", "role", "variables")
VARIABLE_FIELDS = ("type", "default", "description")
FENCE = "---"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_MARK = re.compile(r"\\\{\{|\{\{ {0,8}([A-Za-z_][A-Za-z0-9_]{0,62}) {0,8}\}\}|\{\{")
_canonical = msgspec.json.Encoder(order="sorted").encode


class PromptSyntaxError(BadRequest):
    """`line`: in the file, from 1."""

    def __init__(self, message: str, hint: str, line: int) -> None:
        super().__init__(f"line {line}: {message}", hint)
        self.line = line


class Variable(Struct, frozen=True, omit_defaults=True):
    """`default` UNSET: a value is required."""

    type: VariableType = "text"
    default: Any = UNSET
    description: str = ""

    @property
    def is_required(self) -> bool:
        return self.default is UNSET


class PromptTemplate(Struct, frozen=True):
    """`version`: SHA-256 of the content in hex, the same for any line ends and order of keys. `pieces`: texts and, at
    odd places, names of variables. `model`, `policy`: for requests that name none. `unused`: variables that the text
    does not mention.
    """

    id: str
    version: str
    text: str
    pieces: tuple[str, ...]
    variables: Mapping[str, Variable]
    description: str = ""
    model: str = ""
    policy: str = ""
    role: PromptRole = "system"

    @property
    def unused(self) -> list[str]:
        return sorted(self.variables.keys() - set(self.pieces[1::2]))

    def render(self, values: Mapping[str, object]) -> str:
        """The text with the values of its variables, which are not searched for variables. Raises BadBody, which
        names variables and never shows a value.
        """
        for name in values:
            if name not in self.variables:
                known = ", ".join(self.variables) or "none"
                hint = did_you_mean(name, list(self.variables)) or f"its variables: {known}"
                raise BadBody(f"the prompt {self.id!r} has no variable {name[:60]!r}", hint, param="prompt")
        texts = {name: self._value(name, each, values.get(name, UNSET)) for name, each in self.variables.items()}
        made = "".join(texts[piece] if place % 2 else piece for place, piece in enumerate(self.pieces))
        if len(made) > MAX_RENDERED:
            raise BadBody(f"the prompt {self.id!r} is too long with these values", "shorten them", param="prompt")
        return made

    def _value(self, name: str, variable: Variable, value: object) -> str:
        if value is UNSET:
            value = variable.default
        if value is UNSET:
            raise BadBody(
                f"the prompt {self.id!r} needs the variable {name!r} ({variable.type})",
                f"add it: sizewise prompt show {self.id} lists the variables",
                param="prompt",
            )
        if not _has_type(variable.type, value):
            raise BadBody(
                f"the variable {name!r} of the prompt {self.id!r} is not of type {variable.type}",
                f"send a value of type {variable.type}",
                param="prompt",
            )
        return value if isinstance(value, str) and variable.type == "text" else msgspec.json.encode(value).decode()


def _has_type(kind: VariableType, value: object) -> bool:
    match kind:
        case "text":
            return isinstance(value, str)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "json":
            return True


ParseYaml = Callable[[str], object]
"""A YAML text -> its data. Raises SizewiseError, with `line` if it has one."""


def parse_prompt(id: str, source: str, parse_yaml: ParseYaml) -> PromptTemplate:
    """From a file: front matter between two lines `---`, if any, and the prompt. Raises PromptSyntaxError."""
    if len(source.encode()) > MAX_BYTES:
        raise PromptSyntaxError(f"the prompt is larger than {MAX_BYTES} bytes", "shorten it", 1)
    source = source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    head, body, line = _split(source)
    fields = _front_matter(head, parse_yaml)
    skipped = len(body) - len(body.lstrip("\n"))
    pieces = tuple(_pieces(body.strip("\n"), line + skipped))
    variables = _variables(fields, pieces, line + skipped, body.strip("\n"))
    prompt = PromptTemplate(
        id=id,
        version="",
        text=body.strip("\n"),
        pieces=pieces,
        variables=variables,
        description=_word(fields, "description"),
        model=_word(fields, "model"),
        policy=_word(fields, "policy"),
        role=_role(fields),
    )
    if prompt.model and prompt.policy:
        raise PromptSyntaxError("`model` and `policy` exclude each other", "keep one", 1)
    if not prompt.text.strip():
        raise PromptSyntaxError("the prompt has no text", "write it below the front matter", line)
    told = (prompt.pieces, prompt.description, prompt.model, prompt.policy, prompt.role, prompt.variables)
    return msgspec.structs.replace(prompt, version=sha256(_canonical(told)).hexdigest())


def _split(source: str) -> tuple[str, str, int]:
    """Front matter, text, and the line at which the text begins."""
    lines = source.split("\n")
    if lines[0].rstrip() != FENCE:
        return "", source, 1
    end = next((number for number, each in enumerate(lines[1:], 1) if each.rstrip() == FENCE), None)
    if end is None:
        raise PromptSyntaxError("the front matter has no end", "close it with a line `---`", 1)
    return "\n".join(lines[1:end]), "\n".join(lines[end + 1 :]), end + 2


def _front_matter(head: str, parse_yaml: ParseYaml) -> Mapping[str, Any]:
    if not head.strip():
        return {}
    try:
        data = parse_yaml(head)
    except BadRequest as error:
        line = getattr(error, "line", 1)
        raise PromptSyntaxError(getattr(error, "reason", error.message), error.hint, int(line) + 1) from error
    if not isinstance(data, dict):
        raise PromptSyntaxError("the front matter is no mapping", "write `description: ...` and the like", 2)
    for name in data:
        if name not in FIELDS:
            hint = did_you_mean(str(name), list(FIELDS)) or f"known: {', '.join(FIELDS)}"
            raise PromptSyntaxError(f"there is no field {str(name)[:60]!r}", hint, _line_of(head, str(name)))
    return data


def _line_of(head: str, name: str) -> int:
    """The line of a key in the front matter, in the file; of the first one where it is not found."""
    return next((at for at, each in enumerate(head.split("\n"), 2) if each.lstrip().startswith(name)), 2)


def _word(fields: Mapping[str, Any], name: str) -> str:
    found = fields.get(name)
    if found is not None and not isinstance(found, str):
        raise PromptSyntaxError(f"`{name}` is no text", "put it in quotes", 2)
    return found or ""


def _role(fields: Mapping[str, Any]) -> PromptRole:
    match fields.get("role", "system"):
        case "system":
            return "system"
        case "user":
            return "user"
    raise PromptSyntaxError("`role` is neither `system` nor `user`", "use one of them", 2)


def _pieces(text: str, first_line: int) -> Iterator[str]:
    """Texts and names by turns, beginning and ending with a text."""
    last, piece = 0, ""
    for mark in _MARK.finditer(text):
        piece += text[last : mark.start()]
        last = mark.end()
        if mark.group(1) is not None:
            yield piece
            yield mark.group(1)
            piece = ""
        elif mark.group() == "{{":
            line = first_line + text.count("\n", 0, mark.start())
            hint = r"write {{ name }} for a variable, or \{{ for the two braces themselves"
            raise PromptSyntaxError("`{{` begins no variable", hint, line)
        else:
            piece += "{{"
    yield piece + text[last:]


def _variables(fields: Mapping[str, Any], pieces: tuple[str, ...], line: int, text: str) -> dict[str, Variable]:
    """The declared ones; without `variables` all that the text mentions, as texts that are required."""
    said = fields.get("variables")
    if said is None:
        return {name: Variable() for name in dict.fromkeys(pieces[1::2])}
    if not isinstance(said, dict):
        raise PromptSyntaxError("`variables` is no mapping", "name each: variables: {customer: text}", 2)
    if len(said) > MAX_VARIABLES:
        raise PromptSyntaxError(f"there are more than {MAX_VARIABLES} variables", "send one as json", 2)
    declared = {str(name): _variable(str(name), each) for name, each in said.items()}
    for place in range(1, len(pieces), 2):
        if pieces[place] not in declared:
            before = "".join(pieces[:place])
            at = line + before.count("\n")
            hint = did_you_mean(pieces[place], list(declared)) or "add it to `variables`, or remove it"
            raise PromptSyntaxError(f"the variable {pieces[place]!r} is not declared", hint, at)
    return declared


def _variable(name: str, said: object) -> Variable:
    if _NAME.fullmatch(name) is None:
        raise PromptSyntaxError(f"{name[:60]!r} is no name of a variable", "use letters, digits and _", 2)
    fields: Mapping[str, Any] = said if isinstance(said, dict) else {"type": said}
    for each in fields:
        if each not in VARIABLE_FIELDS:
            raise PromptSyntaxError(
                f"the variable {name!r} has no field {str(each)[:60]!r}", f"known: {', '.join(VARIABLE_FIELDS)}", 2
            )
    kind = fields.get("type", "text")
    if kind not in VARIABLE_TYPES:
        hint = did_you_mean(str(kind), list(VARIABLE_TYPES)) or f"known: {', '.join(VARIABLE_TYPES)}"
        raise PromptSyntaxError(f"{str(kind)[:60]!r} is not a type", hint, 2)
    variable = Variable(kind, fields.get("default", UNSET), str(fields.get("description") or ""))
    if not variable.is_required and not _has_type(variable.type, variable.default):
        raise PromptSyntaxError(f"the default of {name!r} is not of type {kind}", "change one of them", 2)
    return variable
