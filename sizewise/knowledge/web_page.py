"""Fetches one web page for a base that lists its origin as a source; follows no redirect to another origin."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from msgspec import Struct

from sizewise.data_class import DataClass, Place
from sizewise.errors import BadRequest, ConfigError, EgressDenied, ExternalFailure, UpstreamError
from sizewise.http.client import HttpClient, HttpTimeouts
from sizewise.http.egress import EgressPolicy, origin
from sizewise.http.proxies import ProxyConfig
from sizewise.knowledge.load import MAX_FILE_BYTES
from sizewise.settings.knowledge import KnowledgeSettings

MAX_REDIRECTS = 5
TIMEOUTS = HttpTimeouts(connect=10.0, first_byte=30.0, between_bytes=30.0, total=300.0)


class RequestDataBounds(Struct, frozen=True):
    """Data class of a request, and how far it may go; None: nowhere."""

    data_class: DataClass
    limit: Place | None


class WebPageFetcher:
    """Opens a connection per page and keeps none open."""

    def __init__(self, reach: Mapping[DataClass, Place], proxies: ProxyConfig, ca: Path | None) -> None:
        self._reach = reach
        self._proxies = proxies
        self._ca = ca

    async def fetch(self, url: str, settings: KnowledgeSettings, bounds: RequestDataBounds) -> bytes | None:
        """The page's bytes; None for status 404 and 410. Raises EgressDenied if no source of the base has this origin,
        BadRequest, ExternalFailure, UpstreamError.
        """
        allowed = {origin(each): settings.place for each in settings.sources if is_url(each)}
        egress = EgressPolicy(allowed, self._reach)
        for _ in range(MAX_REDIRECTS + 1):
            where = _origin(url)
            if where not in allowed:
                hint = "add a URL of that origin to `sources` in [knowledge.NAME] of sizewise.toml"
                raise EgressDenied(f"{where!r} is not the origin of any source of this knowledge base", hint)
            if bounds.limit is None:
                raise EgressDenied(
                    f"{bounds.data_class!r} data may not leave this process",
                    f"set egress.{bounds.data_class} in sizewise.toml",
                )
            parts = urlsplit(url)
            path = quote(f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", safe=string.punctuation)
            async with HttpClient(egress, proxies=self._proxies, ca_file=self._ca) as client:
                response = await client.endpoint(where).request(
                    "GET",
                    path,
                    purpose="a source of knowledge",
                    data_class=bounds.data_class,
                    max_place=bounds.limit,
                    timeouts=TIMEOUTS,
                )
                async with response:
                    if response.status == 200:
                        return await response.read(MAX_FILE_BYTES)
                    to = response.header("location")
                    if response.status in (404, 410):
                        return None
                    if response.status not in (301, 302, 303, 307, 308) or not to:
                        raise UpstreamError(
                            f"{where!r} responded with status {response.status}",
                            "open the page in a browser",
                        )
            url = urljoin(url, to)
        raise ExternalFailure(
            f"more than {MAX_REDIRECTS} redirects, the last to {where!r}", "use the URL of the page itself"
        )


def is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _origin(url: str) -> str:
    try:
        return origin(url)
    except ConfigError as error:
        raise BadRequest(error.message, error.hint, param="url") from error
