"""Builds and caches the schema that a caller may see: permitted fields and the flows of its project.

A schema is immutable. Publishing a flow makes a new one for later requests.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping

from graphql import GraphQLField, GraphQLNamedType, GraphQLObjectType, GraphQLSchema
from msgspec import Struct

from sizewise.auth.authorization import is_allowed
from sizewise.flows.compiled_flow import CompiledFlow
from sizewise.graphql import flows
from sizewise.graphql.context import RequestContext
from sizewise.graphql.flow_fields import build_flow_fields
from sizewise.graphql.schema import SERVED, Resolvers, ServedSchema
from sizewise.principal import Principal

CACHE_SIZE = 32
"""Schemas in memory, evicted least recently used. Built-in types are shared: a schema with 300 flows takes 3.4 MB."""


class SchemaKey(Struct, frozen=True):
    """Identifies a schema. `builtin_fields`: root types and fields. `flows`: names and versions."""

    builtin_fields: frozenset[tuple[str, str]]
    tenant: str = ""
    project: str = ""
    flows: tuple[tuple[str, str], ...] = ()


class SchemaCache:
    """`full_schema` has every built-in field: it executes a query for fields that the caller cannot see, so that the
    error names the missing permission."""

    def __init__(self, served: ServedSchema = SERVED) -> None:
        self.full_schema = served.schema
        self._resolvers = served.resolvers
        self._cache: OrderedDict[SchemaKey, asyncio.Task[GraphQLSchema]] = OrderedDict()

    async def schema_for(self, context: RequestContext) -> GraphQLSchema:
        seen = _schema_key(context, self._resolvers)
        if seen not in self._cache:
            self._cache[seen] = asyncio.create_task(self._build(seen, context))
            while len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        self._cache.move_to_end(seen)
        try:
            return await asyncio.shield(self._cache[seen])
        except BaseException:
            if (task := self._cache.get(seen)) is not None and task.done():
                del self._cache[seen]  # it failed, but the next attempt may succeed
            raise

    async def _build(self, key: SchemaKey, context: RequestContext) -> GraphQLSchema:
        known = {(each.name, each.version): each for each in flows.live_flows(context)}
        found = [await flows.load_flow(context, known[place]) for place in key.flows if place in known]
        return await asyncio.to_thread(self.build, key, [each for each in found if each is not None])

    def build(self, key: SchemaKey, published: list[CompiledFlow]) -> GraphQLSchema:
        """Skips validation, which would double the time: all parts are valid by construction."""
        taken = {name: [*known] for name, known in self._resolvers.items()}
        scalars: Mapping[str, GraphQLNamedType] = self.full_schema.type_map
        theirs = build_flow_fields(published, taken, scalars, flows.execute_flow, flows.stream_flow)
        query, mutation, subscription = (self._root(name, key, theirs[name]) for name in theirs)
        return GraphQLSchema(query, mutation, subscription, description=self.full_schema.description, assume_valid=True)

    def _root(self, name: str, key: SchemaKey, flow_fields: Mapping[str, GraphQLField]) -> GraphQLObjectType | None:
        known = self.full_schema.type_map[name]
        assert isinstance(known, GraphQLObjectType)
        made = {each: field for each, field in known.fields.items() if (name, each) in key.builtin_fields}
        return (
            GraphQLObjectType(name, {**made, **flow_fields}, description=known.description)
            if made or flow_fields
            else None
        )


def _schema_key(context: RequestContext, resolvers: Resolvers) -> SchemaKey:
    ours, principal = visible_fields(context.principal, resolvers), context.principal
    published = (
        tuple((each.name, each.version) for each in flows.live_flows(context)) if "ask" in principal.permissions else ()
    )
    return SchemaKey(ours, principal.tenant, principal.project, published) if published else SchemaKey(ours)


def visible_fields(principal: Principal, resolvers: Resolvers) -> frozenset[tuple[str, str]]:
    """The built-in fields for which the caller has a permission on any resource."""
    return frozenset(
        (name, field)
        for name, known in resolvers.items()
        for field, (_, actions) in known.items()
        if not actions or any(is_allowed(principal, action) for action in actions)
    )
