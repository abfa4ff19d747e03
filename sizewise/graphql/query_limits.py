"""Limits on the size, depth and width of a query, checked before validation; knows neither schema nor data.

A default GraphQL server was held for 20 s by 50,000 directives, and took 1,000 aliases.
"""

from __future__ import annotations

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
)

from sizewise.errors import BadRequest
from sizewise.settings.graphql import GraphQLSettings

MAX_QUERY_CHARS = 32_768
"""Of the query's text; values belong into variables, which have the body's limit."""
MAX_QUERY_TOKENS = 500
"""Words of the query: fields, aliases, arguments, directives, brackets."""
MAX_ROOT_FIELDS = 20
"""Fields at the top, where the work is."""


def parse_query(query: str, limits: GraphQLSettings) -> DocumentNode:
    """Raises GraphQLError for what is no GraphQL or has too many words, BadRequest for what goes too deep or wide, or
    gives too many other names. `ofType` does not count, so that the usual introspection query passes.
    """
    document = parse(query, max_tokens=MAX_QUERY_TOKENS, max_source_length=MAX_QUERY_CHARS)
    measure = _Measure(document)
    for operation in document.definitions:
        if isinstance(operation, OperationDefinitionNode):
            if measure.depth(operation.selection_set) > limits.max_depth:
                raise BadRequest(f"the query goes deeper than {limits.max_depth} fields", "ask for less at once")
            if measure.width(operation.selection_set, set()) > MAX_ROOT_FIELDS:
                raise BadRequest(
                    f"the query has more than {MAX_ROOT_FIELDS} fields at the top",
                    "send several requests",
                )
    if _aliases(document) > limits.max_aliases:
        raise BadRequest(f"the query has more than {limits.max_aliases} aliases", "send several requests")
    return document


def _aliases(document: DocumentNode) -> int:
    """As they are written: a fragment that is spread twice into one field is answered once there."""
    kinds = (OperationDefinitionNode, FragmentDefinitionNode)
    count, left = 0, [each.selection_set for each in document.definitions if isinstance(each, kinds)]
    while left:
        for each in left.pop().selections:
            count += isinstance(each, FieldNode) and each.alias is not None
            if isinstance(each, (FieldNode, InlineFragmentNode)) and each.selection_set:
                left.append(each.selection_set)
    return count


class _Measure:
    """Looks at each fragment once, however often it is spread; a circle (refused later) counts as nothing."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            each.name.value: each.selection_set
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        self._depths: dict[str, int] = {}

    def depth(self, selected: SelectionSetNode) -> int:
        deepest = 0
        for each in selected.selections:
            if isinstance(each, FragmentSpreadNode):
                below = self._fragment_depth(each.name.value)
            else:
                inner = each.selection_set if isinstance(each, (FieldNode, InlineFragmentNode)) else None
                counts = isinstance(each, FieldNode) and each.name.value != "ofType"
                below = counts + (self.depth(inner) if inner else 0)
            deepest = max(deepest, below)
        return deepest

    def _fragment_depth(self, name: str) -> int:
        if name not in self._depths:
            self._depths[name] = 0
            selected = self._fragments.get(name)
            self._depths[name] = self.depth(selected) if selected else 0
        return self._depths[name]

    def width(self, selected: SelectionSetNode, seen: set[str]) -> int:
        count = 0
        for each in selected.selections:
            if isinstance(each, FieldNode):
                count += 1
            elif isinstance(each, InlineFragmentNode):
                count += self.width(each.selection_set, seen)
            elif isinstance(each, FragmentSpreadNode) and each.name.value not in seen:
                seen.add(each.name.value)
                spread = self._fragments.get(each.name.value)
                count += self.width(spread, seen) if spread else 0
        return count
