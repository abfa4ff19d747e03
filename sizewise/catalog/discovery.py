"""Discovers model servers on the usual local ports; silent when there are none.

A server on loopback may forward to a cloud, so a discovered model has place "anyone" until the user declares it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from types import MappingProxyType

import msgspec
from msgspec import Struct

from sizewise.catalog.loader import LOCAL_SERVER_PORTS
from sizewise.catalog.offered_models import EMBEDDING_NAME
from sizewise.errors import UpstreamError
from sizewise.http.client import HttpClient, HttpTimeouts
from sizewise.http.egress import EgressPolicy
from sizewise.model_card import ModelCard, ModelEndpoint

DEADLINE_S = 0.3
LISTING_BYTES = 4 << 20
UNDECLARED = "found on {origin}, which may forward requests elsewhere; declare its place in [providers.{name}]"
PARAMETER_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMBT])\Z", re.IGNORECASE)
SCALE = MappingProxyType({"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12})


class _Details(Struct):
    parameter_size: str = ""
    families: list[str] | None = None


class _Tag(Struct):
    """A model in Ollama's list."""

    name: str
    details: _Details = msgspec.field(default_factory=_Details)


class _Meta(Struct):
    n_params: int | None = None


class _Model(Struct):
    """A model in OpenAI's list format, with additions of llama.cpp (`meta`) and vLLM (`max_model_len`)."""

    id: str
    max_model_len: int | None = None
    meta: _Meta | None = None


class _Tags(Struct):
    models: list[_Tag]


class _Models(Struct):
    data: list[_Model]


async def discover_models(*, skip: int, ports: Sequence[tuple[str, int]] = LOCAL_SERVER_PORTS) -> tuple[ModelCard, ...]:
    """A card for each chat model that other servers on this machine offer; all ports are probed at once, for 0.3 s.

    `skip`: the port that this server listens on.
    """
    others = [(name, port) for name, port in ports if port != skip]
    egress = EgressPolicy({f"http://127.0.0.1:{port}": "anyone" for _, port in others}, {"public": "anyone"})
    async with HttpClient(egress) as client:  # without a proxy
        lists = await asyncio.gather(*(_models_at(client, name, port) for name, port in others))
    return tuple(card for each in lists for card in each)


async def _models_at(client: HttpClient, name: str, port: int) -> list[ModelCard]:
    origin = f"http://127.0.0.1:{port}"
    endpoint = ModelEndpoint(provider=name, base_url=f"{origin}/v1", place="anyone")
    try:
        if name == "ollama":
            tags = msgspec.json.decode(await _body(client, origin, "/api/tags"), type=_Tags).models
            return [_ollama(tag, endpoint) for tag in tags if not _is_embedding(tag.name, tag.details.families)]
        models = msgspec.json.decode(await _body(client, origin, "/v1/models"), type=_Models).data
        return [_openai(model, endpoint) for model in models if not _is_embedding(model.id)]
    except (UpstreamError, msgspec.MsgspecError, TimeoutError):  # no server there, or one without models
        return []


async def _body(client: HttpClient, origin: str, path: str) -> bytes:
    """The response body. Raises UpstreamError for an error status, and for another Sizewise, which would be a loop."""
    timeouts = HttpTimeouts(connect=DEADLINE_S, first_byte=DEADLINE_S, between_bytes=DEADLINE_S, total=DEADLINE_S)
    async with asyncio.timeout(DEADLINE_S):
        asked = client.endpoint(origin).request("GET", path, purpose="discover", data_class="public", timeouts=timeouts)
        async with await asked as response:
            ours = any(name.lower().startswith("x-sizewise") for name, _ in response.headers)
            if response.status != 200 or ours:
                raise UpstreamError("it lists no usable models")
            return await response.read(LISTING_BYTES)


def _is_embedding(model: str, families: Sequence[str] | None = None) -> bool:
    """By its name, because only Ollama tells more: its architectures."""
    return EMBEDDING_NAME.search(model) is not None or any("bert" in each.lower() for each in families or ())


def _ollama(tag: _Tag, endpoint: ModelEndpoint) -> ModelCard:
    size = PARAMETER_SIZE.match(tag.details.parameter_size)
    count = round(float(size[1]) * SCALE[size[2].upper()]) if size else None
    return _card(tag.name, endpoint, count, None)


def _openai(model: _Model, endpoint: ModelEndpoint) -> ModelCard:
    return _card(model.id, endpoint, model.meta.n_params if model.meta else None, model.max_model_len)


def _card(model: str, endpoint: ModelEndpoint, parameters: int | None, context: int | None) -> ModelCard:
    said = f"as reported by the server at {endpoint.base_url}"
    told = {"parameters": parameters, "context": context}
    facts = {fact: said for fact, value in told.items() if value is not None}
    facts["place"] = UNDECLARED.format(origin=endpoint.base_url.removesuffix("/v1"), name=endpoint.provider)
    return ModelCard(
        name=f"{endpoint.provider}/{model}",
        endpoint=endpoint,
        model=model,
        parameters=parameters,
        context=context,
        facts=MappingProxyType(facts),
    )
