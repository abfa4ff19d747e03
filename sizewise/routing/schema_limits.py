"""Complexity limits of a JSON schema, measured before it is compiled. Validates no answer.

A few hundred bytes can describe more work than fits in a day: references to themselves, and alternatives that double
at every level. Such a schema is rejected, and so is one with external references.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from msgspec import Struct

from sizewise.errors import BadBody

MAX_BYTES = 256 * 1024  # of JSON text
MAX_DEPTH = 100  # levels of nesting
MAX_BREADTH = 1_000  # schemas tried on the same value
COUNT_CAP = 1_000_000_000  # counting stops here
MAX_EXPANDED = 100_000  # schemas with every reference expanded; a recursive one counts once

Schema = Mapping[str, object]

REFERENCE_KEYWORDS = ("$ref", "$dynamicRef", "$recursiveRef")
SAME_VALUE_KEYWORDS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("not", "if", "then", "else"), "one"),
        **dict.fromkeys(("allOf", "anyOf", "oneOf"), "list"),
        **dict.fromkeys(("dependentSchemas", "dependencies"), "map"),
    },
)
"""Keywords whose schemas are tried on the same value, and the shape of their value."""

CHILD_KEYWORDS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                *("additionalItems", "additionalProperties", "contains", "propertyNames"),
                *("unevaluatedItems", "unevaluatedProperties"),
            ),
            "one",
        ),
        "items": "any",
        "prefixItems": "list",
        **dict.fromkeys(("properties", "patternProperties"), "map"),
    },
)
"""Keywords whose schemas are tried on children of the value."""

ANNOTATION_KEYWORDS = frozenset(
    {"title", "description", "default", "examples", "deprecated", "$comment", "$schema", "$id", "name"},
)
GRAMMAR_KEYWORDS = frozenset(
    {
        *("type", "enum", "const", "properties", "required", "additionalProperties", "items", "prefixItems"),
        *("minItems", "maxItems", "minLength", "maxLength", "anyOf", "$ref", "$defs", "definitions"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    },
)
"""Keywords that a grammar made from the schema enforces (llama.cpp's json-schema-to-grammar); it ignores others."""


class SchemaShape(Struct, frozen=True):
    """`breadth` and `expanded_count` as in the limits above; `is_grammar_exact`: a grammar enforces all of it."""

    breadth: int
    expanded_count: int
    is_grammar_exact: bool


def measure_schema(schema: Schema, path: str) -> SchemaShape:
    """Raises BadBody naming the location; `path` is the path of the whole schema."""
    _depth(schema, path)
    walk = _SchemaWalk(schema, path)
    walk.read()
    breadth = walk.breadth()
    unfolded = walk.expanded_count()
    if breadth > MAX_BREADTH or unfolded > MAX_EXPANDED:
        raise _refused(
            path,
            f"it expands to {max(breadth, unfolded)} or more schemas",
            "simplify it",
        )
    return SchemaShape(breadth, unfolded, walk.is_grammar_exact)


def _depth(schema: Schema, at: str) -> None:
    level: list[object] = [schema]
    for _ in range(MAX_DEPTH):
        level = [each for value in level for each in _inside(value)]
        if not level:
            return
    raise _refused(at, f"it is nested more than {MAX_DEPTH} levels deep", "flatten it")


def _inside(value: object) -> Iterator[object]:
    held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (each for each in held if isinstance(each, (dict, list)))


class _SchemaWalk:
    """All schemas of one document by number; `_same_value` and `_children` are the edges between them."""

    def __init__(self, root: Schema, at: str) -> None:
        self.is_grammar_exact = True
        self._root = root
        self._at = at
        self._anchors = dict(_anchors(root))
        self._numbers: dict[int, int] = {}
        self._found: list[tuple[Schema, str]] = []
        self._same_value: list[list[int]] = []
        self._children: list[list[int]] = []

    def read(self) -> None:
        self._number(self._root, self._at)
        done = 0
        while done < len(self._found):  # grows as nested schemas are found
            schema, at = self._found[done]
            self._same_value[done] = [
                self._number(each, where) for each, where in _schemas(schema, at, SAME_VALUE_KEYWORDS)
            ]
            self._same_value[done] += [self._number(each, where) for each, where in self._referred(schema, at)]
            self._children[done] = [self._number(each, where) for each, where in _schemas(schema, at, CHILD_KEYWORDS)]
            self.is_grammar_exact = self.is_grammar_exact and _grammatical(schema)
            done += 1

    def _number(self, schema: Schema, at: str) -> int:
        number = self._numbers.setdefault(id(schema), len(self._found))
        if number == len(self._found):
            self._found.append((schema, at))
            self._same_value.append([])
            self._children.append([])
        return number

    def _referred(self, schema: Schema, at: str) -> Iterator[tuple[Schema, str]]:
        if "$id" in schema and schema is not self._root:
            raise _refused(f"{at}.$id", "a nested schema has its own `$id`", "remove `$id`")
        for keyword in REFERENCE_KEYWORDS:
            reference = schema.get(keyword)
            if reference is None or reference is True:
                continue
            where = f"{at}.{keyword}"
            if not isinstance(reference, str) or not reference.startswith("#"):
                raise _refused(
                    where,
                    f"{str(reference)[:100]!r} is not in this schema, and remote references are not fetched",
                    "start it with '#'",
                )
            target = self._target(reference)
            if isinstance(target, dict):
                yield target, where
            elif not isinstance(target, bool):
                raise _refused(where, f"{reference[:100]!r} does not exist", "use an existing definition")

    def _target(self, reference: str) -> object:
        name = reference[1:]
        if name and not name.startswith("/"):
            return self._anchors.get(name)
        place: object = self._root
        for step in name.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(place, dict):
                place = place.get(key)
            elif isinstance(place, list) and key.isdecimal() and int(key) < len(place):
                place = place[int(key)]
            else:
                return None
        return place

    def breadth(self) -> int:
        """The most schemas tried on one value. Raises BadBody if that is unbounded."""
        sizes: dict[int, int] = {}
        for number in range(len(self._found)):
            if number not in sizes:
                _counted(number, self._same_value, sizes, self._endless)
        return max(sizes.values())

    def expanded_count(self) -> int:
        both = [[*same, *below] for same, below in zip(self._same_value, self._children, strict=True)]
        return _counted(0, both, {})

    def _endless(self, number: int) -> None:
        raise _refused(self._found[number][1], "it refers to itself at the same value", "fix the reference")


def _counted(
    start: int,
    edges: list[list[int]],
    sizes: dict[int, int],
    leads_back: Callable[[int], None] | None = None,
) -> int:
    """The number of schemas reachable from `start`, itself included, each counted once per path; `sizes` caches
    results.

    An edge back to a schema on the current path counts as one, unless `leads_back` raises.
    """
    stack = [(start, iter(edges[start]))]
    under_way = {start}
    while stack:
        here, rest = stack[-1]
        for each in rest:
            if each in under_way:
                if leads_back is not None:
                    leads_back(here)
            elif each not in sizes:
                stack.append((each, iter(edges[each])))
                under_way.add(each)
                break
        else:
            stack.pop()
            under_way.discard(here)
            sizes[here] = min(COUNT_CAP, 1 + sum(sizes.get(each, 1) for each in edges[here]))
    return sizes[start]


def _schemas(schema: Schema, at: str, keywords: Mapping[str, str]) -> Iterator[tuple[Schema, str]]:
    """The schemas under these keywords, with their paths; true and false are not counted."""
    for keyword in schema.keys() & keywords.keys():
        held, shape, where = schema[keyword], keywords[keyword], f"{at}.{keyword}"
        found: list[tuple[object, str]] = [(held, where)]
        if shape == "map":
            found = [(each, f"{where}.{name}") for name, each in held.items()] if isinstance(held, dict) else []
        elif isinstance(held, list):
            found = [(each, f"{where}[{number}]") for number, each in enumerate(held)] if shape != "one" else []
        yield from ((each, place) for each, place in found if isinstance(each, dict))


def _anchors(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for keyword in ("$anchor", "$dynamicAnchor"):
            if isinstance(name := value.get(keyword), str):
                yield name, value
    for each in _inside(value):
        yield from _anchors(each)


def _grammatical(schema: Schema) -> bool:
    """A grammar ignores keywords next to a reference or alternatives, and bounds only integers."""
    said = schema.keys() - ANNOTATION_KEYWORDS
    if said & {"$ref", "anyOf"}:
        return len(said - {"$defs", "definitions"}) == 1
    if any("imum" in name for name in said) and schema.get("type") != "integer":
        return False
    wanted, known = schema.get("required"), schema.get("properties")
    named = known.keys() if isinstance(known, dict) else ()
    return said <= GRAMMAR_KEYWORDS and (not isinstance(wanted, list) or all(name in named for name in wanted))


def _refused(at: str, why: str, hint: str) -> BadBody:
    return BadBody(f"`{at}`: {why}", hint, param=at)
