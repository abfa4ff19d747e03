"""What stands between {{ and }}: paths, literals, comparisons, and/or/not, and filters; no calls, no loops, no code.

Read once (expression_read.py) when a flow is checked, and typed as far as one can know (expression_types.py); worked
out here, in time that grows with what it reads. A value that is one {{ }} and nothing else keeps its type; else all
become text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct

from sizewise.flows.language import types
from sizewise.flows.language.filters import FILTERS, Bent, shown
from sizewise.flows.language.types import Json

TEXT_MOST = 16 * 1024 * 1024
"""Characters of one text that comes out."""
WHOLE = 128 * 1024 * 1024
"""Characters and values that all texts of one node may read and make together."""


class Wrong(ValueError):
    """Cannot be read, or not be worked out. `at`: the character of the text where; `hint`: what would mend it."""

    def __init__(self, message: str, hint: str = "", at: int = 0) -> None:
        super().__init__(message)
        self.message, self.hint, self.at = message, hint, at


class Literal_(Struct, frozen=True, tag="literal"):
    value: Any


class Ref(Struct, frozen=True, tag="ref"):
    """A path: a name, and what is within it. `at` is where it stands in the whole text."""

    path: tuple[str | int, ...]
    at: int = 0

    def __str__(self) -> str:
        return spelt(self.path)


class Compared(Struct, frozen=True, tag="compared"):
    left: Expression
    sign: Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
    right: Expression
    at: int = 0


class Both(Struct, frozen=True, tag="both"):
    """`and`, and `or`: as everywhere, what they give is the value that settled them."""

    word: Literal["and", "or"]
    parts: tuple[Expression, ...]


class Not(Struct, frozen=True, tag="not"):
    inner: Expression


class Filtered(Struct, frozen=True, tag="filtered"):
    inner: Expression
    name: str
    arguments: tuple[Any, ...]
    at: int = 0


Expression = Literal_ | Ref | Compared | Both | Not | Filtered


class Template(Struct, frozen=True):
    """A text with {{ }} in it. `parts` are texts and expressions in turn; `alone`: one expression and nothing else."""

    parts: tuple[str | Expression, ...]

    @property
    def alone(self) -> Expression | None:
        part = self.parts[0] if len(self.parts) == 1 else None
        return None if isinstance(part, str) else part

    def expressions(self) -> Iterator[Expression]:
        return (part for part in self.parts if not isinstance(part, str))


def spelt(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in path).lstrip(".")


def references(expression: Expression, needed: bool = True) -> Iterator[tuple[Ref, bool]]:
    """Every path in it, and whether it cannot do without: what stands in `or`, in a comparison or before `default`
    may be missing."""
    match expression:
        case Ref():
            yield expression, needed
        case Compared(left, _, right):
            yield from references(left, False)
            yield from references(right, False)
        case Both(_, parts):
            for each in parts:
                yield from references(each, False)
        case Not(inner):
            yield from references(inner, False)
        case Filtered(inner, name):
            yield from references(inner, needed and name != "default")
        case Literal_():
            pass


Names = Mapping[str, Json]
"""What the names at the beginnings of paths stand for. A node that was skipped stands for None."""


class Room:
    """What may still be read and made: many small expressions can say as much as a long one."""

    def __init__(self, most: int = WHOLE) -> None:
        self._most = self.left = most

    @property
    def taken(self) -> int:
        return self._most - self.left

    def take(self, found: Json) -> None:
        """Raises Wrong where it is too much."""
        self.left -= weight(found, self.left)
        if self.left < 0:
            raise Wrong(f"all together becomes larger than {self._most} characters and values", "Work on parts.")


def weight(found: Json, enough: int) -> int:
    """Characters and values in it, as JSON would say them; no longer counted where it is more than `enough`."""
    if isinstance(found, str):
        return len(found) + 1
    if not isinstance(found, (list, dict)):
        return 1
    total, left = 0, [found]
    while left and total <= enough:
        each = left.pop()
        total += len(each) + 1
        for inner in each.values() if isinstance(each, dict) else each:
            if isinstance(inner, str):
                total += len(inner)
            elif isinstance(inner, (list, dict)):
                left.append(inner)
    return total


def value(expression: Expression, names: Names, room: Room) -> Json:
    """Raises Wrong: two that cannot be compared, or too long a text."""
    match expression:
        case Ref(path):
            return reach(names, path)
        case Literal_(found):
            return found
        case Filtered(inner, name, arguments, at):
            given = value(inner, names, room)
            room.take(given)
            try:
                made = FILTERS[name].bend(given, *arguments)
            except Bent as why:
                raise Wrong(f"{name!r}: {why}", "", at) from why
            if isinstance(made, str) and len(made) > TEXT_MOST:
                raise Wrong(f"a text became longer than {TEXT_MOST} characters", "", at)
            return made
        case Both(word, parts):
            found = None
            for each in parts:
                found = value(each, names, room)
                if truth(found) is (word == "or"):
                    return found
            return found
        case Not(inner):
            return not truth(value(inner, names, room))
        case Compared(left, sign, right, at):
            one, other = value(left, names, room), value(right, names, room)
            room.take(one)
            room.take(other)
            return _compare(one, sign, other, at)


def reach(names: Names, path: tuple[str | int, ...]) -> Json:
    """What lies at the path; None where it leads nowhere."""
    found: Any = names.get(str(path[0]))
    for each in path[1:]:
        if isinstance(found, dict):
            found = found.get(each if isinstance(each, str) else str(each))
        elif isinstance(found, list) and isinstance(each, int) and -len(found) <= each < len(found):
            found = found[each]
        else:
            return None
    return found


def truth(found: Json) -> bool:
    """Nothing, false, 0 and what is empty are not."""
    return bool(found)


def _compare(left: Any, sign: str, right: Any, at: int) -> bool:
    if sign == "==":
        return _equal(left, right)
    if sign == "!=":
        return not _equal(left, right)
    if sign in ("in", "not in"):
        if isinstance(right, str):
            inside = isinstance(left, str) and left in right
        elif isinstance(right, list):
            inside = any(_equal(left, each) for each in right)
        else:
            inside = isinstance(right, dict) and isinstance(left, str) and left in right
        return inside is (sign == "in")
    numbers = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (left, right))
    if not numbers and not (isinstance(left, str) and isinstance(right, str)):
        words = f"{types.article(types.of(left))} and {types.article(types.of(right))}"
        raise Wrong(f"{words} are neither larger nor smaller than each other", "", at)
    return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[sign])


def _equal(left: Any, right: Any) -> bool:
    """As JSON has it: true is not 1."""
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    return bool(left == right)


def rendered(found: Template, names: Names, room: Room) -> Json:
    """Raises Wrong."""
    alone = found.alone
    if alone is not None:
        made = value(alone, names, room)
        room.take(made)
        return made
    parts, length = list[str](), 0
    for part in found.parts:
        said = value(part, names, room) if not isinstance(part, str) else part
        room.take(said)
        parts.append(shown(said))
        length += len(parts[-1])
        if length > TEXT_MOST:
            raise Wrong(f"a text became longer than {TEXT_MOST} characters")
    return "".join(parts)


Compiled = Json
"""Plain data, with a Template in the place of each text that holds one."""


def filled(said: Compiled, names: Names, room: Room | None = None) -> Json:
    """What `compiled` made, with every template in its place worked out. Raises Wrong."""
    room = room or Room()
    if isinstance(said, Template):
        return rendered(said, names, room)
    if isinstance(said, dict):
        return {name: filled(each, names, room) for name, each in said.items()}
    if isinstance(said, list):
        return [filled(each, names, room) for each in said]
    return said


def still(said: Compiled) -> bool:
    """Whether there is no template in it."""
    if isinstance(said, dict):
        return all(map(still, said.values()))
    if isinstance(said, list):
        return all(map(still, said))
    return not isinstance(said, Template)
