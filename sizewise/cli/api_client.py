"""HTTP client of the running server, for the commands: finds it, calls /graphql and /v1; starts none.

The server is the one that `up` recorded in <home>/server.json, with the admin token of that home; or the one at a URL,
with the API key in SIZEWISE_KEY. Which home: cli/server_choice.py.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import msgspec
from msgspec import UNSET, Struct

from sizewise.cli.server_choice import not_running, server_at
from sizewise.data_class import DATA_CLASSES
from sizewise.errors import BadRequest, ExternalFailure, SizewiseError, UpstreamError
from sizewise.http.client import ClientResponse, HttpClient, HttpTimeouts
from sizewise.http.dialer import TlsConfig
from sizewise.http.egress import EgressPolicy
from sizewise.process import is_same_process
from sizewise.settings.load import Settings, server_root

T = TypeVar("T")

NO_VARIABLES: Mapping[str, object] = MappingProxyType({})
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""Maximum bytes of one response."""
TIMEOUTS = HttpTimeouts(connect=5, first_byte=600, between_bytes=600, total=3_600)
"""Seconds: a large model on a small machine may need minutes before its first token."""


@dataclass(frozen=True, slots=True)
class ApiClient:
    """`remote`: given by URL, and not the server of this home."""

    url: str
    key: str = field(repr=False)
    settings: Settings
    remote: bool = False
    tls_trust: TlsConfig | None = None

    @asynccontextmanager
    async def post(self, path: str, body: object, **headers: str) -> AsyncIterator[ClientResponse]:
        """The response, whatever its status. Raises ExternalFailure if the server cannot be reached or its response is
        invalid.
        """
        sent = [
            ("authorization", f"Bearer {self.key}"),
            ("content-type", "application/json"),
            *((name.replace("_", "-"), value) for name, value in headers.items()),
        ]
        async with self._request("POST", path, json.dumps(body).encode(), sent) as response:
            yield response

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and body. Raises ExternalFailure as `post`."""
        async with self._request("GET", path, b"", [("authorization", f"Bearer {self.key}")]) as response:
            return response.status, await response.read(MAX_RESPONSE_BYTES)

    async def graphql(self, query: str, shape: type[T], variables: Mapping[str, object] = NO_VARIABLES) -> T:
        """The `data` of the response; called by operations.py alone. A variable that is UNSET is not sent.

        Raises the server's own error.
        """
        sent = {name: value for name, value in variables.items() if value is not UNSET}
        for name, value in sent.items():
            if isinstance(value, float) and not isfinite(value):
                raise BadRequest(f"{name} is {value}", "use a number, such as 7")
        async with self.post("/graphql", {"query": query, "variables": sent}) as response:
            body = await response.read(MAX_RESPONSE_BYTES)
        return _data(body, shape)

    async def readiness(self) -> tuple[bool, list[str]]:
        """/readyz: whether the server is ready, and which parts are impaired."""
        async with self._request("GET", "/readyz", b"", []) as response:
            shown = msgspec.json.decode(await response.read(MAX_RESPONSE_BYTES), type=_Readiness)
            return response.status == 200, shown.impaired

    async def is_listening(self) -> bool:
        """Whether any program listens there, whatever its protocol."""
        try:
            async with self._request("GET", "/healthz", b"", []):
                return True
        except ExternalFailure as error:
            down = error.__cause__
            return down is None or not isinstance(down.__cause__, OSError)

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: list[tuple[str, str]],
    ) -> AsyncIterator[ClientResponse]:
        egress = EgressPolicy({self.url: "anyone"}, dict.fromkeys(DATA_CLASSES, "anyone"))  # the user named this server
        try:
            settings = self.settings
            async with HttpClient(
                egress,
                proxies=settings.proxies,
                ca_file=settings.ca_file,
                tls_config=self.tls_trust,
            ) as client:
                endpoint = client.endpoint(self.url)
                async with await endpoint.request(
                    method,
                    path,
                    body,
                    headers,
                    purpose="the command line",
                    data_class="confidential",
                    timeouts=TIMEOUTS,
                ) as response:
                    yield response
        except UpstreamError as error:
            why = f"the server at {self.url} did not respond: {error.message}"
            raise ExternalFailure(why, "run: sizewise doctor") from error


def find_server(settings: Settings, url: str = "") -> ApiClient:
    """Raises ExternalFailure if no server is running, BadRequest if there is no key for `url`."""
    here = running_server(settings)
    if not url:
        if here is None:
            raise not_running(settings.home)
        return here
    url = server_root(url)
    if here is not None and here.url == url:
        return here
    if settings.api_key:
        return ApiClient(url, settings.api_key, settings, remote=True)
    other = server_at(url)
    ours = running_server(replace(settings, home=Path(other.home))) if other is not None else None
    if ours is not None and ours.url == url:  # with the token of its own home
        return replace(ours, settings=settings, remote=True)
    raise BadRequest(f"there is no key for the server at {url!r}", "export SIZEWISE_KEY=...")


def running_server(settings: Settings) -> ApiClient | None:
    """The server of this home; None if there is none or it has stopped."""
    try:
        note = msgspec.json.decode((settings.home / "server.json").read_bytes(), type=_ServerFile)
        key = (settings.home / "admin.token").read_text("ascii").strip()
    except (OSError, ValueError):  # not there, or half written
        return None
    if not is_same_process(note.pid, note.process):
        return None  # killed; whatever listens at its URL now gets no token
    trust = TlsConfig(None, note.cert, note.own) if note.cert else None
    return ApiClient(note.url.rstrip("/"), key, settings, tls_trust=trust)


class _ServerFile(Struct):
    """<home>/server.json"""

    url: str
    pid: int
    process: str = ""  # as `process_identity` gives it
    cert: str = ""  # the server's certificate as PEM, if it uses TLS
    own: str = ""  # path of the client certificate to present


class _Readiness(Struct):
    status: str = ""
    impaired: list[str] = []


class _Extensions(Struct):
    code: str = "internal_error"
    hint: str = ""


class ErrorDetails(Struct):
    """An error in the format of GraphQL or of OpenAI."""

    message: str = ""
    code: str = "internal_error"
    hint: str = ""
    extensions: _Extensions | None = None


class _Errors(Struct):
    errors: list[ErrorDetails] = []
    error: ErrorDetails | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


def _data(body: bytes, shape: type[T]) -> T:
    shown = _decoded(body)
    if shown.errors:
        raise to_exception(shown.errors[0])
    try:
        return msgspec.json.decode(shown.data, type=shape)
    except msgspec.ValidationError as error:
        raise ExternalFailure(
            f"unexpected response from the server: {error}",
            "check that server and command have the same version",
        ) from error


def parse_error(status: int, body: bytes) -> SizewiseError:
    """The error in a /v1 response whose status is not 200."""
    shown = _decoded(body)
    if shown.error is None:
        return ExternalFailure(f"the server responded with status {status}", "check that it is a Sizewise server")
    return to_exception(shown.error)


def _decoded(body: bytes) -> _Errors:
    try:
        return msgspec.json.decode(body, type=_Errors)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExternalFailure("the server's response is not JSON", "check that it is a Sizewise server") from error


def to_exception(error: ErrorDetails) -> SizewiseError:
    """The same error class as the server's, so that the exit code is the same."""
    said = error.extensions or error
    kind = next((each for each in _family(SizewiseError) if each.code == said.code), SizewiseError)
    return kind(error.message, said.hint)


def _family(kind: type[SizewiseError]) -> Iterator[type[SizewiseError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _family(each)
