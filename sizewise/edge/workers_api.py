"""Cloudflare's API for Workers: uploads a version, makes one live, lists what was live; decides nothing.

An error of the API becomes an ExternalFailure that says what it means and what is live now; none holds the token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email import message_from_bytes
from secrets import token_hex
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest, ExternalFailure
from sizewise.http.client import HttpClient, HttpTimeouts

TIMEOUTS = HttpTimeouts(total=120.0)
MAX_ANSWER = 4 * 1024 * 1024
MODULE_TYPE = "application/javascript+module"
LIST_LIMIT = 1_000
BULK = 5_000
"""Values in one request; the API takes 10,000."""
AUTHENTICATION, NO_SCRIPT, TOO_LARGE = 10000, 10007, 10027
"""Codes of the API."""


class ApiError(Struct, frozen=True):
    code: int = 0
    message: str = ""


class _Page(Struct, frozen=True):
    cursor: str = ""


class _Answer(Struct):
    success: bool = False
    errors: list[ApiError] = []
    result: Any = None
    result_info: _Page = _Page()


class _Name(Struct):
    """Of a value in KV."""

    name: str
    metadata: dict[str, Any] | None = None


class DeployedVersion(Struct, frozen=True):
    version_id: str
    percentage: float = 100


class WorkerDeployment(Struct, frozen=True):
    """What was live from `created_on` on. `annotations`: ours says the build."""

    id: str
    created_on: str = ""
    versions: Sequence[DeployedVersion] = ()
    annotations: Mapping[str, str] = {}

    @property
    def version(self) -> str:
        return self.versions[0].version_id if self.versions else ""

    @property
    def build(self) -> str:
        """The digest in its message; empty: none of ours."""
        kind, _, found = self.annotations.get(MESSAGE, "").partition(" ")
        return found if kind == "build" else ""


MESSAGE = "workers/message"


class _Uploaded(Struct):
    id: str = ""


class _Deployments(Struct):
    deployments: list[WorkerDeployment] = []


class WorkerPlace(Protocol):
    """Where a Worker is, by settings."""

    @property
    def api(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def name(self) -> str: ...


class WorkersApi:
    """One Worker of one account."""

    def __init__(self, client: HttpClient, place: WorkerPlace, token: str) -> None:
        self._client, self._place, self._token = client, place, token
        self._path = f"/accounts/{place.account}/workers/scripts/{place.name}"

    async def upload(self, files: Mapping[str, bytes], metadata: bytes) -> str:
        """The id of the new version; empty if the Worker was not there and is live at once. Raises ExternalFailure."""
        body, kind = _form(files, metadata)
        status, answer = await self._request("POST", f"{self._path}/versions", body, kind)
        if status == 404 and any(each.code == NO_SCRIPT for each in answer.errors):
            status, answer = await self._request("PUT", self._path, body, kind)
            self._check(status, answer, "nothing was uploaded")
            return ""
        self._check(status, answer, "nothing was uploaded, and what was live stays live")
        return msgspec.convert(answer.result, _Uploaded).id

    async def deploy(self, version: str, build: str) -> None:
        """Makes a version live for all. Raises ExternalFailure."""
        body = {
            "strategy": "percentage",
            "versions": [{"version_id": version, "percentage": 100}],
            "annotations": {MESSAGE: f"build {build}"},
        }
        kind = "application/json"
        status, answer = await self._request("POST", f"{self._path}/deployments", msgspec.json.encode(body), kind)
        self._check(status, answer, f"the version {version} was uploaded, and what was live stays live")

    async def deployments(self) -> list[WorkerDeployment]:
        """Newest first; empty if there is no such Worker. Raises ExternalFailure."""
        status, answer = await self._request("GET", f"{self._path}/deployments")
        if status == 404:
            return []
        self._check(status, answer, "nothing was changed")
        return msgspec.convert(answer.result, _Deployments).deployments

    async def live_module(self, name: str) -> bytes | None:
        """A module of what is live; None if there is no such Worker, or no such module. Raises ExternalFailure."""
        status, raw, kind = await self._exchange("GET", f"{self._path}/content/v2")
        if status == 404:
            return None
        if status != 200:
            self._check(status, _decoded(raw), "nothing was changed")
        return _module(raw, kind, name)

    async def put_value(self, namespace: str, key: str, value: bytes) -> None:
        """Writes to a KV namespace. Raises ExternalFailure."""
        status, answer = await self._request(
            "PUT", f"{self._values(namespace)}/values/{key}", value, "application/json"
        )
        self._check(status, answer, "the key was not written")

    async def list_values(self, namespace: str) -> dict[str, Mapping[str, object]]:
        """The metadata of all keys of a KV namespace, by their names. Raises ExternalFailure."""
        found: dict[str, Mapping[str, object]] = {}
        cursor = ""
        while True:
            path = f"{self._values(namespace)}/keys?limit={LIST_LIMIT}{f'&cursor={cursor}' if cursor else ''}"
            status, answer = await self._request("GET", path)
            self._check(status, answer, "no key was changed")
            found |= {each.name: each.metadata or {} for each in msgspec.convert(answer.result, list[_Name])}
            cursor = answer.result_info.cursor
            if not cursor:
                return found

    async def put_values(self, namespace: str, values: Sequence[Mapping[str, object]]) -> None:
        """Writes many, each with `key`, `value` and `metadata`. Raises ExternalFailure."""
        for at in range(0, len(values), BULK):
            body = msgspec.json.encode(values[at : at + BULK])
            status, answer = await self._request("PUT", f"{self._values(namespace)}/bulk", body, "application/json")
            self._check(status, answer, f"{at} keys were written")

    async def delete_values(self, namespace: str, names: Sequence[str]) -> None:
        """Raises ExternalFailure."""
        for at in range(0, len(names), BULK):
            body, path = msgspec.json.encode(names[at : at + BULK]), f"{self._values(namespace)}/bulk/delete"
            status, answer = await self._request("POST", path, body, "application/json")
            self._check(status, answer, f"{at} keys were removed")

    def _values(self, namespace: str) -> str:
        return f"/accounts/{self._place.account}/storage/kv/namespaces/{namespace}"

    async def _request(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, _Answer]:
        status, raw, _ = await self._exchange(method, path, body, kind)
        return status, _decoded(raw)

    async def _exchange(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, bytes, str]:
        """Status, body and content type of the answer."""
        headers = [("authorization", f"Bearer {self._token}"), ("user-agent", "sizewise")]
        headers += [("content-type", kind)] if kind else []
        prefix = "/" + self._place.api.split("/", 3)[3] if self._place.api.count("/") > 2 else ""
        endpoint = self._client.endpoint(self._place.api.removesuffix(prefix))
        request = endpoint.request(
            method, prefix + path, body, headers, purpose="edge", data_class="internal", timeouts=TIMEOUTS
        )
        async with await request as response:
            raw = await response.read(MAX_ANSWER)
            return response.status, raw, response.header("content-type") or ""

    def _check(self, status: int, answer: _Answer, state: str) -> None:
        if status == 200 and answer.success:
            return
        codes = {each.code for each in answer.errors}
        said = "; ".join(f"{each.message} ({each.code})" for each in answer.errors)[:300] or f"HTTP {status}"
        if status in (401, 403) or AUTHENTICATION in codes:
            hint = "make a token that may edit Workers, and KV for keys, and set `token` in [edge]"
            raise BadRequest(f"the token has expired, or may not do this: {said}; {state}", hint)
        if status == 413 or TOO_LARGE in codes:
            hint = "leave models and policies out of this release that the edge does not need"
            raise BadRequest(f"the Worker is too large for this account: {said}; {state}", hint)
        raise ExternalFailure(
            f"the API answered: {said}; {state}", "try again; sizewise edge status shows what is live"
        )


def _decoded(raw: bytes) -> _Answer:
    try:
        return msgspec.json.decode(raw, type=_Answer)
    except msgspec.DecodeError:
        return _Answer()


def _module(raw: bytes, kind: str, name: str) -> bytes | None:
    """The part of a multipart body with this name."""
    message = message_from_bytes(b"content-type: " + kind.encode("latin-1") + b"\r\n\r\n" + raw)
    for part in message.walk():
        if part.get_param("name", header="content-disposition") == name:
            found = part.get_payload(decode=True)
            return found if isinstance(found, bytes) else None
    return None


def _form(files: Mapping[str, bytes], metadata: bytes) -> tuple[bytes, str]:
    """A multipart body: the metadata, then each module under its name."""
    boundary = token_hex(16)
    parts = [("metadata", "metadata.json", "application/json", metadata)]
    parts += [(name, name, MODULE_TYPE, data) for name, data in files.items()]
    pieces = [
        f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"; filename="{file}"\r\n'
        f"content-type: {kind}\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, file, kind, data in parts
    ]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"
