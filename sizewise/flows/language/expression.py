"""Expression tree of `{{ }}` templates and its evaluator: paths, literals, comparisons, and/or/not, filters.

Templates are parsed (expression_parser.py) and typed (type_inference.py) when a flow is validated, and evaluated here,
in time linear in what they read. A value that is a single {{ }} keeps its type; any other template becomes text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct

from sizewise.flows.language import types
from sizewise.flows.language.filters import FILTERS, FilterError, is_equal, to_text
from sizewise.flows.language.types import Json

MAX_TEXT = 16 * 1024 * 1024
"""Characters of one rendered text."""
MAX_SIZE = 128 * 1024 * 1024
"""Characters and values that all templates of a node may read and produce together."""


class ExpressionError(ValueError):
    """An expression cannot be parsed or evaluated. `offset`: characters from the start of the text."""

    def __init__(self, message: str, hint: str = "", offset: int = 0) -> None:
        super().__init__(message)
        self.message, self.hint, self.offset = message, hint, offset


class LiteralValue(Struct, frozen=True, tag="literal"):
    value: Any


class Reference(Struct, frozen=True, tag="ref"):
    """A path: a name, then keys and indexes. `offset`: its position in the template."""

    path: tuple[str | int, ...]
    offset: int = 0

    def __str__(self) -> str:
        return format_path(self.path)


class ComparisonOperation(Struct, frozen=True, tag="compared"):
    left: Expression
    operator: Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
    right: Expression
    offset: int = 0


class BooleanOperation(Struct, frozen=True, tag="both"):
    """`and` and `or`; the result is the operand that decided, as in Python."""

    operator: Literal["and", "or"]
    operands: tuple[Expression, ...]


class Negation(Struct, frozen=True, tag="not"):
    operand: Expression


class FilterCall(Struct, frozen=True, tag="filtered"):
    operand: Expression
    name: str
    arguments: tuple[Any, ...]
    offset: int = 0


Expression = LiteralValue | Reference | ComparisonOperation | BooleanOperation | Negation | FilterCall


class Template(Struct, frozen=True):
    """A text that contains {{ }}. `parts`: its literal texts and expressions, in order."""

    parts: tuple[str | Expression, ...]

    @property
    def single_expression(self) -> Expression | None:
        """The expression, if the template is a single {{ }} and nothing else."""
        part = self.parts[0] if len(self.parts) == 1 else None
        return None if isinstance(part, str) else part

    def expressions(self) -> Iterator[Expression]:
        return (part for part in self.parts if not isinstance(part, str))


def format_path(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in path).lstrip(".")


def iterate_references(expression: Expression, required: bool = True) -> Iterator[tuple[Reference, bool]]:
    """Every reference, and whether it is required: operands of `and`, `or`, `not` and comparisons, and inputs of
    `default`, are optional.
    """
    match expression:
        case Reference():
            yield expression, required
        case ComparisonOperation(left, _, right):
            yield from iterate_references(left, False)
            yield from iterate_references(right, False)
        case BooleanOperation(_, parts):
            for each in parts:
                yield from iterate_references(each, False)
        case Negation(inner):
            yield from iterate_references(inner, False)
        case FilterCall(inner, name):
            yield from iterate_references(inner, required and name != "default")
        case LiteralValue():
            pass


Variables = Mapping[str, Json]
"""Values of the first names of paths. A skipped node is None."""


class SizeBudget:
    """Limits what the expressions of a node read and produce together."""

    def __init__(self, limit: int = MAX_SIZE) -> None:
        self._limit = self.remaining = limit

    @property
    def used(self) -> int:
        return self._limit - self.remaining

    def consume(self, value: Json) -> None:
        """Raises ExpressionError if the budget is exceeded."""
        self.remaining -= json_size(value, self.remaining)
        if self.remaining < 0:
            raise ExpressionError(
                f"the result is larger than {self._limit} characters and values",
                "Process the data in parts.",
            )


def json_size(value: Json, limit: int) -> int:
    """Characters and values in it, about its size as JSON; counting stops above `limit`."""
    if isinstance(value, str):
        return len(value) + 1
    if not isinstance(value, (list, dict)):
        return 1
    total, left = 0, [value]
    while left and total <= limit:
        each = left.pop()
        total += len(each) + 1
        for inner in each.values() if isinstance(each, dict) else each:
            if isinstance(inner, str):
                total += len(inner)
            elif isinstance(inner, (list, dict)):
                left.append(inner)
    return total


def evaluate(expression: Expression, variables: Variables, budget: SizeBudget) -> Json:
    """Raises ExpressionError for values that cannot be compared, a failing filter, or a result that is too large."""
    match expression:
        case Reference(path):
            return resolve_path(variables, path)
        case LiteralValue(found):
            return found
        case FilterCall(inner, name, arguments, at):
            given = evaluate(inner, variables, budget)
            budget.consume(given)
            try:
                made = FILTERS[name].apply(given, *arguments)
            except FilterError as why:
                raise ExpressionError(f"{name!r}: {why}", "", at) from why
            if isinstance(made, str) and len(made) > MAX_TEXT:
                raise ExpressionError(f"the text is longer than {MAX_TEXT} characters", "", at)
            return made
        case BooleanOperation(word, parts):
            found = None
            for each in parts:
                found = evaluate(each, variables, budget)
                if is_truthy(found) is (word == "or"):
                    return found
            return found
        case Negation(inner):
            return not is_truthy(evaluate(inner, variables, budget))
        case ComparisonOperation(left, sign, right, at):
            one, other = evaluate(left, variables, budget), evaluate(right, variables, budget)
            budget.consume(one)
            budget.consume(other)
            return _compare(one, sign, other, at)


def resolve_path(variables: Variables, path: tuple[str | int, ...]) -> Json:
    """The value at the path; None if there is none."""
    found: Any = variables.get(str(path[0]))
    for each in path[1:]:
        if isinstance(found, dict):
            found = found.get(each if isinstance(each, str) else str(each))
        elif isinstance(found, list) and isinstance(each, int) and -len(found) <= each < len(found):
            found = found[each]
        else:
            return None
    return found


def is_truthy(value: Json) -> bool:
    """False for null, false, 0 and empty values."""
    return bool(value)


def _compare(left: Any, sign: str, right: Any, at: int) -> bool:
    if sign == "==":
        return is_equal(left, right)
    if sign == "!=":
        return not is_equal(left, right)
    if sign in ("in", "not in"):
        if isinstance(right, str):
            inside = isinstance(left, str) and left in right
        elif isinstance(right, list):
            inside = any(is_equal(left, each) for each in right)
        else:
            inside = isinstance(right, dict) and isinstance(left, str) and left in right
        return inside is (sign == "in")
    numbers = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (left, right))
    if not numbers and not (isinstance(left, str) and isinstance(right, str)):
        words = f"{types.with_article(types.type_of_value(left))} and {types.with_article(types.type_of_value(right))}"
        raise ExpressionError(f"{words} cannot be ordered", "", at)
    return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[sign])


def render_template(template: Template, variables: Variables, budget: SizeBudget) -> Json:
    """Raises ExpressionError."""
    alone = template.single_expression
    if alone is not None:
        made = evaluate(alone, variables, budget)
        budget.consume(made)
        return made
    parts, length = list[str](), 0
    for part in template.parts:
        said = evaluate(part, variables, budget) if not isinstance(part, str) else part
        budget.consume(said)
        parts.append(to_text(said))
        length += len(parts[-1])
        if length > MAX_TEXT:
            raise ExpressionError(f"the text is longer than {MAX_TEXT} characters")
    return "".join(parts)


CompiledValue = Json
"""JSON data in which each text that contains {{ }} is a Template."""


def render_value(value: CompiledValue, variables: Variables, budget: SizeBudget | None = None) -> Json:
    """`value` with all templates rendered. Raises ExpressionError."""
    budget = budget or SizeBudget()
    if isinstance(value, Template):
        return render_template(value, variables, budget)
    if isinstance(value, dict):
        return {name: render_value(each, variables, budget) for name, each in value.items()}
    if isinstance(value, list):
        return [render_value(each, variables, budget) for each in value]
    return value


def is_constant(value: CompiledValue) -> bool:
    """Whether it contains no template."""
    if isinstance(value, dict):
        return all(map(is_constant, value.values()))
    if isinstance(value, list):
        return all(map(is_constant, value))
    return not isinstance(value, Template)
