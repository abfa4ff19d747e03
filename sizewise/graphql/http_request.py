"""GraphQL over HTTP: a GET's query string as a request, and the media type that a client accepts; does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs

import msgspec

from sizewise.errors import BadBody, BadRequest
from sizewise.graphql.request import OperationRequest, parse_request

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
METHODS = "GET, POST"
MAX_PARAMETERS = 20


def is_get(method: str, headers: Mapping[bytes, str]) -> bool:
    """Whether the request is a GET, which may only read. Raises BadRequest unless it is that or a POST of JSON."""
    if method == "GET":
        return True
    if method != "POST":
        raise BadRequest(
            f"/graphql does not accept the method {method[:20]!r}", 'POST {"query": "..."} as JSON', status=405
        )
    kind = headers.get(b"content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON, GRAPHQL_JSON):  # another site's page cannot send these without a CORS preflight
        raise BadRequest(
            f"/graphql does not accept content of type {kind[:100]!r}",
            "send content-type: application/json",
            status=415,
        )
    encoding = headers.get(b"content-encoding", "identity").strip()
    if encoding.lower() not in ("", "identity"):
        raise BadRequest(
            f"/graphql does not accept a body compressed as {encoding[:40]!r}",
            "send it uncompressed, without the header `content-encoding`",
            status=415,
        )
    return False


def parse_query_string(text: bytes) -> OperationRequest:
    """The request of a GET: `query`, `variables` and `extensions` as JSON, `operationName`. Raises BadBody."""
    try:
        found = parse_qs(text.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict")
    except (ValueError, UnicodeDecodeError) as error:
        raise BadBody("the query string is not valid", "percent-encode it as UTF-8: ?query=%7B...%7D") from error
    known = {name: values[-1] for name, values in found.items()}
    body: dict[str, object] = {name: known[name] for name in ("query", "operationName") if known.get(name)}
    body |= {name: msgspec.Raw(known[name].encode()) for name in ("variables", "extensions") if known.get(name)}
    if not body:
        raise BadBody("the request has no query", "GET /graphql?query=%7B...%7D, or POST it as JSON")
    return parse_request(msgspec.json.encode(body))


def response_type(accept: str) -> str:
    """The type of the response: the one of JSON's two that `accept` prefers; of equals, the first that it names."""
    best, chosen = 0.0, JSON
    for each in accept.split(",") if GRAPHQL_JSON in accept else ():
        name, *parameters = (part.strip().lower() for part in each.split(";"))
        quality = _quality(parameters)
        if name in (JSON, GRAPHQL_JSON) and quality > best:
            best, chosen = quality, name
    return chosen


def _quality(parameters: list[str]) -> float:
    said = next((each.removeprefix("q=") for each in parameters if each.startswith("q=")), "1")
    try:
        return min(1.0, max(0.0, float(said)))
    except ValueError:
        return 0.0
