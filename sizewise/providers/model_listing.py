"""Model listing: asks each provider with `models = ["*"]` which models it offers; chooses and calls none of them."""

from __future__ import annotations

import asyncio

import msgspec
from msgspec import Struct

from sizewise.catalog.loader import provider_endpoint
from sizewise.catalog.offered_models import (
    ALL_MODELS,
    OfferedModels,
    read_offered_models,
    usable_names,
    write_offered_models,
)
from sizewise.errors import SizewiseError, UpstreamError
from sizewise.http.client import HttpClient, HttpTimeouts
from sizewise.http.egress import EgressPolicy
from sizewise.messages import ChatRequest
from sizewise.model_card import ModelCard
from sizewise.plugins import PluginRegistry
from sizewise.providers.connections import request_headers
from sizewise.providers.wires.wire import Wire
from sizewise.settings.load import Settings
from sizewise.settings.models import ProviderSettings, ReplicaSettings

TIMEOUT_S = 5.0
"""Seconds for which the start and a reload wait for the lists; all providers are asked at once."""
MAX_LIST_BYTES = 4 << 20


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model]


async def refresh_offered_models(settings: Settings) -> list[str]:
    """Receives and stores the lists; returns what failed, a sentence each. A failed list stays as it was."""
    wanted = {name: each for name, each in settings.providers.items() if ALL_MODELS in each.models}
    if not wanted:
        return []
    answers = await asyncio.gather(*(_list_models(name, each, settings) for name, each in wanted.items()))
    before, lists, problems = read_offered_models(settings.home), dict[str, OfferedModels](), list[str]()
    for (name, provider), answer in zip(wanted.items(), answers, strict=True):
        if isinstance(answer, str):
            known = before.get(name)
            if known is not None and known.base_url == provider.base_url:
                lists[name] = known
            last = f"the {len(known.models)} models of its last list are offered" if name in lists and known else ""
            problems.append(f"provider {name!r} did not list its models: {answer}; {last or 'name them in `models`'}")
        else:
            lists[name] = OfferedModels(provider.base_url, answer)
    if lists != before:
        try:
            write_offered_models(settings.home, lists)
        except OSError as error:
            problems.append(f"the lists of models cannot be written to {str(settings.home)!r}: {error.strerror}")
    return problems


async def _list_models(name: str, provider: ProviderSettings, settings: Settings) -> tuple[str, ...] | str:
    """The names, or why there are none."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            body = await _request_list(name, provider, settings)
        return usable_names(each.id for each in msgspec.json.decode(body, type=_Models).data)
    except TimeoutError:
        return f"no answer within {TIMEOUT_S:g} s"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "the answer is not a list of models"
    except SizewiseError as error:
        return error.message


async def _request_list(name: str, provider: ProviderSettings, settings: Settings) -> bytes:
    """Raises SizewiseError."""
    if not provider.base_url:
        raise UpstreamError(f"the wire {provider.wire!r} has no list")
    endpoint = provider_endpoint(name, provider)
    row = provider.replicas[0] if provider.replicas else ReplicaSettings()
    wire: Wire = PluginRegistry()("wires", provider.wire)
    card = ModelCard(name=f"{name}/{ALL_MODELS}", endpoint=endpoint, model=ALL_MODELS)
    url = row.base_url or provider.base_url
    egress = EgressPolicy({}, {"public": "anyone"}).with_origin(url, provider.place)
    given = provider.timeouts
    timeouts = HttpTimeouts(
        connect=min(given.connect_s, TIMEOUT_S),
        first_byte=min(given.first_byte_s, TIMEOUT_S),
        between_bytes=TIMEOUT_S,
        total=TIMEOUT_S,
    )
    async with HttpClient(egress, proxies=settings.proxies, ca_file=settings.ca_file) as client:
        listing = client.endpoint(url, request_headers(card, wire, row))
        more = wire.chat_headers(ChatRequest("", [], {}))  # the version of the API, for instance
        asked = listing.request(
            "GET", wire.list_path, headers=more, purpose="list models", data_class="public", timeouts=timeouts
        )
        async with await asked as response:
            if response.status != 200:
                raise UpstreamError(f"status {response.status}")
            return await response.read(MAX_LIST_BYTES)
