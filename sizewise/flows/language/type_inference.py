"""Static type inference for expressions and templates; evaluates nothing."""

from __future__ import annotations

from collections.abc import Callable

from sizewise.flows.language import types
from sizewise.flows.language.diagnostics import did_you_mean
from sizewise.flows.language.expression import (
    BooleanOperation,
    ComparisonOperation,
    CompiledValue,
    Expression,
    ExpressionError,
    FilterCall,
    LiteralValue,
    Negation,
    Reference,
    Template,
)
from sizewise.flows.language.filters import FILTERS
from sizewise.flows.language.types import BOOLEAN, JSON, TEXT, Type

ReferenceTypes = Callable[[Reference], Type]
"""The type of a reference. Raises ExpressionError if it does not exist."""


def infer_type(expression: Expression, reference_types: ReferenceTypes) -> Type:
    """Raises ExpressionError for an unknown path, or a comparison or filter that does not accept its operands."""
    match expression:
        case LiteralValue(value):
            return types.type_of_value(value)
        case Reference():
            return reference_types(expression)
        case ComparisonOperation():
            return _infer_comparison(expression, reference_types)
        case Negation(inner):
            infer_type(inner, reference_types)
            return BOOLEAN
        case BooleanOperation(_, parts):
            return types.union_of([infer_type(each, reference_types) for each in parts])
        case FilterCall(inner, name, arguments, at):
            given = infer_type(inner, reference_types)
            chosen = FILTERS[name]
            if not any(types.is_assignable(each, given) for each in chosen.input_types):
                wanted = " or ".join(map(types.with_article, chosen.input_types))
                raise ExpressionError(f"{name!r} expects {wanted}, not {types.with_article(given)}", "", at)
            return chosen.output_type(given, arguments)


def _infer_comparison(expression: ComparisonOperation, reference_types: ReferenceTypes) -> Type:
    left, right, sign = (
        infer_type(expression.left, reference_types),
        infer_type(expression.right, reference_types),
        expression.operator,
    )
    numbers = ("number", "integer")
    if sign in ("<", "<=", ">", ">="):
        for each in (left, right):
            if each.name not in (*numbers, "text", "json"):
                raise ExpressionError(
                    f"{types.with_article(each)} cannot be ordered",
                    "Compare its length.",
                    expression.offset,
                )
    alike = (
        "json" in (left.name, right.name) or left.name == right.name or {left.name, right.name} <= set(numbers)
    ) or sign in ("in", "not in")
    nothing = any(isinstance(each, LiteralValue) and each.value is None for each in (expression.left, expression.right))
    if not alike and not nothing:
        raise ExpressionError(
            f"{types.with_article(left)} never equals {types.with_article(right)}",
            "Compare values of the same type.",
            expression.offset,
        )
    for kind, other in ((left, expression.right), (right, expression.left)):
        value = other.value if isinstance(other, LiteralValue) else None
        if sign in ("==", "!=") and kind.enum and isinstance(value, str) and value not in kind.enum:
            raise ExpressionError(f"the value is never {value!r}", did_you_mean(value, kind.enum), expression.offset)
    return BOOLEAN


def infer_template_type(template: Template, reference_types: ReferenceTypes) -> Type:
    """Raises ExpressionError."""
    alone = template.single_expression
    if alone is not None:
        return infer_type(alone, reference_types)
    for each in template.expressions():
        infer_type(each, reference_types)
    return TEXT


def infer_value_type(value: CompiledValue, reference_types: ReferenceTypes) -> Type:
    """The type of what `render_value` will return. Raises ExpressionError."""
    if isinstance(value, Template):
        return infer_template_type(value, reference_types)
    if isinstance(value, dict):
        return Type("object", fields={name: infer_value_type(each, reference_types) for name, each in value.items()})
    if isinstance(value, list):
        return types.list_of(types.union_of([infer_value_type(each, reference_types) for each in value]))
    return JSON if value is None else types.type_of_value(value)
