"""What an expression will be, as far as can be known before it runs; works nothing out."""

from __future__ import annotations

from collections.abc import Callable

from sizewise.flows.language import types
from sizewise.flows.language.diagnostics import known
from sizewise.flows.language.expression import (
    Both,
    Compared,
    Compiled,
    Expression,
    Filtered,
    Literal_,
    Not,
    Ref,
    Template,
    Wrong,
)
from sizewise.flows.language.filters import FILTERS
from sizewise.flows.language.types import BOOLEAN, JSON, TEXT, Type

Look = Callable[[Ref], Type]
"""The type of a path. Raises Wrong where it leads nowhere."""


def type_of(expression: Expression, look: Look) -> Type:
    """Raises Wrong: a path that leads nowhere, a comparison or filter of what cannot be compared or filtered."""
    match expression:
        case Literal_(value):
            return types.of(value)
        case Ref():
            return look(expression)
        case Compared():
            return _compared(expression, look)
        case Not(inner):
            type_of(inner, look)
            return BOOLEAN
        case Both(_, parts):
            return types.joined([type_of(each, look) for each in parts])
        case Filtered(inner, name, arguments, at):
            given = type_of(inner, look)
            chosen = FILTERS[name]
            if not any(types.accepts(each, given) for each in chosen.of):
                wanted = " or ".join(map(types.article, chosen.of))
                raise Wrong(f"{name!r} is for {wanted}, and this is {types.article(given)}", "", at)
            return chosen.gives(given, arguments)


def _compared(expression: Compared, look: Look) -> Type:
    left, right, sign = type_of(expression.left, look), type_of(expression.right, look), expression.sign
    numbers = ("number", "integer")
    if sign in ("<", "<=", ">", ">="):
        for each in (left, right):
            if each.name not in (*numbers, "text", "json"):
                raise Wrong(
                    f"{types.article(each)} is neither larger nor smaller", "Compare its length.", expression.at
                )
    alike = (
        "json" in (left.name, right.name) or left.name == right.name or {left.name, right.name} <= set(numbers)
    ) or sign in ("in", "not in")
    nothing = any(isinstance(each, Literal_) and each.value is None for each in (expression.left, expression.right))
    if not alike and not nothing:
        raise Wrong(f"{types.article(left)} is never {types.article(right)}", "Compare like with like.", expression.at)
    for kind, other in ((left, expression.right), (right, expression.left)):
        value = other.value if isinstance(other, Literal_) else None
        if sign in ("==", "!=") and kind.one_of and isinstance(value, str) and value not in kind.one_of:
            raise Wrong(f"it is never {value!r}", known(value, kind.one_of), expression.at)
    return BOOLEAN


def template_type(found: Template, look: Look) -> Type:
    """Raises Wrong."""
    alone = found.alone
    if alone is not None:
        return type_of(alone, look)
    for each in found.expressions():
        type_of(each, look)
    return TEXT


def typed(said: Compiled, look: Look) -> Type:
    """The type of what `filled` will give. Raises Wrong."""
    if isinstance(said, Template):
        return template_type(said, look)
    if isinstance(said, dict):
        return Type("object", fields={name: typed(each, look) for name, each in said.items()})
    if isinstance(said, list):
        return types.list_of(types.joined([typed(each, look) for each in said]))
    return JSON if said is None else types.of(said)
