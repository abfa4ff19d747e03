"""GraphQL plug-ins: resolvers for fields of schema.graphql that another package implements, and document rewrites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphql import DocumentNode

from sizewise.plugins import PluginRegistry

Resolver = Callable[..., object]
"""An async function with the field's name in snake_case."""


@dataclass(frozen=True)
class GraphQLExtension:
    """Declared as an entry point of the group `sizewise.graphql`. `normalize` is called with every parsed document.

    The fields of `resolvers` and their permissions are those of schema.graphql. `acting_queries`: fields of queries
    that act nonetheless, so a GET cannot call them.
    """

    resolvers: Sequence[Resolver]
    normalize: Callable[[DocumentNode], DocumentNode]
    acting_queries: Sequence[str] = ()


def load_extensions() -> list[GraphQLExtension]:
    plugins = PluginRegistry()
    return [plugins("graphql", name) for name in plugins.names("graphql")]
