"""Reader for literals in TypeScript files; runs no code and reports every value that is not a literal.

Supports objects, arrays, strings, template literals, numbers, names of other constants, spreads, imports of siblings,
and three calls that flow files use: `JSON.stringify`, `.join` and `.trim`. Any other value becomes a NonLiteral. One
pass, bounded in size, depth and number of values.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping

from msgspec import Struct

from sizewise.flows.language.types import Json
from sizewise.lamatic.canvas import LamaticFileError

MAX_BYTES = 2_097_152
"""Of one file."""
MAX_DEPTH = 64
MAX_VALUES = 200_000
MAX_TEXT = 8_388_608
"""Total characters of concatenated texts."""

_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,15}|(?:[0-9][0-9_]{0,30})?\.?[0-9]{1,30}(?:[eE][-+]?[0-9]{1,3})?|[0-9]+\.")
_PLAIN: Mapping[str, re.Pattern[str]] = {
    "'": re.compile(r"[^'\\\n]*"),
    '"': re.compile(r'[^"\\\n]*'),
    "`": re.compile(r"[^`\\$]*"),
}
_REGEX = re.compile(r"/(?![*/])(?:[^\\/\[\n]|\\[^\n]|\[(?:[^\]\\\n]|\\[^\n]){0,60}\]){1,200}/[a-z]{0,9}")
_BEGINS = re.compile(r"(?:export|const|let|var|async|function|import|class|interface|type)\b")
_ESCAPES: Mapping[str, str] = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": ""}
_OPEN: Mapping[str, str] = {"(": ")", "[": "]", "{": "}"}
_BEFORE_REGEX = ("", *"(,=:[!&|?{};+-*%<>~^")


class NonLiteral(Struct, frozen=True):
    """A value that is not a literal. `description` is a noun phrase for messages."""

    description: str
    line: int


ModuleLoader = Callable[[str], Mapping[str, Json]]
"""Path of an import as written -> exports of the module. Raises LamaticFileError."""


def no_modules(path: str) -> Mapping[str, Json]:
    return {}


def parse_module(text: str, load_module: ModuleLoader = no_modules) -> Mapping[str, Json]:
    """The file's constants by name, and `default`. Raises LamaticFileError for a file that is malformed, too large or
    too deeply nested.
    """
    if len(text) > MAX_BYTES:
        raise LamaticFileError(f"the file is longer than {MAX_BYTES} characters", "Split it.")
    return _Parser(text, load_module).file()


def parse_literal(text: str) -> Json:
    """A single literal: JSON with comments, unquoted keys and trailing commas allowed.

    Raises LamaticFileError for anything else.
    """
    if len(text) > MAX_BYTES:
        raise LamaticFileError(f"the text is longer than {MAX_BYTES} characters", "Split it.")
    reader = _Parser(text, no_modules)
    found = reader.expression(0)
    reader.skip()
    if isinstance(found, NonLiteral) or reader.position < len(text):
        raise LamaticFileError("the text is not a literal", "Write it as JSON.")
    return found


def literal_start(text: str) -> int:
    """Position after leading whitespace and comments."""
    reader = _Parser(text, no_modules)
    reader.skip()
    return reader.position


class _Parser:
    def __init__(self, text: str, load: ModuleLoader) -> None:
        self._text = text
        self._load = load
        self._lines = [found.end() for found in re.finditer("\n", text)]
        self._count = 0
        self._made = 0
        self.position = 0
        self._names: dict[str, Json] = {}
        self._sizes: dict[str, int] = {}  # number of values in each constant; every reference counts them again
        self._exported: dict[str, Json] = {}

    # ---- statements -------------------------------------------------------------------------------------------------

    def file(self) -> Mapping[str, Json]:
        while True:
            self.skip()
            if self.position >= len(self._text):
                return {**self._names, **self._exported}
            before = self.position
            self._statement()
            if self.position == before:  # unknown syntax
                self.position += 1

    def _statement(self) -> None:
        word = self._word()
        exported = word == "export"
        if exported:
            word = self._word()
        if word == "import":
            self._import()
        elif word in ("const", "let", "var"):
            self._constants()
        elif exported and word == "default":
            found = self.expression(0)
            self._exported["default"] = found
            self._end()
        elif exported and not word and self._take("{"):
            self.position -= 1
            self._balanced(0)
            self._end()
        elif word in ("async", "function", "interface", "class", "declare", "type", "enum", "abstract"):
            self._past_body(word)
        else:
            self._end()

    def _constants(self) -> None:
        name = self._word()
        if not name:
            self._end()
            return
        self.skip()
        if self._take(":"):
            self._past_type("=")
        if self._take("="):
            before = self._count
            self._names[name] = self.expression(0)
            self._sizes[name] = self._count - before
        self._end()

    def _import(self) -> None:
        """`import name, { a, b as c } from "./x"`, or `import "./x"`."""
        wanted: dict[str, str] = {}
        if not self._peek("'\"") and not self._peek("("):
            if (word := self._word()) == "type":
                word = self._word()
            if word and word != "from":
                wanted[word] = "default"
            self._take(",")
            if self._take("*"):
                self._word()
                wanted[self._word()] = "*"
            if self._take("{"):
                while not self._take("}") and self.position < len(self._text):
                    name = self._word()
                    if not name:
                        self.position += 1
                        continue
                    other = name
                    if self._ahead("as"):
                        self._word()
                        other = self._word()
                    wanted[other] = name
                    self._take(",")
            if word != "from":
                self._word()
        if self._peek("'\"") and wanted:
            path = self._string()
            if path.startswith("."):
                there = self._load(path)
                for name, other in wanted.items():
                    line = self._line()
                    found = (
                        dict(there) if other == "*" else there.get(other, NonLiteral(f"{path} has no {other}", line))
                    )
                    self._names[name] = found
                    self._sizes[name] = _size(found)
                    self._counted(0)
        self._end()

    def _past_body(self, word: str) -> None:
        """Skips a function, class or declaration."""
        if word == "type":
            self._past_type(";")
            self._take(";")
            return
        last = ""
        while self.position < len(self._text):
            self.skip()
            char = self._text[self.position : self.position + 1]
            if char == "{" and last != ":":
                self._balanced(0)
                return
            if char == ";":
                self.position += 1
                return
            last = char
            self._pass(0)

    def _past_type(self, until: str) -> None:
        """Skips a type up to `until` at the same nesting depth."""
        while self.position < len(self._text):
            self.skip()
            char = self._text[self.position : self.position + 1]
            if char == until and self._text[self.position : self.position + 2] != "=>":
                return
            if self._text[self.position : self.position + 2] == "=>":
                self.position += 2
            elif char in _OPEN:
                self._balanced(0)
            elif char == ";" or char in ")]}":
                return
            else:
                self._pass(0)

    def _end(self) -> None:
        """Skips the rest of a statement: to a ; or to the next line that begins with a word."""
        while self.position < len(self._text):
            before = self.position
            self.skip()
            if self.position >= len(self._text):
                return
            char = self._text[self.position]
            if char == ";":
                self.position += 1
                return
            if "\n" in self._text[before : self.position] and _WORD.match(char):
                return
            self._pass(0)

    # ---- expressions ------------------------------------------------------------------------------------------------

    def expression(self, depth: int) -> Json:
        """A value; skips anything else and returns a NonLiteral."""
        if depth > MAX_DEPTH:
            raise LamaticFileError(
                f"values are nested deeper than {MAX_DEPTH} levels", "Flatten the file.", self._line()
            )
        self._counted(1)
        found = self._joined(depth)
        self.skip()
        rest = self._text[self.position : self.position + 1]
        if rest and rest not in ",;)]}" and not self._fresh_line(rest):
            line = self._line()
            self._past_rest(depth)
            return NonLiteral("an expression", line)
        return found

    def _joined(self, depth: int) -> Json:
        found = self._postfixed(depth)
        while self._peek("+") and self._text[self.position : self.position + 2] not in ("++", "+="):
            self.position += 1
            right = self._postfixed(depth)
            if isinstance(found, str) and isinstance(right, (str, int, float)) and not isinstance(right, bool):
                found = f"{found}{right}"
            elif isinstance(found, NonLiteral):
                continue
            else:
                found = right if isinstance(right, NonLiteral) else NonLiteral("a sum", self._line())
            if isinstance(found, str):
                self._put_together(found)
        return found

    def _postfixed(self, depth: int) -> Json:
        found = self._primary(depth)
        while True:
            self.skip()
            if self._ahead("as") or self._ahead("satisfies"):
                self._word()
                self._type_word(depth)
            elif (
                self._text[self.position : self.position + 1] == "!"
                and self._text[self.position : self.position + 2] != "!="
            ):
                self.position += 1
            elif self._peek("."):
                self.position += 1
                name = self._word()
                self.skip()
                found = self._called(found, name, depth) if self._peek("(") else _member(found, name, self._line())
            elif self._peek("[") and not isinstance(found, NonLiteral) and isinstance(found, (dict, list)):
                self.position += 1
                name = self.expression(depth + 1)
                self._take("]")
                found = _member(found, name, self._line())
            else:
                return found

    def _type_word(self, depth: int) -> None:
        """Skips a type: `const`, `Name<...>`, `Name["x"][]` or `{...}`."""
        self.skip()
        if self._peek("{"):
            self._balanced(depth)
        else:
            self._word()
        while True:
            self.skip()
            if self._peek("["):
                self._balanced(depth)
            elif self._peek(".|"):
                self.position += 1
                self._word()
            elif self._peek("<"):
                open_ = 0
                while self.position < len(self._text):
                    char = self._text[self.position]
                    open_ += (char == "<") - (char == ">")
                    self.position += 1
                    if not open_ or char in ";=":
                        break
            else:
                return

    def _called(self, found: Json, name: str, depth: int) -> Json:
        line = self._line()
        self.position += 1
        given = []
        while not self._take(")") and self.position < len(self._text):
            given.append(self.expression(depth + 1))
            if not self._take(",") and not self._peek(")"):
                break
        unread = next((each for each in (found, *given) if isinstance(each, NonLiteral)), None)
        if name == "join" and isinstance(found, list) and unread is None:
            between = given[0] if given else ","
            if isinstance(between, str) and all(isinstance(each, str) for each in found):
                return self._put_together(between.join(found))
        if name == "trim" and isinstance(found, str):
            return found.strip()
        if name == "stringify" and found == _JSON and given and not _has_non_literal(given[0]):
            indent = given[2] if len(given) > 2 and isinstance(given[2], int) else None
            return self._put_together(json.dumps(given[0], indent=indent and min(indent, 8), ensure_ascii=False))
        return unread if unread is not None and unread is not _JSON else NonLiteral(f"a call of {name[:40]}", line)

    def _primary(self, depth: int) -> Json:
        self.skip()
        char, line = self._text[self.position : self.position + 1], self._line()
        if char in ("'", '"'):
            return self._string()
        if char == "`":
            return self._template(depth)
        if char == "{":
            return self._object(depth)
        if char == "[":
            return self._array(depth)
        if char == "(":
            return self._within(depth)
        if (
            char == "-"
            or char.isdigit()
            or (char == "." and self._text[self.position + 1 : self.position + 2].isdigit())
        ):
            return self._number()
        word = self._word()
        if word in _CONSTANTS:
            return _CONSTANTS[word]
        if word == "JSON":
            return _JSON
        if word in self._names:
            self._counted(self._sizes.get(word, 1))
            return self._names[word]
        if not char or char in ",;)]}":
            return NonLiteral("nothing", line)
        if not word:
            self._past_rest(depth)
        return NonLiteral(f"the name {word[:40]!r}" if word else "an expression", line)

    def _within(self, depth: int) -> Json:
        """The value in parentheses; skips an arrow function and returns a NonLiteral."""
        line, begin = self._line(), self.position
        self.position += 1
        if not self._take(")"):
            found = self.expression(depth + 1)
            if self._take(")"):
                self.skip()
                if self._text[self.position : self.position + 2] != "=>":
                    return found
        self.position = begin
        self._balanced(depth)
        self._past_rest(depth)
        return NonLiteral("a function", line)

    def _object(self, depth: int) -> dict[str, Json]:
        self.position += 1
        made: dict[str, Json] = {}
        while not self._take("}"):
            self.skip()
            if self.position >= len(self._text):
                raise LamaticFileError("an object is not closed", "Close it with }.", self._line())
            if self._text.startswith("...", self.position):
                self.position += 3
                other = self.expression(depth + 1)
                if isinstance(other, dict):
                    made.update(other)
                else:
                    made[f"...{self._count}"] = NonLiteral("a spread", self._line())
            else:
                self._pair(made, depth)
            if not self._take(",") and not self._peek("}"):
                self._past_rest(depth)
                self._take(",")
        return made

    def _pair(self, made: dict[str, Json], depth: int) -> None:
        line = self._line()
        if self._peek("'\""):
            name = self._string()
        elif self._peek("["):
            self.position += 1
            inner = self.expression(depth + 1)
            name = inner if isinstance(inner, str) else f"[{line}]"
            self._take("]")
        elif self._text[self.position : self.position + 1].isdigit():
            name = str(self._number())
        else:
            name = self._word()
            if not name:
                self.position += 1
                return
        if name == "async" and not self._peek(":,}"):
            name = self._word() or name
        if self._take(":"):
            made[name] = self.expression(depth + 1)
        elif self._peek("("):
            while self.position < len(self._text) and not self._peek("{"):
                self._pass(depth)
            self._balanced(depth)
            made[name] = NonLiteral("a function", line)
        else:
            self._counted(self._sizes.get(name, 1))
            made[name] = self._names.get(name, NonLiteral(f"the name {name[:40]!r}", line))

    def _array(self, depth: int) -> list[Json]:
        self.position += 1
        made: list[Json] = []
        while not self._take("]"):
            self.skip()
            if self.position >= len(self._text):
                raise LamaticFileError("a list is not closed", "Close it with ].", self._line())
            if self._text.startswith("...", self.position):
                self.position += 3
                other = self.expression(depth + 1)
                if isinstance(other, list):
                    made.extend(other)
                else:
                    made.append(NonLiteral("a spread", self._line()))
            else:
                made.append(self.expression(depth + 1))
            if not self._take(",") and not self._peek("]"):
                self._past_rest(depth)
                self._take(",")
        return made

    def _number(self) -> Json:
        sign = -1 if self._take("-") else 1
        self.skip()
        match = _NUMBER.match(self._text, self.position)
        if match is None:
            return NonLiteral("an expression", self._line())
        self.position = match.end()
        digits = match[0].replace("_", "")
        if digits[:2] in ("0x", "0X"):
            return sign * int(digits, 16)
        if digits.isdecimal() and len(digits) <= 18:
            return sign * int(digits)
        return sign * float(digits)

    def _string(self) -> str:
        quote = self._text[self.position]
        self.position += 1
        parts: list[str] = []
        while True:
            match = _PLAIN[quote].match(self._text, self.position)
            assert match is not None
            parts.append(match[0])
            self.position = match.end()
            char = self._text[self.position : self.position + 1]
            self.position += 1
            if char == quote:
                return "".join(parts)
            if char != "\\":
                raise LamaticFileError("a string is not closed", f"Close it with {quote}.", self._line())
            parts.append(self._escape())

    def _escape(self) -> str:
        char = self._text[self.position : self.position + 1]
        self.position += 1
        if char == "x" or (char == "u" and self._text[self.position : self.position + 1] != "{"):
            width = 2 if char == "x" else 4
            digits = self._text[self.position : self.position + width]
            self.position += width
            code = _hex(digits, width)
            if 0xD800 <= code < 0xDC00 and self._text[self.position : self.position + 2] == "\\u":
                low = _hex(self._text[self.position + 2 : self.position + 6], 4)
                if 0xDC00 <= low < 0xE000:
                    self.position += 6
                    return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00))
            return chr(code) if not 0xD800 <= code < 0xE000 else "\ufffd"
        if char == "u":
            end = self._text.find("}", self.position, self.position + 9)
            code = _hex(self._text[self.position + 1 : end], end - self.position - 1) if end > 0 else 0xFFFD
            self.position = end + 1 if end > 0 else self.position
            return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
        return _ESCAPES.get(char, char)

    def _template(self, depth: int) -> Json:
        line = self._line()
        self.position += 1
        parts: list[str] = []
        wrong: NonLiteral | None = None
        while True:
            match = _PLAIN["`"].match(self._text, self.position)
            assert match is not None
            parts.append(match[0])
            self.position = match.end()
            char = self._text[self.position : self.position + 1]
            self.position += 1
            if char == "`":
                return wrong or self._put_together("".join(parts))
            if char == "\\":
                parts.append(self._escape())
            elif char == "$":
                if self._text[self.position : self.position + 1] != "{":
                    parts.append("$")
                    continue
                self.position += 1
                inner = self.expression(depth + 1)
                if not self._take("}"):
                    self._past_rest(depth)
                    self._take("}")
                if isinstance(inner, (str, int, float)) and not isinstance(inner, bool):
                    parts.append(str(inner))
                else:
                    wrong = inner if isinstance(inner, NonLiteral) else NonLiteral("a value within a text", line)
            else:
                raise LamaticFileError("a string is not closed", "Close it with `.", line)

    # ---- skipping ---------------------------------------------------------------------------------------------------

    def skip(self) -> None:
        """Skips whitespace and comments."""
        while True:
            match = _SPACE.match(self._text, self.position)
            assert match is not None
            self.position = match.end()
            begins = self._text[self.position : self.position + 2]
            if begins == "//":
                end = self._text.find("\n", self.position)
            elif begins == "/*":
                end = self._text.find("*/", self.position + 2)
                end = end + 2 if end >= 0 else end
            else:
                return
            self.position = end if end >= 0 else len(self._text)

    def _pass(self, depth: int) -> None:
        """Skips one token or a bracketed group."""
        self.skip()
        char = self._text[self.position : self.position + 1]
        if char in ("'", '"'):
            self._string()
        elif char == "`":
            self._template(depth)
        elif char in _OPEN and char:
            self._balanced(depth)
        elif (match := _WORD.match(self._text, self.position)) or (
            char == "/" and self._last() in _BEFORE_REGEX and (match := _REGEX.match(self._text, self.position))
        ):
            self.position = match.end()
        else:
            self.position += 1

    def _last(self) -> str:
        before = self._text[max(0, self.position - 20) : self.position].rstrip()
        return "" if before.endswith("return") else before[-1:]

    def _balanced(self, depth: int) -> None:
        """Skips a bracketed group, with a stack instead of recursion."""
        waiting: list[str] = []
        while self.position < len(self._text):
            self.skip()
            char = self._text[self.position : self.position + 1]
            if char in _OPEN and char:
                waiting.append(_OPEN[char])
                self.position += 1
            elif waiting and char == waiting[-1]:
                waiting.pop()
                self.position += 1
                if not waiting:
                    return
            else:
                if char in ")]}" and char:
                    self.position += 1  # ignore a mismatched bracket
                    continue
                self._pass(depth)

    def _past_rest(self, depth: int) -> None:
        """Skips the rest of an expression."""
        while self.position < len(self._text):
            before = self.position
            self.skip()
            if not depth and "\n" in self._text[before : self.position] and _BEGINS.match(self._text, self.position):
                return
            char = self._text[self.position : self.position + 1]
            if not char or char in ",;)]}":
                return
            self._pass(depth)

    # ---- tokens and limits ------------------------------------------------------------------------------------------

    def _word(self) -> str:
        self.skip()
        match = _WORD.match(self._text, self.position)
        if match is None:
            return ""
        self.position = match.end()
        return match[0]

    def _ahead(self, word: str) -> bool:
        self.skip()
        match = _WORD.match(self._text, self.position)
        return match is not None and match[0] == word

    def _peek(self, chars: str) -> bool:
        self.skip()
        char = self._text[self.position : self.position + 1]
        return bool(char) and char in chars

    def _take(self, char: str) -> bool:
        if self._peek(char):
            self.position += 1
            return True
        return False

    def _fresh_line(self, char: str) -> bool:
        """Whether a new statement may begin here without a preceding semicolon."""
        begun = self._lines[self._line() - 2] if self._line() > 1 else 0
        return bool(_WORD.match(char)) and not self._text[begun : min(self.position, begun + 200)].strip()

    def _line(self) -> int:
        return bisect_right(self._lines, self.position) + 1

    def _counted(self, more: int) -> None:
        self._count += more
        if self._count > MAX_VALUES:
            raise LamaticFileError(f"there are more than {MAX_VALUES} values", "Split the file.", self._line())

    def _put_together(self, text: str) -> str:
        self._made += len(text)
        if self._made > MAX_TEXT:
            raise LamaticFileError(
                f"all texts together are longer than {MAX_TEXT} characters", "Split the file.", self._line()
            )
        return text


_JSON = NonLiteral("JSON", 0)
_CONSTANTS: Mapping[str, Json] = {"true": True, "false": False, "null": None, "undefined": None}


def _member(found: Json, name: Json, line: int) -> Json:
    if isinstance(found, dict) and isinstance(name, str):
        return found.get(name, NonLiteral(f"no {name[:40]}", line))
    if isinstance(found, list) and isinstance(name, int) and 0 <= name < len(found):
        return found[name]
    return found if isinstance(found, NonLiteral) and found is not _JSON else NonLiteral("a part of something", line)


def _size(found: Json) -> int:
    """Number of values in `found`; stops counting above MAX_VALUES."""
    waiting, count = [found], 0
    while waiting and count <= MAX_VALUES:
        each = waiting.pop()
        count += 1
        waiting.extend(each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
    return count


def _has_non_literal(found: Json) -> bool:
    if isinstance(found, dict):
        return any(map(_has_non_literal, found.values()))
    if isinstance(found, list):
        return any(map(_has_non_literal, found))
    return isinstance(found, NonLiteral)


def _hex(digits: str, width: int) -> int:
    try:
        return int(digits, 16) if len(digits) == width else 0xFFFD
    except ValueError:
        return 0xFFFD
