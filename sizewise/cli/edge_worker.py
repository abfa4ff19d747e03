"""The Worker of [edge] at Cloudflare, for the commands: its API with the account's token; prints nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec

from sizewise.edge.workers_api import WorkersApi
from sizewise.errors import BadRequest
from sizewise.http.client import HttpClient
from sizewise.http.egress import EgressPolicy
from sizewise.settings.load import Settings, resolve_secret

T = TypeVar("T")


async def with_api(settings: Settings, work: Callable[[WorkersApi, HttpClient], Awaitable[T]]) -> T:
    """Raises BadRequest without an account, and what `work` raises."""
    edge = settings.edge
    if not edge.account or not edge.token:
        raise BadRequest(
            "`account` and `token` in [edge] are needed", 'set them, as token = "env:CLOUDFLARE_API_TOKEN"'
        )
    token = resolve_secret(edge.token)
    async with _client(settings) as client:
        return await work(WorkersApi(client, edge, token), client)


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[HttpClient]:
    allowed = {url: "anyone" for url in (settings.edge.api, settings.edge.url) if url}
    egress = EgressPolicy(msgspec.convert(allowed, dict), {"public": "anyone", "internal": "anyone"})
    async with HttpClient(egress, proxies=settings.proxies, ca_file=settings.ca_file) as client:
        yield client
