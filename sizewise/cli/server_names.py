"""Names for shell completion: of the running server, none if none runs; and of models to download or of the catalog."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Literal

from sizewise.catalog.current_catalog import current_catalog
from sizewise.catalog.loader import bundled_models
from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.options import api_client_or_none, command_settings
from sizewise.errors import SizewiseError

NameKind = Literal["target", "model", "policy", "flow", "knowledge base", "download", "catalog"]
"""What the names are of. A target is what a chat can name: a model, `auto` or a policy."""
TIMEOUT_S = 2.0
"""A shell waits for the names: after this time there are none."""
POLICY_PREFIX = "auto:"


def names(kind: NameKind) -> Iterable[str]:
    """Raises nothing that the shell would show."""
    if kind == "download":
        return bundled_models()
    if kind == "catalog":
        return current_catalog(command_settings()).load_models()
    with suppress(SizewiseError, TimeoutError):
        client = api_client_or_none()
        if client is not None:
            return asyncio.run(asyncio.wait_for(SOURCES[kind](client), TIMEOUT_S))
    return []


async def _targets(client: ApiClient) -> list[str]:
    found = await operations.list_models(client)
    return [*found.model_aliases, *(each.name for each in found.models if each.task == "chat")]


async def _models(client: ApiClient) -> list[str]:
    return [each.name for each in (await operations.list_models(client)).models]


async def _policies(client: ApiClient) -> list[str]:
    aliases = (await operations.list_models(client)).model_aliases
    return [each.removeprefix(POLICY_PREFIX) for each in aliases if each.startswith(POLICY_PREFIX)]


async def _flows(client: ApiClient) -> list[str]:
    return [each.name for each in await operations.list_flows(client)]


async def _knowledge_bases(client: ApiClient) -> list[str]:
    return [each.name for each in await operations.list_knowledge_bases(client)]


SOURCES: Mapping[NameKind, Callable[[ApiClient], Awaitable[list[str]]]] = {
    "target": _targets,
    "model": _models,
    "policy": _policies,
    "flow": _flows,
    "knowledge base": _knowledge_bases,
}
