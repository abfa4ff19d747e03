"""One page of the web for a base that names its origin as a source; goes nowhere else, by no redirect either."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from msgspec import Struct

from sizewise.data_class import DataClass, Place
from sizewise.errors import BadRequest, ConfigError, EgressDenied, Outside, Upstream
from sizewise.http.client import Client, Timeouts
from sizewise.http.egress import Egress, origin
from sizewise.http.proxies import Proxies
from sizewise.knowledge.load import LARGEST
from sizewise.settings.knowledge import Knowledge

REDIRECTS = 5
PATIENCE = Timeouts(connect=10.0, first_byte=30.0, between_bytes=30.0, total=300.0)


class Terms(Struct, frozen=True):
    """How closely what is asked must be kept, and how far it may go; None: nowhere."""

    data_class: DataClass
    limit: Place | None


class Web:
    """For one house. Each page on a connection of its own: this is no hot path, and leaves nothing open."""

    def __init__(self, reach: Mapping[DataClass, Place], proxies: Proxies, ca: Path | None) -> None:
        self._reach = reach
        self._proxies = proxies
        self._ca = ca

    async def page(self, url: str, said: Knowledge, terms: Terms) -> bytes | None:
        """What lies there; None where it is gone. Raises EgressDenied where no source of the base has its origin, and
        Outside, Upstream."""
        allowed = {origin(each): said.place for each in said.sources if is_url(each)}
        egress = Egress(allowed, self._reach)
        for _ in range(REDIRECTS + 1):
            where = _origin(url)
            if where not in allowed:
                hint = "name a URL there under `sources` in [knowledge.NAME] of sizewise.toml"
                raise EgressDenied(f"nothing is read from {where!r}: no source of this base lies there", hint)
            if terms.limit is None:
                raise EgressDenied(f"{terms.data_class!r} data may go nowhere", f"set reach.{terms.data_class}")
            parts = urlsplit(url)
            path = quote(f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", safe=string.punctuation)
            async with Client(egress, proxies=self._proxies, ca=self._ca) as client:
                response = await client.endpoint(where).request(
                    "GET",
                    path,
                    why="a source of knowledge",
                    data_class=terms.data_class,
                    limit=terms.limit,
                    timeouts=PATIENCE,
                )
                async with response:
                    if response.status == 200:
                        return await response.read(LARGEST)
                    to = response.get("location")
                    if response.status in (404, 410):
                        return None
                    if response.status not in (301, 302, 303, 307, 308) or not to:
                        raise Upstream(f"{where!r} answered {response.status} for a source", "open it in a browser")
            url = urljoin(url, to)
        raise Outside(f"more than {REDIRECTS} redirects, the last to {where!r}", "name the page itself")


def is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _origin(url: str) -> str:
    try:
        return origin(url)
    except ConfigError as error:
        raise BadRequest(error.message, error.hint, param="url") from error
