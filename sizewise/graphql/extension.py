"""GraphQL plug-ins: resolvers for fields of schema.graphql that another room answers, and document rewrites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graphql import DocumentNode

from sizewise.plugins import PluginRegistry

Resolver = Callable[..., object]
Resolvers = Mapping[str, Mapping[str, tuple[Resolver, tuple[str, ...]]]]
"""Type -> field -> resolver and the permissions of which the caller needs one."""


@dataclass(frozen=True)
class GraphQLExtension:
    """Declared as an entry point of the group `sizewise.graphql`. `normalize` is called with every parsed document."""

    resolvers: Resolvers
    normalize: Callable[[DocumentNode], DocumentNode]


def load_extensions() -> list[GraphQLExtension]:
    plugins = PluginRegistry()
    return [plugins("graphql", name) for name in plugins.names("graphql")]
