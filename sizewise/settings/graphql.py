"""Settings of the GraphQL endpoint: query limits, persisted queries and token signers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import name, reference


@dataclass(frozen=True, slots=True)
class SignerSettings:
    """An issuer of HS256 tokens for clients that send `X-Lamatic-Signature` instead of an API key."""

    secret: str = setting(
        "",
        "Signing secret by reference, `env:NAME`, `file:PATH` or `exec:COMMAND`: at least 16 characters.",
        validator=reference,
        secret=True,
    )
    key: str = setting("", "ID (sw-...) of the API key that a token acts as: its permissions and project apply.")


@dataclass(frozen=True, slots=True)
class GraphQLSettings:
    """The endpoint /graphql: query limits and trusted documents."""

    max_depth: int = setting(12, "Maximum depth of a query.", minimum=1, maximum=100)
    max_aliases: int = setting(30, "Maximum number of aliases.", minimum=0, maximum=500)
    max_cost: int = setting(
        100_000,
        "Maximum estimated number of values in a response, checked before execution. A model call counts as 5,000.",
        minimum=100,
    )
    timeout_s: float = setting(
        300.0,
        "Timeout in seconds of a flow run as a query or mutation; the run is then cancelled.",
        minimum=0.1,
        maximum=86_400,
    )
    max_subscriptions: int = setting(
        32,
        "Concurrent operations per WebSocket.",
        minimum=1,
        maximum=1_000,
    )
    max_persisted_queries: int = setting(
        1_000,
        "Maximum number of persisted queries stored by hash; 0: none.",
        minimum=0,
    )
    queries: Literal["any", "trusted"] = setting(
        "any",
        "Accept any query, or only `trusted_documents`. The admin token may run any query.",
    )
    trusted_documents: tuple[str, ...] = setting(
        (),
        "Files or folders, relative to this file: queries as `.graphql`, or Apollo manifests as `.json`. Clients "
        "send the hash or the exact text.",
    )
    signers: Mapping[str, SignerSettings] = setting(MappingProxyType({}), "", key_validator=name)
    graphiql: bool = setting(True, "Serve GraphiQL to browsers that open /graphql.")
