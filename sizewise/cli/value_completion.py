"""Shell completion of names: models, policies, flows and knowledge bases of the running server; none if none runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import click

from sizewise.catalog.loader import bundled_models
from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.options import api_client_or_none
from sizewise.errors import SizewiseError

TIMEOUT_S = 2.0
"""A shell waits for the names: after this time there are none."""
POLICY_PREFIX = "auto:"


async def _models(client: ApiClient) -> list[str]:
    found = await operations.list_models(client)
    return [*found.model_aliases, *(each.name for each in found.models)]


async def _model_names(client: ApiClient) -> list[str]:
    return [each.name for each in (await operations.list_models(client)).models]


async def _policies(client: ApiClient) -> list[str]:
    aliases = (await operations.list_models(client)).model_aliases
    return [each.removeprefix(POLICY_PREFIX) for each in aliases if each.startswith(POLICY_PREFIX)]


async def _flows(client: ApiClient) -> list[str]:
    return [each.name for each in await operations.list_flows(client)]


async def _knowledge_bases(client: ApiClient) -> list[str]:
    return [each.name for each in await operations.list_knowledge_bases(client)]


def complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names that a request can have: also `auto` and the policies."""
    return _complete(ctx, incomplete, _models)


def complete_model_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _complete(ctx, incomplete, _model_names)


def complete_policy(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _complete(ctx, incomplete, _policies)


def complete_flow(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _complete(ctx, incomplete, _flows)


def complete_knowledge_base(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _complete(ctx, incomplete, _knowledge_bases)


def complete_download(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Models that `sizewise models pull` downloads."""
    return sorted(name for name in bundled_models() if name.startswith(incomplete))


def _complete(ctx: click.Context, incomplete: str, names: Callable[[ApiClient], Awaitable[Iterable[str]]]) -> list[str]:
    with ctx.scope(cleanup=False), suppress(SizewiseError, TimeoutError):
        client = api_client_or_none()
        if client is not None:
            found = asyncio.run(asyncio.wait_for(names(client), TIMEOUT_S))
            return sorted({each for each in found if each.startswith(incomplete)})
    return []
