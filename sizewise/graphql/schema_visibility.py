"""The schema as one caller sees it: what its actions allow, and the flows of its project; a few are kept.

A schema never changes. What is published makes another one, for the questions that come from then on.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping

from graphql import GraphQLField, GraphQLNamedType, GraphQLObjectType, GraphQLSchema
from msgspec import Struct

from sizewise.auth.authorization import may
from sizewise.flows.compiled_flow import Flow
from sizewise.graphql import flows
from sizewise.graphql.context import Context
from sizewise.graphql.flow_fields import fields
from sizewise.graphql.schema import FIELDS, built
from sizewise.principal import Caller

KEPT = 32
"""Schemas in memory; those longest unused go first. Types of ours are shared: one with 300 flows takes 3.4 MB."""


class Seen(Struct, frozen=True):
    """What makes one schema differ from another. `ours`: root type and field; `flows`: each with its version."""

    ours: frozenset[tuple[str, str]]
    tenant: str = ""
    project: str = ""
    flows: tuple[tuple[str, str], ...] = ()


class Views:
    """`whole` has every field of ours: it is what a field that somebody may not see is refused by, in words."""

    def __init__(self) -> None:
        self.whole = built()
        self._kept: OrderedDict[Seen, asyncio.Task[GraphQLSchema]] = OrderedDict()

    async def of(self, context: Context) -> GraphQLSchema:
        seen = _seen(context)
        if seen not in self._kept:
            self._kept[seen] = asyncio.create_task(self._made(seen, context))
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(seen)
        try:
            return await asyncio.shield(self._kept[seen])
        except BaseException:
            if (task := self._kept.get(seen)) is not None and task.done():
                del self._kept[seen]  # it failed, and the next one may not
            raise

    async def _made(self, seen: Seen, context: Context) -> GraphQLSchema:
        known = {(each.name, each.version): each for each in flows.live(context)}
        found = [await flows.found(context, known[place]) for place in seen.flows if place in known]
        return await asyncio.to_thread(self.built, seen, [each for each in found if each is not None])

    def built(self, seen: Seen, published: list[Flow]) -> GraphQLSchema:
        """Made of what is valid by its making, so it is not validated: that took as long again."""
        taken = {name: [*known] for name, known in FIELDS.items()}
        scalars: Mapping[str, GraphQLNamedType] = self.whole.type_map
        theirs = fields(published, taken, scalars, flows.ran, flows.streamed)
        query, mutation, subscription = (self._root(name, seen, theirs[name]) for name in theirs)
        return GraphQLSchema(query, mutation, subscription, description=self.whole.description, assume_valid=True)

    def _root(self, name: str, seen: Seen, theirs: Mapping[str, GraphQLField]) -> GraphQLObjectType | None:
        known = self.whole.type_map[name]
        assert isinstance(known, GraphQLObjectType)
        made = {each: field for each, field in known.fields.items() if (name, each) in seen.ours}
        return GraphQLObjectType(name, {**made, **theirs}, description=known.description) if made or theirs else None


def _seen(context: Context) -> Seen:
    ours, caller = visible(context.caller), context.caller
    published = tuple((each.name, each.version) for each in flows.live(context)) if "ask" in caller.may else ()
    return Seen(ours, caller.tenant, caller.project, published) if published else Seen(ours)


def visible(caller: Caller) -> frozenset[tuple[str, str]]:
    """The fields of ours of which the caller may do one of the actions to anything at all."""
    return frozenset(
        (name, field)
        for name, known in FIELDS.items()
        for field, (_, actions) in known.items()
        if not actions or any(may(caller, action) for action in actions)
    )
