"""One embedding request of the running server: a vector for each text, and its cost; compares nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from sizewise.cli.api_client import MAX_RESPONSE_BYTES, ApiClient, parse_error
from sizewise.cli.chat_completion import parse_pico_dollars
from sizewise.errors import ExternalFailure
from sizewise.evals.runs.model_scorers import EmbeddedTexts
from sizewise.money import format_dollars

PATH = "/v1/embeddings"


class _Vector(Struct):
    embedding: tuple[float, ...]


class _Body(Struct):
    data: list[_Vector]


async def request_embeddings(
    server: ApiClient, model: str, texts: Sequence[str], most: int | None, options: Mapping[str, object]
) -> EmbeddedTexts:
    """`most`: maximum cost in pico-dollars. `options`: of the body's `sizewise` object. Raises the server's error."""
    limit = {} if most is None else {"max-cost-usd": format_dollars(most)}
    body = {"model": model, "input": list(texts), "sizewise": {**limit, **options}}
    async with server.post(PATH, body) as response:
        raw, cost = await response.read(MAX_RESPONSE_BYTES), response.header("x-sizewise-cost-usd")
    if response.status != 200:
        raise parse_error(response.status, raw)
    try:
        found = msgspec.json.decode(raw, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExternalFailure("the server's response is no embedding", "check that it is a Sizewise") from error
    if len(found.data) != len(texts):
        raise ExternalFailure("the server's response lacks embeddings", "check that it is a Sizewise")
    return EmbeddedTexts(tuple(each.embedding for each in found.data), parse_pico_dollars(cost))
