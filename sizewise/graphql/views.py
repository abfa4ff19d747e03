"""The schema as one caller sees it: only what its actions allow; built once for all who see the same, few are kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema, assert_valid_schema

from sizewise.accounts.roles import may
from sizewise.caller import Caller
from sizewise.graphql.schema import FIELDS, built

KEPT = 64
"""Schemas in memory; those longest unused go first. One of 40 fields takes 0.2 MB, as the types are shared."""

Visible = frozenset[tuple[str, str]]
"""Root type and field."""


class Views:
    """`whole` has every field: it is what a field that somebody may not see is refused by, in words."""

    def __init__(self) -> None:
        self.whole = built()
        self._kept: OrderedDict[Visible, asyncio.Task[GraphQLSchema]] = OrderedDict()

    async def of(self, caller: Caller) -> GraphQLSchema:
        seen = visible(caller)
        if seen not in self._kept:
            self._kept[seen] = asyncio.create_task(asyncio.to_thread(self._built, seen))
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(seen)
        return await asyncio.shield(self._kept[seen])

    def _built(self, seen: Visible) -> GraphQLSchema:
        query, mutation, subscription = (self._root(name, seen) for name in ("Query", "Mutation", "Subscription"))
        schema = GraphQLSchema(query, mutation, subscription, description=self.whole.description)
        assert_valid_schema(schema)
        return schema

    def _root(self, name: str, seen: Visible) -> GraphQLObjectType | None:
        known = self.whole.type_map[name]
        assert isinstance(known, GraphQLObjectType)
        fields: dict[str, GraphQLField] = {each: field for each, field in known.fields.items() if (name, each) in seen}
        return GraphQLObjectType(name, fields, description=known.description) if fields else None


def visible(caller: Caller) -> Visible:
    """The fields of which the caller may do one of the actions to anything at all."""
    return frozenset(
        (name, field)
        for name, known in FIELDS.items()
        for field, (_, actions) in known.items()
        if not actions or any(may(caller, action) for action in actions)
    )
