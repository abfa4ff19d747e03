"""Estimates the cost of a query from schema and variables before it is executed; reads no data.

Each value costs 1, times the length of each list above it: the one requested by an argument, or an assumed one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
)

from sizewise.errors import BadRequest

DEFAULT_LENGTH = 4
"""Assumed items of a list without a length argument or @listSize."""
LENGTH_ARGUMENTS = ("last", "first", "limit")
"""Arguments that set the length of a list."""
COST = "sizewise.cost"
"""In a field's extensions: its own cost, by @cost of schema.graphql."""
ASSUMED_SIZE = "sizewise.assumedSize"
"""In a field's extensions: items to assume for a list, by @listSize of schema.graphql."""
MODEL_FIELD_COST = 5_000
"""The cost of a field that runs a published flow, equal to the @cost of fields that call a model."""

ParentType = GraphQLObjectType | GraphQLInterfaceType


def check_cost(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Mapping[str, object],
    max_cost: int,
) -> None:
    """Raises BadRequest if the cost exceeds `max_cost`. The document must be valid."""
    root = schema.get_root_type(operation.operation)
    if root is not None:
        cost = _QueryCost(document, operation, variables).of(operation.selection_set, root)
        if cost > max_cost:
            raise BadRequest(
                f"the query may return {cost:,} values, and {max_cost:,} are allowed",
                "request fewer fields, or shorter lists",
            )


class _QueryCost:
    """Computes each selection set once per parent type, however often its fragment is spread."""

    def __init__(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, object],
    ) -> None:
        self._variables = variables
        self._defaults = {each.variable.name.value: each.default_value for each in operation.variable_definitions or ()}
        self._fragments = {
            each.name.value: each.selection_set
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        self._known: dict[tuple[int, str], int] = {}

    def of(self, selected: SelectionSetNode, parent: ParentType) -> int:
        place = (id(selected), parent.name)
        if place not in self._known:
            self._known[place] = sum(self._field(field, parent) for field in self._flat(selected, set()))
        return self._known[place]

    def _flat(self, selected: SelectionSetNode, seen: set[str]) -> Iterator[FieldNode]:
        for each in selected.selections:
            if isinstance(each, FieldNode):
                yield each
            elif isinstance(each, InlineFragmentNode):
                yield from self._flat(each.selection_set, seen)
            elif isinstance(each, FragmentSpreadNode) and each.name.value not in seen:
                seen.add(each.name.value)
                yield from self._flat(self._fragments[each.name.value], seen)

    def _field(self, node: FieldNode, parent: ParentType) -> int:
        field = parent.fields.get(node.name.value)
        if field is None:  # __typename, and introspection, whose depth is limited
            return 1
        own = _extension(field, COST, 1)
        kind = get_named_type(field.type)
        inner = node.selection_set
        below = self.of(inner, kind) if inner and isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType)) else 0
        return own + (self._length(node, field) * below if _has_length(field) else below)

    def _length(self, node: FieldNode, field: GraphQLField) -> int:
        named = next((name for name in LENGTH_ARGUMENTS if name in field.args), None)
        if named is None:
            return _extension(field, ASSUMED_SIZE, DEFAULT_LENGTH)
        said: object = next((each.value for each in node.arguments or () if each.name.value == named), None)
        if isinstance(said, VariableNode):
            said = self._variables.get(said.name.value, self._defaults.get(said.name.value))
        if said is None and (default := field.args[named].default) is not None:
            said = default.literal or default.value
        number = int(said.value) if isinstance(said, IntValueNode) else said
        return max(0, number) if isinstance(number, int) else _extension(field, ASSUMED_SIZE, DEFAULT_LENGTH)


def _extension(field: GraphQLField, name: str, default: int) -> int:
    found: int = (field.extensions or {}).get(name, default)
    return found


def _has_length(field: GraphQLField) -> bool:
    """Of a list, or of a page: a page has @listSize, and its list costs as one item of it."""
    return is_list_type(get_nullable_type(field.type)) or ASSUMED_SIZE in (field.extensions or {})
