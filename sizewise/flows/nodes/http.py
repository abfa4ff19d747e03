"""Node that calls an HTTP API configured in [hosts.NAME]; it never sees the key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta

from sizewise.errors import UpstreamError
from sizewise.flows.language import types
from sizewise.flows.language.filters import to_text
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Node, NodeContext, ParameterError, ValidationContext, missing_dependency

MAX_RESPONSE_BYTES = 8_388_608


class HttpNode(Node, frozen=True, kw_only=True):
    """Calls an HTTP API that the settings allow."""

    has_side_effects = True

    host: Annotated[
        str,
        Meta(description="Name of the API in [hosts.NAME].", extra_json_schema={"x-names": "hosts"}),
    ] = ""
    url: Annotated[str, Meta(description="URL instead of `host`; must be below the URL of an allowed host.")] = ""
    path: Annotated[str, Meta(description="Path below the API's URL.")] = ""
    method: Annotated[Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"], Meta(description="HTTP method.")] = (
        "GET"
    )
    query: Annotated[dict[str, Json], Meta(description="Query parameters.")] = {}
    headers: Annotated[dict[str, str], Meta(description="Additional headers; keys belong in the settings.")] = {}
    json: Annotated[Json, Meta(description="JSON body.")] = None
    body: Annotated[str | None, Meta(description="Text body instead of `json`.")] = None
    on_error: Annotated[
        Literal["fail", "give"],
        Meta(description="`give`: a response with status 400 or above is returned as a result."),
    ] = "fail"

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        return types.object_of(
            status=types.INTEGER,
            headers=Type("object", open=True),
            text=types.TEXT,
            json=types.JSON,
        )

    @classmethod
    def validate(cls, context: ValidationContext) -> Iterator[ParameterError]:
        if ("host" in context.types) is ("url" in context.types):
            yield ParameterError(
                "", "set exactly one of `host` and `url`", "`host` is a name in [hosts.NAME]; `url` is a full URL."
            )

    async def run(self, context: NodeContext) -> Json:
        http = context.dependencies.http
        if http is None:
            raise missing_dependency("HTTP client for flows", "allow a host: [hosts.NAME] in sizewise.toml")
        host, target = (self.host, _path(self.path)) if self.host else http.match_url(_encoded(self.url.strip()))
        query = [(name, to_text(each)) for name, each in self.query.items() if each is not None]
        if query:
            target += ("&" if "?" in target else "?") + urlencode(query)
        body, headers = self._body()
        if self.method != "GET":
            headers["idempotency-key"] = context.idempotency_key
        got = await http(
            context.request.principal,
            self.method,
            host,
            target,
            body,
            headers,
            data_class=context.data_class,
            limit=context.limit,
            max_bytes=MAX_RESPONSE_BYTES,
        )
        if got.status >= 400 and self.on_error == "fail":
            again = _retry_after(got.headers)
            status = got.status if got.status < 500 else 502
            raise UpstreamError(
                f"{host!r} responded with status {got.status}",
                "Check the request against the API's documentation.",
                status=status,
                retry_after=again,
            )
        text = got.body.decode("utf-8", "replace")
        return {"status": got.status, "headers": dict(got.headers), "text": text, "json": _json(got.body)}

    def _body(self) -> tuple[bytes, dict[str, str]]:
        headers = {name.lower(): each for name, each in self.headers.items()}
        if self.json is not None:
            return msgspec.json.encode(self.json), {"content-type": "application/json", **headers}
        if self.body is not None:
            return self.body.encode(), {"content-type": "text/plain; charset=utf-8", **headers}
        return b"", headers


def _encoded(url: str) -> str:
    """What a URL cannot have, percent-encoded: values that a flow puts into it may have spaces and letters of any kind.

    The host stays as it is; what is encoded already stays so.
    """
    scheme, separator, rest = url.partition("://")
    end = next((at for at, each in enumerate(rest) if each in "/?#"), len(rest))
    return f"{scheme}{separator}{rest[:end]}{quote(rest[end:].partition('#')[0], safe=_ALLOWED)}"


_ALLOWED = "/?&=:@!$'()*+,;~%-._"


def _path(path: str) -> str:
    """The path, percent-encoded, with a leading slash."""
    made = quote(path, safe=_ALLOWED)
    return made if made.startswith(("/", "?")) or not made else f"/{made}"


def _json(body: bytes) -> Json:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    said = headers.get("retry-after", "")
    return float(said) if said.isdecimal() and len(said) < 6 else None
