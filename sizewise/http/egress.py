"""Egress policy: which data class may be sent to which origin; fails closed.

Configuration declares where an endpoint runs. The address proves nothing: a server on loopback may forward to a cloud.
An undeclared origin is unreachable.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from sizewise.data_class import PLACES, DataClass, Place, is_within
from sizewise.errors import ConfigError, EgressDenied, did_you_mean

DEFAULT_PORTS: Mapping[str, int] = {"http": 80, "https": 443}


MAIL_PORTS: Mapping[str, int] = {"smtp": 587, "smtps": 465}


def mail_origin(url: str) -> str:
    """`origin` of a mail server. Raises ConfigError."""
    return origin(url, MAIL_PORTS)


def origin(url: str, ports: Mapping[str, int] = DEFAULT_PORTS) -> str:
    """The scheme, host and port of `url` in normalized form: lower case, without a default port. `ports`: of the
    schemes that are allowed.

    Raises ConfigError for a URL that is not http(s) or contains a user or password, which the message does not show.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as why:  # an invalid port or IPv6 host
        raise ConfigError(f"a URL cannot be read: {why}", "Write it as 'https://host:port/path'.") from why
    if "@" in parts.netloc:
        raise ConfigError(f"the URL of {host!r} contains a user or password", 'Use a key instead: key = "env:NAME".')
    if parts.scheme not in ports or not host or port == 0 or not host.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(f"{url!r} is not an http or https URL", "Write it as 'https://host:port/path'.")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" if port in (None, ports[parts.scheme]) else f"{parts.scheme}://{shown}:{port}"


def _any_origin(url: str) -> str:
    return origin(url, {**DEFAULT_PORTS, **MAIL_PORTS})


class EgressPolicy:
    """Which data may be sent to which origins. Immutable.

    `allowed`: URL -> where it runs; for two URLs of one origin the wider place counts. `reach`: data class -> its
    farthest place; a missing class may be sent nowhere.
    """

    __slots__ = ("_allowed", "_allowed_pairs", "_reach")

    def __init__(self, allowed: Mapping[str, Place], reach: Mapping[DataClass, Place]) -> None:
        for name, place in (*allowed.items(), *reach.items()):
            if place not in PLACES:
                raise ConfigError(f"{name!r} has the unknown place {place!r}", did_you_mean(place, PLACES))
        self._allowed: dict[str, Place] = {}
        for url, place in allowed.items():
            where = _any_origin(url)
            self._allowed[where] = max(place, self._allowed.get(where, place), key=PLACES.index)
        self._reach = dict(reach)
        self._allowed_pairs = frozenset(
            (where, kind)
            for where, place in self._allowed.items()
            for kind, limit in self._reach.items()
            if is_within(limit, place)
        )

    def check(self, origin: str, *, purpose: str, data_class: DataClass, max_place: Place = "anyone") -> None:
        """Raises EgressDenied unless `data_class` may be sent to `origin` (as returned by `origin`). Takes under 1 us.

        `purpose`: a few words for the message, such as "ask" or "download". `max_place`: the farthest place for this
        request; it can only restrict that of its class.
        """
        if (origin, data_class) not in self._allowed_pairs:
            raise self._denied(origin, purpose, data_class)
        if max_place != "anyone" and not is_within(max_place, self._allowed[origin]):
            place = self._allowed[origin]
            raise EgressDenied(
                f"this request may reach {max_place!r} at most, and {origin!r} is declared {place!r} ({purpose})",
                "Use a model that runs nearer, or allow `online` for this request.",
            )

    def place(self, origin: str) -> Place | None:
        """Where `origin` is declared to run; None if undeclared."""
        return self._allowed.get(origin)

    def with_origin(self, url: str, place: Place) -> EgressPolicy:
        """This policy plus one origin, for a target that the user named, such as a download."""
        where = _any_origin(url)
        wider = max(place, self._allowed.get(where, place), key=PLACES.index)
        return EgressPolicy({**self._allowed, where: wider}, self._reach)

    def _denied(self, origin: str, purpose: str, data_class: DataClass) -> EgressDenied:
        place, limit = self._allowed.get(origin), self._reach.get(data_class)
        if place is None:
            return EgressDenied(
                f"no data may be sent to {origin!r} ({purpose}): the settings do not declare it",
                "To allow it, add a [providers.<name>] table with its base_url and place.",
            )
        if limit is None:
            return EgressDenied(
                f"{data_class!r} data may not be sent anywhere ({purpose}): no place is set for it",
                f"Set `{data_class}` in [egress] of sizewise.toml.",
            )
        return EgressDenied(
            f"{data_class!r} data may reach {limit!r} at most, and {origin!r} is declared {place!r} ({purpose})",
            f'Use a model that runs nearer, or set `{data_class} = "{place}"` in [egress].',
        )
