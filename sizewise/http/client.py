"""Our HTTP/1.1 client: an endpoint, a request, a response; never redirects, never goes where egress does not let it.

A request is sent again, once, only when its server cannot have read it: the kept connection was dead before we wrote,
or the method is GET or HEAD. A POST that went out on a connection which then closed without a word may have been
worked on (and paid for), so it raises UpstreamDown, and routing/route.py decides. RFC 9112 section 9.3.1; Go's
net/http has the same rule.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from sizewise import __version__
from sizewise.data_class import DataClass, Place
from sizewise.errors import BadRequest, ConfigError, SizewiseError, UpstreamDown, UpstreamGarbled
from sizewise.http.connection import Connection, fields
from sizewise.http.dialer import Trust, Way, route
from sizewise.http.egress import PORTS, Egress, origin
from sizewise.http.pool import Pool
from sizewise.http.proxies import Proxies
from sizewise.http.write_coalescing import Cork

Headers = Sequence[tuple[str, str]]

IDLE_S = 15.0
HEADS = 256  # heads kept ready for each endpoint; more paths than this are not a hot path

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_TARGET = re.compile(r"/[!-~]*\Z")
_VALUE = re.compile(r"[\t -~\x80-\xff]*\Z")
_OURS = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "upgrade", "expect", "te", "trailer", "keep-alive"}
)
_SAFE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines of one request, in seconds; math.inf for none."""

    connect: float = 5.0  # until there is a connection: waiting for a free one, name, TLS
    first_byte: float = 120.0  # from the request sent to the head of the response
    between_bytes: float = 60.0  # of silence within the body, while somebody wants more of it
    total: float = 600.0  # all of it


USUAL = Timeouts()


class Response:
    """What came back. Read it to the end, or close it: `async with await endpoint.request(...) as response:`.

    One reader at a time. A reader that is cancelled closes the socket, so that the upstream stops.
    """

    __slots__ = ("_closed", "_connection", "_head", "status")

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self._head = connection.head
        self._closed = False
        self.status = connection.status

    @property
    def headers(self) -> list[tuple[str, str]]:
        """In their order, with names in small letters."""
        return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in fields(self._head)]

    def get(self, name: str) -> str | None:
        """The value of the first header called `name`, in any case."""
        wanted = name.lower().encode("latin-1")
        for field, value in fields(self._head):
            if len(field) == len(wanted) and field.lower() == wanted:
                return value.decode("latin-1")
        return None

    async def chunk(self) -> bytes:
        """All that came since the last call, at least one byte; b"" at the end and after.

        UpstreamGarbled when the body is cut short: that is never an end. UpstreamSlow when a deadline passed.
        """
        connection = self._connection
        if connection is None:
            if self._closed:
                raise RuntimeError("this response was closed before its end")
            return b""
        if not connection.parts and not connection.ended and connection.error is None:
            try:
                await connection.more()
            except asyncio.CancelledError:
                connection.abort()
                raise
        data = connection.take()
        if connection.ended:
            self._connection = None
            connection.free()
        return data

    async def read(self, limit: int) -> bytes:
        """All of the rest; UpstreamGarbled when it is more than `limit` bytes."""
        connection = self._connection
        if connection is not None and connection.ended:  # nearly always: all of it came at once
            data, self._connection = connection.take(), None
            connection.free()
        else:
            data = await self.chunk()
        if self._connection is None and len(data) <= limit:
            return data
        parts, size = [data], len(data)
        large = max(size, int(self.get("content-length") or 0)) > limit
        while not large and (data := await self.chunk()):
            parts.append(data)
            size += len(data)
            large = size > limit
        if large:
            self.close()
            raise UpstreamGarbled(f"the answer is larger than {limit} bytes", "Is this the right endpoint?")
        return b"".join(parts)

    def finish(self) -> None:
        """Nothing more is wanted and the end is near, as after a stream's `[DONE]`.

        The connection is used again if the end comes soon, without anybody waiting; else it is closed.
        """
        self._leave(abrupt=False)

    def close(self) -> None:
        """Idempotent. Where the body has not come to its end, it closes the socket at once."""
        if self._connection is not None:
            self._leave(abrupt=True)

    async def __aenter__(self) -> Response:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _leave(self, *, abrupt: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._closed = True
        if connection.ended:
            connection.free()
        elif abrupt or connection.error is not None:
            connection.abort()
        else:
            connection.linger()


class Endpoint:
    """A base URL with its headers, parsed once. Made by `Client.endpoint`."""

    def __init__(self, url: str, headers: Headers, egress: Egress, pool: Pool) -> None:
        self.origin = origin(url)
        self._egress = egress
        self._pool = pool
        parts = urlsplit(url)
        if parts.query or parts.fragment:
            raise ConfigError(f"the base URL of {self.origin!r} goes on after its path", "End it before '?' and '#'.")
        # A proxy for plain http is told the whole URL and does the rest; through a tunnel it sees none of this.
        plainly = pool.way.proxy if pool.way.tls is None else None
        self._base = (self.origin if plainly else "") + parts.path.rstrip("/")
        usual = {"accept": "*/*", "accept-encoding": "identity", "user-agent": f"sizewise/{__version__}"}
        given = {name.lower() for name, _ in headers}
        fixed = [(name, value) for name, value in usual.items() if name not in given]
        if plainly and plainly.authorization:
            fixed.append(("proxy-authorization", plainly.authorization))
        self._fixed = f"host: {self.origin.partition('://')[2]}\r\n".encode() + _lines([*fixed, *headers], ConfigError)
        self._heads: dict[tuple[str, str], bytes] = {}

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Headers = (),
        *,
        why: str,
        data_class: DataClass,
        limit: Place = "anyone",
        timeouts: Timeouts = USUAL,
    ) -> Response:
        """Sends it and returns when the head of the response is there, whatever its status; 3xx is not followed.

        `path` is appended to the base URL's own, so "/" and what follows. EgressDenied, UpstreamDown, UpstreamSlow,
        UpstreamGarbled; none of their messages holds the path, a header or the body.
        """
        self._egress.check(self.origin, why=why, data_class=data_class, limit=limit)
        since = now = asyncio.get_running_loop().time()
        head = self._heads.get((method, path)) or self._head(method, path)
        if headers:
            head += _lines(headers, BadRequest)
        head += b"content-length: %d\r\n\r\n" % len(body)
        connection, again = self._pool.take(), False
        while True:
            if connection is None:
                connection = await self._pool.open(min(timeouts.connect, timeouts.total))
                now = asyncio.get_running_loop().time()
            first_s, between_s = timeouts.first_byte, timeouts.between_bytes
            try:
                await connection.ask(head, body, method == "HEAD", first_s, between_s, timeouts.total, now, since)
            except asyncio.CancelledError:
                connection.abort()
                raise
            failure = connection.failure()
            if failure is None:
                return Response(connection)
            unread = connection.unread_by_peer or method in _SAFE
            if not isinstance(failure, UpstreamDown) or again or not connection.used or not unread:
                raise failure
            self._pool.drop()  # where one kept connection was dead, the others hardly live
            connection, again = None, True

    def _head(self, method: str, path: str) -> bytes:
        target = self._base + path
        if not _TOKEN.match(method) or method == "CONNECT" or not _TARGET.match(path):
            raise BadRequest(f"{method!r} with a path of {len(path)} characters cannot be sent", "Encode the path.")
        head = f"{method} {target} HTTP/1.1\r\n".encode() + self._fixed
        if len(self._heads) < HEADS:
            self._heads[method, path] = head
        return head


class Client:
    """All connections to the outside, by one egress. Use: `async with Client(egress) as client:`.

    `ca` is a file of authorities instead of the system's. One client lives in one event loop.
    """

    def __init__(
        self,
        egress: Egress,
        *,
        proxies: Proxies | None = None,
        ca: Path | None = None,
        idle_s: float = IDLE_S,
        trust: Trust | None = None,
    ) -> None:
        """`trust` goes before `ca`."""
        self._egress = egress
        self._proxies = proxies or Proxies()
        self._trust = trust or Trust(ca)
        self._idle_s = idle_s
        self._cork = Cork()
        self._pools: dict[str, Pool] = {}

    def endpoint(self, base_url: str, headers: Headers = (), *, pool: int = 512) -> Endpoint:
        """`headers` go with every request. `pool` bounds the connections; endpoints of one origin share the larger.

        ConfigError for a URL or header that cannot be sent, without showing a header's value.
        """
        where = origin(base_url)
        if where not in self._pools:
            self._pools[where] = Pool(self._way(where), pool, self._idle_s, self._cork)
        shared = self._pools[where]
        shared.limit = max(shared.limit, pool)
        return Endpoint(base_url, headers, self._egress, shared)

    def retire(self) -> None:
        """Closes what is idle; what is in use is closed when its exchange is over. For a house that is replaced."""
        for pool in self._pools.values():
            pool.retire()

    async def close(self) -> None:
        """Closes everything at once, and returns when it is closed."""
        for pool in self._pools.values():
            await pool.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _way(self, where: str) -> Way:
        parts = urlsplit(where)
        # What was declared to run here is never sent by way of a proxy, which may stand anywhere.
        here = self._egress.place(where) in ("process", "machine")
        by = "" if here else self._proxies.before(parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme])
        return route(where, by, self._trust)


Refusal = TypeVar("Refusal", bound=SizewiseError)


def _lines(headers: Headers, refusal: type[Refusal]) -> bytes:
    """Header lines; what would break out of its line, or frame the message anew, is refused."""
    for name, value in headers:
        if not _TOKEN.match(name) or name.lower() in _OURS:
            raise refusal(f"a header cannot be called {name[:100]!r}", "Leave it out, or mend its name.")
        if not _VALUE.match(value):
            raise refusal(f"the value of the header {name!r} holds a line break or the like", "Make it one plain line.")
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
