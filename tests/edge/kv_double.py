"""A double of Workers KV that a real workerd reads: what is deleted answers from its cache until that is old."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

SERVICE = '(name = "kv", external = (address = "127.0.0.1:{port}", http = ())),'
LOCAL = '(name = "KEYS", kvNamespace = "local")'


@dataclass
class Kv:
    """`now`: seconds, moved by the test. `refused`: reads while it was `away`."""

    values: dict[str, object]
    now: float = 0.0
    away: bool = False
    refused: int = 0
    port: int = 0
    _cached: dict[str, tuple[float, object]] = field(default_factory=dict)

    def read(self, key: str, ttl_s: float) -> object:
        """As a data center does: what it has read is good for as long as the reader said, also that there is none."""
        until, value = self._cached.get(key, (0.0, None))
        if until <= self.now:
            value = self.values.get(key)
            self._cached[key] = self.now + ttl_s, value
        return value

    def put_in(self, folder: Path) -> None:
        """The Worker of `folder` reads this KV from then on."""
        config = folder / "config.capnp"
        text = config.read_text()
        assert LOCAL in text
        text = text.replace(LOCAL, LOCAL.replace("local", "kv"))
        config.write_text(text.replace("services = [", f"services = [{SERVICE.format(port=self.port)}", 1))


@contextmanager
def kv_double(values: dict[str, object]) -> Iterator[Kv]:
    kv = Kv(values)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            ttl = float(parse_qs(parts.query).get("cache_ttl", ["60"])[0])
            kv.refused += kv.away
            found = None if kv.away else kv.read(unquote(parts.path[1:]), ttl)
            body = b"" if found is None else json.dumps(found).encode()
            self.send_response(500 if kv.away else 404 if found is None else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kv.port = server.server_port
    try:
        yield kv
    finally:
        server.shutdown()
        server.server_close()
