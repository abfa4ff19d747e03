"""HTTP allowlist for `http` nodes: adds the key of a configured host, confines paths, follows no redirect."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

from sizewise.data_class import DataClass, Place
from sizewise.errors import BadRequest, EgressDenied, Forbidden
from sizewise.flows.host_requirements import host_name, origin_of
from sizewise.flows.language.diagnostics import did_you_mean
from sizewise.flows.node import HttpResponse
from sizewise.http.client import HttpClient, HttpEndpoint, HttpTimeouts
from sizewise.principal import Principal
from sizewise.settings.http_allowlist import HttpHostSettings
from sizewise.settings.load import resolve_secret

RESERVED_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})
"""Headers that a flow may not set: keys belong in the settings."""


class HttpAllowlist:
    """The HttpAccess of nodes. Immutable; belongs to one application."""

    def __init__(self, hosts: Mapping[str, HttpHostSettings], client: HttpClient) -> None:
        self._hosts = hosts
        self._client = client

    def match_url(self, url: str) -> tuple[str, str]:
        """The name of the host with a base URL that contains `url`, and the rest of the URL. Raises EgressDenied, and
        BadRequest for what is not a URL.
        """
        asked = _split_url(url)
        for name, host in self._hosts.items():
            base = urlsplit(host.url)
            below = asked.path == base.path or asked.path.startswith(f"{base.path.rstrip('/')}/")
            if (asked.scheme, asked.netloc.lower()) == (base.scheme, base.netloc.lower()) and below:
                target = asked.path[len(base.path.rstrip("/")) :]
                return name, f"{target}?{asked.query}" if asked.query else target
        where = origin_of(asked)[:100]
        name = host_name(where, self._hosts)
        hint = f'an administrator can allow it in sizewise.toml: [hosts.{name}] url = "{where}"'
        raise EgressDenied(f"flows are not allowed to call {where!r}", hint)

    async def __call__(
        self,
        principal: Principal,
        method: str,
        host: str,
        target: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        data_class: DataClass,
        limit: Place,
        max_bytes: int,
    ) -> HttpResponse:
        found = self._hosts.get(host)
        if found is None or not found.url:
            hint = did_you_mean(host, self._hosts) or "add it to [hosts.NAME] in sizewise.toml"
            raise BadRequest(f"there is no host {host[:60]!r} in the settings", hint)
        if found.projects and principal.project not in found.projects:
            raise Forbidden(
                f"flows of this project are not allowed to call the host {host!r}",
                "see `projects` in [hosts.NAME] of sizewise.toml",
            )
        if method not in found.methods:
            raise Forbidden(
                f"the host {host!r} does not allow {method}", f"allowed methods: {', '.join(found.methods)}"
            )
        if escapes_base_path(target):
            raise BadRequest("the path must not contain `..`", "Write the path below the host's URL.")
        sent = self._headers(found, headers)
        timeouts = HttpTimeouts(total=found.timeout_s)
        endpoint = self._endpoint(found)
        request = endpoint.request(
            method,
            target or "/",
            body,
            sent,
            purpose="a flow",
            data_class=data_class,
            max_place=limit,
            timeouts=timeouts,
        )
        async with await request as response:
            return HttpResponse(response.status, dict(response.headers), await response.read(max_bytes))

    def _endpoint(self, host: HttpHostSettings) -> HttpEndpoint:
        return self._client.endpoint(host.url)

    def _headers(self, host: HttpHostSettings, headers: Mapping[str, str]) -> list[tuple[str, str]]:
        said = [(name.lower(), value) for name, value in headers.items()]
        ours = {name.lower() for name in host.headers} | ({host.auth.lower()} if host.key else set())
        for name, _ in said:
            if name in RESERVED_HEADERS or name in ours:
                hint = "set it in [hosts.NAME] of sizewise.toml"
                raise BadRequest(f"a flow cannot set the header {name!r}", hint)
        sent = [*said, *host.headers.items()]
        if host.key:
            key = resolve_secret(host.key)
            sent.append(("authorization", f"Bearer {key}") if host.auth == "bearer" else (host.auth, key))
        return sent


def _split_url(url: str) -> SplitResult:
    """Raises BadRequest."""
    try:
        return urlsplit(url)
    except ValueError as error:
        shown = url.partition("?")[0][:100]
        raise BadRequest(f"{shown!r} is not a URL", "use one such as https://api.example.com/v1") from error


_SEPARATOR = re.compile(r"[/\\]")


def escapes_base_path(target: str) -> bool:
    """Whether `target` has a `..` segment, also if percent-encoded (once or twice), after `\\`, or before `;`."""
    parts = _SEPARATOR.split(unquote(unquote(target.partition("?")[0])))
    return any(part.partition(";")[0] == ".." for part in parts)
