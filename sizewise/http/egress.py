"""Egress policy: which data class may be sent to which origin; fails closed.

Where an endpoint runs is declared by its configuration. An address says nothing: what listens on loopback may forward
to a cloud. An origin nobody declared is reached by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from sizewise.data_class import PLACES, DataClass, Place, is_within
from sizewise.errors import ConfigError, EgressDenied, did_you_mean

DEFAULT_PORTS: Mapping[str, int] = {"http": 80, "https": 443}


def origin(url: str) -> str:
    """`url` cut down to scheme, host and port, in the one spelling that is compared: small letters, no default port.

    ConfigError when it is no http(s) URL or holds a name or password; the message then does not repeat it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as why:  # a port that is none, or a broken IPv6 host
        raise ConfigError(f"a URL cannot be read: {why}", "Write it as 'https://host:port/path'.") from why
    if "@" in parts.netloc:
        raise ConfigError(f"the URL of {host!r} holds a name or password", 'Give it as a key: key = "env:NAME".')
    if (
        parts.scheme not in DEFAULT_PORTS
        or not host
        or port == 0
        or not host.isascii()
        or not url.isprintable()
        or " " in url
    ):
        raise ConfigError(f"{url!r} is not an http or https URL", "Write it as 'https://host:port/path'.")
    shown = f"[{host}]" if ":" in host else host
    return (
        f"{parts.scheme}://{shown}"
        if port in (None, DEFAULT_PORTS[parts.scheme])
        else f"{parts.scheme}://{shown}:{port}"
    )


class EgressPolicy:
    """Which origins may be reached, and by which data. Immutable.

    `allowed` is URL -> where it runs; two URLs of one origin count as the wider of their places. `reach` is data class
    -> the furthest place for it; a class that is left out goes nowhere.
    """

    __slots__ = ("_allowed", "_allowed_pairs", "_reach")

    def __init__(self, allowed: Mapping[str, Place], reach: Mapping[DataClass, Place]) -> None:
        for name, place in (*allowed.items(), *reach.items()):
            if place not in PLACES:
                raise ConfigError(f"{name!r} has the place {place!r}, which is none", did_you_mean(place, PLACES))
        self._allowed: dict[str, Place] = {}
        for url, place in allowed.items():
            where = origin(url)
            self._allowed[where] = max(place, self._allowed.get(where, place), key=PLACES.index)
        self._reach = dict(reach)
        self._allowed_pairs = frozenset(
            (where, kind)
            for where, place in self._allowed.items()
            for kind, limit in self._reach.items()
            if is_within(limit, place)
        )

    def check(self, origin: str, *, purpose: str, data_class: DataClass, max_place: Place = "anyone") -> None:
        """EgressDenied unless data of `data_class` may go to `origin` (spelled as by `origin`). Under 1 us when it may.

        `purpose` is a few words for the person who is refused: "ask", "download". `max_place` is the furthest place
        for this very request, which can only be nearer than that of its class.
        """
        if (origin, data_class) not in self._allowed_pairs:
            raise self._denied(origin, purpose, data_class)
        if max_place != "anyone" and not is_within(max_place, self._allowed[origin]):
            place = self._allowed[origin]
            raise EgressDenied(
                f"this request may go no further than {max_place!r}, and {origin!r} is declared {place!r} ({purpose})",
                "Ask a model that runs nearer, or ask without denying it to go online.",
            )

    def place(self, origin: str) -> Place | None:
        """Where `origin` was declared to run; None when nobody declared it."""
        return self._allowed.get(origin)

    def with_origin(self, url: str, place: Place) -> EgressPolicy:
        """This, and one more origin: for what the user asked for by name, such as a download."""
        where = origin(url)
        wider = max(place, self._allowed.get(where, place), key=PLACES.index)
        return EgressPolicy({**self._allowed, where: wider}, self._reach)

    def _denied(self, origin: str, purpose: str, data_class: DataClass) -> EgressDenied:
        place, limit = self._allowed.get(origin), self._reach.get(data_class)
        if place is None:
            return EgressDenied(
                f"nothing may go to {origin!r} ({purpose}): the configuration does not name it",
                "If it should, give it a [providers.<name>] table with its base_url and place.",
            )
        if limit is None:
            return EgressDenied(
                f"{data_class!r} data may go nowhere ({purpose}): no reach was set for it",
                f"Set reach.{data_class}.",
            )
        return EgressDenied(
            f"{data_class!r} data may go no further than {limit!r}, and {origin!r} is declared {place!r} ({purpose})",
            f'Ask a model that runs nearer, or set reach.{data_class} = "{place}".',
        )
