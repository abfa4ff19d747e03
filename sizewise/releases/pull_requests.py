"""Pull requests at GitHub, Gitea or Forgejo, and GitLab, by their APIs: opens one for a branch, or finds the open one.

Which API is spoken is set, or known by the host's name; nothing is guessed by asking a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from sizewise.errors import ExternalFailure
from sizewise.http.client import HttpClient, HttpTimeouts
from sizewise.http.egress import EgressPolicy
from sizewise.settings.git import HostKind
from sizewise.settings.load import Settings

T = TypeVar("T")

TIMEOUTS = HttpTimeouts(total=30.0)
MAX_BYTES = 8_000_000
KNOWN: Mapping[str, HostKind] = {"github.com": "github", "gitlab.com": "gitlab", "codeberg.org": "gitea"}
API_PATHS: Mapping[HostKind, str] = {"github": "/api/v3", "gitea": "/api/v1", "gitlab": "/api/v4"}
CREATED = (200, 201)
EXISTS = (409, 422)
"""GitHub says 422, Gitea and GitLab 409."""
PAGE_SIZE = 50


class Change(Struct, frozen=True):
    """From `branch` to `target`."""

    title: str
    text: str
    branch: str
    target: str


class _Host(Struct, frozen=True):
    """`repository`: OWNER/NAME, in GitLab with all its groups."""

    kind: HostKind
    api: str
    repository: str


class PullRequests:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._host = _host_of(settings)

    async def open(self, change: Change, token: str) -> str:
        """Its URL; empty if no token or no kind of host is set. Raises ExternalFailure, EgressDenied."""
        host = self._host
        if host is None or not token:
            return ""
        egress = EgressPolicy({host.api: self._settings.git.place}, {"public": self._settings.egress.public})
        async with HttpClient(egress, proxies=self._settings.proxies, ca_file=self._settings.ca_file) as client:
            made = await _request(client, host, token, "POST", _path(host), _body(host, change))
            if made[0] in EXISTS:
                return await _find(client, host, token, change)
        if made[0] not in CREATED:
            raise ExternalFailure(
                f"the pull request was not opened: {host.api} answered with status {made[0]}",
                "the token of [git] needs the right to open pull requests",
            )
        return _url(_decoded(made[1], dict))


def _host_of(settings: Settings) -> _Host | None:
    """None where no pull request is to be opened."""
    git, parts = settings.git, urlsplit(settings.git.url)
    name = parts.hostname or ""
    kind = KNOWN.get(name, "none") if git.host == "auto" else git.host
    if kind == "none":
        return None
    base = f"http://{parts.netloc}" if parts.scheme == "http" else f"https://{name}"
    if parts.scheme == "https" and parts.port:
        base = f"https://{parts.netloc}"
    api = "https://api.github.com" if name == "github.com" else base + API_PATHS[kind]
    return _Host(kind, git.api.rstrip("/") or api, parts.path.strip("/").removesuffix(".git"))


def _path(host: _Host) -> str:
    if host.kind == "gitlab":
        return f"/projects/{quote(host.repository, safe='')}/merge_requests"
    return f"/repos/{host.repository}/pulls"


def _body(host: _Host, change: Change) -> bytes:
    if host.kind == "gitlab":
        branches = {"source_branch": change.branch, "target_branch": change.target}
        return msgspec.json.encode({"title": change.title, "description": change.text, **branches})
    return msgspec.json.encode(
        {"title": change.title, "body": change.text, "head": change.branch, "base": change.target}
    )


async def _find(client: HttpClient, host: _Host, token: str, change: Change) -> str:
    """The open one of the branch. Raises ExternalFailure."""
    asked: dict[str, str | int]
    if host.kind == "gitlab":
        asked = {"state": "opened", "source_branch": change.branch, "target_branch": change.target}
    elif host.kind == "github":
        owner = host.repository.partition("/")[0]
        asked = {"state": "open", "head": f"{owner}:{change.branch}", "base": change.target}
    else:
        asked = {"state": "open", "sort": "recentupdate", "limit": PAGE_SIZE}
    status, raw = await _request(client, host, token, "GET", f"{_path(host)}?{urlencode(asked)}")
    found = _decoded(raw, list) if status == 200 else []
    for each in found:
        if host.kind == "gitlab" or each.get("head", {}).get("ref") == change.branch:
            return _url(each)
    raise ExternalFailure(
        f"the pull request of {change.branch!r} was neither opened nor found: {host.api} answered with status {status}",
        "open it by hand",
    )


def _decoded(raw: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as error:
        raise ExternalFailure("the API of [git] did not answer as such APIs do", "check `host` and `api`") from error


def _url(answer: dict[str, Any]) -> str:
    """For a page to link to: never a script."""
    url = str(answer.get("html_url") or answer.get("web_url") or "")[:500]
    return url if url.startswith(("https://", "http://")) else ""


async def _request(
    client: HttpClient, host: _Host, token: str, method: str, path: str, body: bytes = b""
) -> tuple[int, bytes]:
    scheme = "token" if host.kind == "gitea" else "Bearer"
    headers = [
        ("authorization", f"{scheme} {token}"),
        ("accept", "application/json"),
        ("user-agent", "sizewise"),
        *([("content-type", "application/json")] if body else []),
    ]
    request = client.endpoint(host.api).request(
        method, path, body, headers, purpose="pull requests", data_class="public", timeouts=TIMEOUTS
    )
    async with await request as response:
        return response.status, await response.read(MAX_BYTES)
