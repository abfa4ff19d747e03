"""YAML source of a flow: parsed data with the position of each value, and edits that keep formatting.

YAML 1.2 without anchors, tags and duplicate keys. Parsed with libyaml (20 ms for 300 nodes; ruamel.yaml takes 350),
edited with ruamel.yaml, which keeps comments, order and quotes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest, ConfigError
from sizewise.flows.language.diagnostics import KEY, Path

MAX_BYTES = 1_048_576
"""Size of a flow file."""
MAX_DEPTH = 64
"""Nesting of lists and mappings."""
MAX_VALUES = 100_000

_NULL = re.compile(r"null|Null|NULL|~|\Z")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,300}|[0-9]{1,300}(?:\.[0-9]{0,300})?)(?:[eE][-+]?[0-9]{1,3})?")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*(?:[ :][A-Za-z0-9_./-]+)*")
_canonical = msgspec.json.Encoder(order="sorted").encode


class YamlError(BadRequest):
    """The text is not valid YAML, or uses an unsupported feature; `line` and `column` count from 1."""

    def __init__(self, message: str, hint: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {message}", hint)
        self.line, self.column, self.reason = line, column, message


class YamlSource(Struct, frozen=True):
    """`positions`: line and column by path; a value has the path `path`, its key (*path, KEY)."""

    text: str
    data: Any
    positions: Mapping[Path, tuple[int, int]]

    @property
    def version(self) -> str:
        return content_hash(self.data)

    def locate(self, path: Path, text: str, occurrence: int, lines: Sequence[str] | None = None) -> tuple[int, int]:
        """Line and column of the `occurrence`th (from 0) `text` within the value at `path`; else of the value.

        `lines`: those of the text, from callers that ask often.
        """
        line, column = self.positions.get(path, (1, 1))
        lines = self.text.split("\n") if lines is None else lines
        seen = -1
        for row in range(line - 1, min(len(lines), line + 2_000)):
            start = column - 1 if row == line - 1 else 0
            while (found := lines[row].find(text, start)) >= 0:
                seen += 1
                if seen == occurrence:
                    return row + 1, found + 1
                start = found + len(text)
        return line, column


def content_hash(data: object) -> str:
    """SHA-256 of the data in hex: independent of comments, key order and YAML style."""
    return hashlib.sha256(_canonical(data)).hexdigest()


def parse_yaml(text: str, *, allow_aliases: bool = False) -> YamlSource:
    """Raises YamlError with a position. `allow_aliases`: accept anchors and aliases, for third-party files."""
    if len(text.encode()) > MAX_BYTES:
        raise YamlError(f"the flow is larger than {MAX_BYTES} bytes", "Split it into flows that call each other.", 1, 1)
    return _Reader(text, allow_aliases).source()


def _events(text: str) -> Iterator[Any]:
    """The events of libyaml. Raises YamlError, and ConfigError if the library is missing."""
    try:
        import yaml
    except ImportError as error:
        hint = "install it: pip install 'sizewise[flows]'"
        raise ConfigError("flows need a library that is not installed", hint) from error
    try:
        yield from yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said = (error.problem or "this is not valid YAML").rstrip(".")
        raise YamlError(f"this is not valid YAML: {said}", _brace_hint(text, line), line, column) from error
    except yaml.reader.ReaderError as error:
        raise YamlError("there is a character that YAML does not allow", "Save the file as UTF-8.", 1, 1) from error


def _brace_hint(text: str, line: int) -> str:
    """A hint for the most common error: an unquoted {{, which YAML reads as a mapping."""
    shown = text.split("\n")[line - 1 : line]
    if shown and re.search(r":\s*\{\{", shown[0]):
        return 'Quote values that begin with {{, as in: text: "{{ name }}"'
    return "Check the indentation and the quotes."


class _Reader:
    """Builds data from parser events, without recursion; depth is checked before a value is built."""

    def __init__(self, text: str, allow_aliases: bool = False) -> None:
        self._shared = allow_aliases
        self._anchors: dict[str, tuple[Any, int]] = {}  # the value, and the number of values in it
        self.spans: dict[Path, tuple[int, int, str | None]] = {}  # of scalars: start, end, quote style
        self._text = text
        self._places: dict[Path, tuple[int, int]] = {}
        self._count = 0

    def source(self) -> YamlSource:
        root: Any = None
        stack: list[tuple[Any, Path]] = []  # open containers
        opened: list[tuple[str, int]] = []  # anchor of each, and the number of values before it
        key: str | None = None
        seen = 0
        for event in _events(self._text):
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                seen += 1
                if seen > 1:
                    raise self._wrong(event, "there is more than one document", "Keep one flow per file.")
                continue
            if kind in ("MappingEndEvent", "SequenceEndEvent"):
                anchor, before = opened.pop()
                if anchor:
                    self._anchors[anchor] = (stack[-1][0], self._count - before)
                stack.pop()
                continue
            if kind == "AliasEvent" and not self._shared:
                raise self._wrong(event, "aliases (*name) are not supported", "Write the value out.")
            alias = kind == "AliasEvent"
            if not alias and kind not in ("ScalarEvent", "MappingStartEvent", "SequenceStartEvent"):
                continue
            self._allowed(event)
            holder, path = stack[-1] if stack else (None, ())
            here = path
            if isinstance(holder, dict):
                if key is None:
                    key = self._key(event, holder, path)
                    continue
                here = (*path, key)
            elif isinstance(holder, list):
                here = (*path, len(holder))
            if len(stack) >= MAX_DEPTH:
                raise self._wrong(event, f"values are nested deeper than {MAX_DEPTH} levels", "Flatten them.")
            self._places[here] = (event.start_mark.line + 1, event.start_mark.column + 1)
            value: Any
            if alias:
                value = self._meant(event, len(stack))
            elif kind == "ScalarEvent":
                value = self._scalar(event)
                if event.anchor is not None:
                    self._anchors[event.anchor] = (value, 1)
                self.spans[here] = (event.start_mark.index, event.end_mark.index, event.style)
            else:
                value = {} if kind == "MappingStartEvent" else []
            if isinstance(holder, dict):
                assert key is not None
                holder[key] = value
            elif isinstance(holder, list):
                holder.append(value)
            else:
                root = value
            key = None
            if not alias and kind != "ScalarEvent":
                stack.append((value, here))
                opened.append((event.anchor or "", self._count))
        return YamlSource(self._text, root, self._places)

    def _allowed(self, event: Any) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            raise self._wrong(event, f"it has more than {MAX_VALUES} values", "Split the file.")
        if type(event).__name__ == "AliasEvent":
            return
        if event.anchor is not None and not self._shared:
            raise self._wrong(
                event, "anchors (&name) are not supported", "Remove it, and write the value out where it is used."
            )
        if event.tag is not None and event.tag != "!":
            raise self._wrong(event, f"tags ({event.tag[:40]}) are not supported", "Remove it; the file is plain data.")

    def _meant(self, event: Any, deep: int) -> Any:
        """The value of an alias. Its values count at each use, so that a few aliases cannot expand without bounds."""
        if event.anchor not in self._anchors:
            raise self._wrong(event, f"the anchor {event.anchor[:40]!r} is not defined", "Define it before the alias.")
        value, size = self._anchors[event.anchor]
        self._count += size
        if self._count > MAX_VALUES:
            raise self._wrong(event, f"it has more than {MAX_VALUES} values", "Split the file.")
        if deep + _depth(value) > MAX_DEPTH:
            raise self._wrong(event, f"values are nested deeper than {MAX_DEPTH} levels", "Flatten them.")
        return value

    def _key(self, event: Any, holder: dict[str, Any], path: Path) -> str:
        if type(event).__name__ != "ScalarEvent":
            raise self._wrong(
                event,
                "a key is not a string",
                'Quote keys that begin with {{, as in: "{{ name }}"',
            )
        name: str = event.value
        if name in holder:
            raise self._wrong(event, f"{name[:60]!r} is defined twice", "Remove one.")
        self._places[(*path, name, KEY)] = (event.start_mark.line + 1, event.start_mark.column + 1)
        return name

    def _scalar(self, event: Any) -> object:
        text: str = event.value
        if not event.implicit[0]:  # quoted, or a block scalar
            return text
        if _NULL.fullmatch(text):
            return None
        if _TRUE.fullmatch(text):
            return True
        if _FALSE.fullmatch(text):
            return False
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if number in (float("inf"), float("-inf")):
                raise self._wrong(event, "the number is too large", "If it is text, put it in quotes.")
            return number
        return text

    def _wrong(self, event: Any, message: str, hint: str) -> YamlError:
        return YamlError(message, hint, event.start_mark.line + 1, event.start_mark.column + 1)


def _depth(value: Any) -> int:
    """Nesting of lists and mappings."""
    level, deep = [value], 0
    while level := [each for each in level if isinstance(each, (dict, list)) and each]:
        deep += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return deep


def set_value(text: str, path: Sequence[str | int], value: object) -> str:
    """`text` with `value` at `path`, which is created if it is missing; keeps comments and order.

    Raises YamlError for invalid YAML, BadRequest for a path that cannot exist.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import LiteralScalarString

    parse_yaml(text)  # refuse to write what parse_yaml refuses to read
    if (made := _put(text, tuple(path), value)) is not None:
        return made
    kept = YAML(typ="rt")
    kept.preserve_quotes = True
    kept.width = 10_000
    kept.indent(**_indents(text))
    kept.allow_duplicate_keys = False
    root = kept.load(text)
    if not path:
        raise BadRequest("there is no value to set", "name a value, such as nodes.answer.model")
    holder = root
    for name in path[:-1]:
        holder = _inner(holder, name, path)
    new = LiteralScalarString(value) if isinstance(value, str) and "\n" in value else value
    last = path[-1]
    if isinstance(holder, list):
        if not isinstance(last, int) or not 0 <= last <= len(holder):
            raise _missing_path(path)
        if last == len(holder):
            holder.append(new)
        else:
            holder[last] = new
    elif isinstance(holder, dict):
        holder[last] = new
    else:
        raise _missing_path(path)
    out = io.StringIO()
    kept.dump(root, out)
    return out.getvalue()


def _put(text: str, path: Path, value: object) -> str | None:
    """Replaces one scalar by another without changing any other character; None if that is not possible."""
    reader = _Reader(text)
    source = reader.source()
    if path not in reader.spans or not isinstance(value, (str, int, float, bool, type(None))):
        return None
    begin, end, style = reader.spans[path]
    shown = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and style == "'" and value.isprintable():
        shown = "'" + value.replace("'", "''") + "'"
    elif isinstance(value, str) and style in (None, "") and _PLAIN.fullmatch(value):
        shown = value
    made = f"{text[:begin]}{shown}{text[end:]}"
    holder: Any = source.data
    for each in path[:-1]:
        holder = holder[each]
    holder[path[-1]] = value
    try:
        return made if style not in ("|", ">") and parse_yaml(made).data == source.data else None
    except YamlError:
        return None


def _inner(holder: Any, name: str | int, path: Sequence[str | int]) -> Any:
    if isinstance(holder, dict):
        return holder.setdefault(name, {})
    if isinstance(holder, list) and isinstance(name, int) and 0 <= name < len(holder):
        return holder[name]
    raise _missing_path(path)


def _missing_path(path: Sequence[str | int]) -> BadRequest:
    shown = ".".join(map(str, path))[:100]
    return BadRequest(f"{shown!r} is not a value of the flow", "name a value, such as nodes.answer.model")


def _indents(text: str) -> dict[str, int]:
    """The indentation of mappings and lists in the text, for ruamel.yaml."""
    mapping, sequence, offset = 2, 2, 0
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    for before, line in pairwise(lines):
        deep, was = len(line) - len(line.lstrip()), len(before) - len(before.lstrip())
        if before.rstrip().endswith(":") and deep > was and not line.lstrip().startswith("-"):
            mapping = deep - was
            break
    for before, line in pairwise(lines):
        deep, was = len(line) - len(line.lstrip()), len(before) - len(before.lstrip())
        if before.rstrip().endswith(":") and line.lstrip().startswith("- ") and not before.lstrip().startswith("- "):
            offset = max(0, deep - was)
            sequence = offset + 2
            break
    return {"mapping": mapping, "sequence": sequence, "offset": offset}
