"""Asks the usual ports of this machine which models they serve; quiet when nobody is there, and trusts no address.

A server on loopback may forward to a cloud, so what is found counts as place "anyone" until the user declares it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from types import MappingProxyType

import msgspec
from msgspec import Struct

from sizewise.catalog.loader import PORTS
from sizewise.errors import Upstream
from sizewise.http.client import Client, Timeouts
from sizewise.http.egress import Egress
from sizewise.model_card import Card, Endpoint

DEADLINE_S = 0.3
LISTING_BYTES = 4 << 20
UNDECLARED = "found on {origin}, which may forward elsewhere; declare its place under [providers.{name}]"
COUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([KMBT])\Z", re.IGNORECASE)
SCALE = MappingProxyType({"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12})


class _Details(Struct):
    parameter_size: str = ""
    families: list[str] | None = None


class _Tag(Struct):
    """A model as Ollama lists it."""

    name: str
    details: _Details = msgspec.field(default_factory=_Details)


class _Meta(Struct):
    n_params: int | None = None


class _Model(Struct):
    """A model as OpenAI lists it, with what llama.cpp (`meta`) and vLLM (`max_model_len`) add."""

    id: str
    max_model_len: int | None = None
    meta: _Meta | None = None


class _Tags(Struct):
    models: list[_Tag]


class _Models(Struct):
    data: list[_Model]


async def found(*, skip: int, ports: Sequence[tuple[str, int]] = PORTS) -> tuple[Card, ...]:
    """A card for each chat model that another server on this machine offers now; all are asked at once, for 0.3 s.

    `skip` is the port that we listen on ourselves.
    """
    others = [(name, port) for name, port in ports if port != skip]
    egress = Egress({f"http://127.0.0.1:{port}": "anyone" for _, port in others}, {"public": "anyone"})
    async with Client(egress) as client:  # and by no proxy
        lists = await asyncio.gather(*(_asked(client, name, port) for name, port in others))
    return tuple(card for each in lists for card in each)


async def _asked(client: Client, name: str, port: int) -> list[Card]:
    origin = f"http://127.0.0.1:{port}"
    endpoint = Endpoint(provider=name, base_url=f"{origin}/v1", place="anyone")
    try:
        if name == "ollama":
            tags = msgspec.json.decode(await _body(client, origin, "/api/tags"), type=_Tags).models
            return [_ollama(tag, endpoint) for tag in tags if not _embeds(tag)]
        models = msgspec.json.decode(await _body(client, origin, "/v1/models"), type=_Models).data
        return [_openai(model, endpoint) for model in models]
    except (Upstream, msgspec.MsgspecError, TimeoutError):  # nobody there, or somebody who serves no models
        return []


async def _body(client: Client, origin: str, path: str) -> bytes:
    """The answer's body; Upstream when it is a refusal, or comes from another Sizewise, which would be a loop."""
    timeouts = Timeouts(connect=DEADLINE_S, first_byte=DEADLINE_S, between_bytes=DEADLINE_S, total=DEADLINE_S)
    async with asyncio.timeout(DEADLINE_S):
        asked = client.endpoint(origin).request("GET", path, why="discover", data_class="public", timeouts=timeouts)
        async with await asked as response:
            ours = any(name.lower().startswith("x-sizewise") for name, _ in response.headers)
            if response.status != 200 or ours:
                raise Upstream("it serves no models for us")
            return await response.read(LISTING_BYTES)


def _embeds(tag: _Tag) -> bool:
    return any("bert" in family.lower() for family in tag.details.families or ())


def _ollama(tag: _Tag, endpoint: Endpoint) -> Card:
    size = COUNT.match(tag.details.parameter_size)
    count = round(float(size[1]) * SCALE[size[2].upper()]) if size else None
    return _card(tag.name, endpoint, count, None)


def _openai(model: _Model, endpoint: Endpoint) -> Card:
    return _card(model.id, endpoint, model.meta.n_params if model.meta else None, model.max_model_len)


def _card(model: str, endpoint: Endpoint, parameters: int | None, context: int | None) -> Card:
    said = f"as the server at {endpoint.base_url} says"
    told = {"parameters": parameters, "context": context}
    facts = {fact: said for fact, value in told.items() if value is not None}
    facts["place"] = UNDECLARED.format(origin=endpoint.base_url.removesuffix("/v1"), name=endpoint.provider)
    return Card(
        name=f"{endpoint.provider}/{model}",
        endpoint=endpoint,
        model=model,
        parameters=parameters,
        context=context,
        facts=MappingProxyType(facts),
    )
