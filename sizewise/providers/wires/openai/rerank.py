"""Upstreams' `/rerank` in the shape that Cohere, Jina, vLLM and llama.cpp share, both directions; pure.

They differ in usage: Jina and vLLM report tokens as OpenAI does, Cohere in `meta`.
"""

from __future__ import annotations

import math

import msgspec
from msgspec import Raw, Struct

from sizewise.messages import JsonFields, Reply, RerankRequest, Usage
from sizewise.providers.wires.openai.usage_and_errors import MAX_TOKEN_COUNT, protocol_error

OURS = ("model", "input")
"""Fields of a RerankRequest that the upstream gets in another form."""

_encode = msgspec.json.Encoder().encode


class RerankResult(Struct):
    index: int
    relevance_score: float


class RerankUsage(Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class CohereTokens(Struct):
    input_tokens: float | None = None


class CohereMeta(Struct):
    tokens: CohereTokens | None = None


class RerankResponse(Struct):
    results: list[RerankResult]
    usage: RerankUsage | None = None
    meta: CohereMeta | None = None
    model: str | None = None


_response = msgspec.json.Decoder(RerankResponse)
_fields = msgspec.json.Decoder(JsonFields)


def write_rerank(rerank: RerankRequest, model: str) -> bytes:
    """The body for an upstream, which scores all documents and returns none of them."""
    query, *documents = rerank.inputs
    also = {name: raw for name, raw in rerank.fields.items() if name not in OURS}
    return _encode({**also, "model": model, "query": query, "documents": documents})


def read_scores(body: bytes, count: int) -> Reply:
    """One score for each of `count` documents. Raises UpstreamProtocolError if one is missing, or there twice."""
    try:
        seen = _response.decode(body)
        meta = _fields.decode(body).get("meta")
    except msgspec.DecodeError as error:
        raise protocol_error(str(error)) from error
    scores = {each.index: each.relevance_score for each in seen.results}
    if len(seen.results) != count or scores.keys() != set(range(count)):
        raise protocol_error(f"`results` has {len(seen.results)} results for {count} documents")
    if not all(map(math.isfinite, scores.values())):
        raise protocol_error("a `relevance_score` is not a number")
    fields: dict[str, Raw] = {} if meta is None else {"meta": meta}
    return Reply(
        (), _usage(seen), seen.model or "", fields=fields, embeddings=tuple((scores[at],) for at in range(count))
    )


def _usage(seen: RerankResponse) -> Usage:
    told: float | None = None
    if seen.usage is not None:
        told = seen.usage.prompt_tokens or seen.usage.total_tokens
    elif seen.meta is not None and seen.meta.tokens is not None:
        told = seen.meta.tokens.input_tokens
    return Usage(estimated=True) if told is None or not 0 <= told <= MAX_TOKEN_COUNT else Usage(int(told))
