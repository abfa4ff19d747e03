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
    """Whoever signs tokens in the place of a key, for clients that send `X-Lamatic-Signature`: HS256, as theirs."""

    secret: str = setting(
        "",
        "By reference, `env:NAME` or `file:PATH`: at least 16 characters.",
        validator=reference,
        secret=True,
    )
    key: str = setting("", "The id (sw-...) of the key that such a token stands for: what it may, and its project.")


@dataclass(frozen=True, slots=True)
class GraphQLSettings:
    """The door /graphql: how large a question may be, and whether it must be a listed one."""

    max_depth: int = setting(12, "Fields inside fields.", minimum=1, maximum=100)
    max_aliases: int = setting(30, "Fields under another name.", minimum=0, maximum=500)
    max_cost: int = setting(
        100_000,
        "Values that one question may bring out, by an estimate before it is answered; a question to a model counts as "
        "5,000.",
        minimum=100,
    )
    timeout_s: float = setting(
        300.0,
        "Seconds that a flow may take as a query or mutation; then it is cancelled.",
        minimum=0.1,
        maximum=86_400,
    )
    max_subscriptions: int = setting(
        32,
        "Questions that one WebSocket may have under way at the same time.",
        minimum=1,
        maximum=1_000,
    )
    max_persisted_queries: int = setting(
        1_000,
        "Queries that are kept by their hash (persisted queries); 0: none.",
        minimum=0,
    )
    queries: Literal["any", "trusted"] = setting(
        "any",
        "Whether any query is taken, or only those that `trusted_documents` names; the admin token may ask anything.",
    )
    trusted_documents: tuple[str, ...] = setting(
        (),
        "Files, or folders of files, from this one's folder: a query as `.graphql`, or many as a manifest of Apollo's "
        "in `.json`. They are asked by their hash, or as they stand there.",
    )
    signers: Mapping[str, SignerSettings] = setting(MappingProxyType({}), "", key_validator=name)
    graphiql: bool = setting(True, "Serve GraphiQL to browsers that open /graphql.")
