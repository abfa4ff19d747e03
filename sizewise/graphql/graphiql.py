"""Serves GraphiQL at GET /graphql from packaged files alone; loads nothing from elsewhere."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files

from starlette.types import Send

PAGE = "page.html"
HTML = b"text/html; charset=utf-8"
JS = b"text/javascript; charset=utf-8"
CSS = b"text/css; charset=utf-8"
ASSETS: Mapping[str, bytes] = {
    "graphiql.min.js": JS,
    "graphiql.min.css": CSS,
    "react.production.min.js": JS,
    "react-dom.production.min.js": JS,
    "page.js": JS,
    "page.css": CSS,
}
"""Third-party files are stored compressed, by requirements/graphiql/vendor.py; LICENCES.txt has their licenses."""

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; font-src data:; img-src data:; connect-src 'self'; "
    b"form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
SAFE: Sequence[tuple[bytes, bytes]] = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


def is_page_request(method: str, path: str, headers: Mapping[bytes, str]) -> bool:
    """Whether a browser requests the page or one of its files."""
    if method not in ("GET", "HEAD"):
        return False
    return path != "/graphql" or "text/html" in headers.get(b"accept", "")


class GraphiQLAssets:
    """Caches each file in compressed form."""

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}

    async def serve(self, path: str, headers: Mapping[bytes, str], send: Send) -> bool:
        """Whether there is such a file; if not, nothing was sent."""
        name = path.removeprefix("/graphql").removeprefix("/") or PAGE
        kind = HTML if path == "/graphql" else ASSETS.get(name)
        if kind is None:
            return False
        body = self._compressed(name)
        tag = f'W/"{sha256(body).hexdigest()[:32]}"'
        said = [(b"content-type", kind), (b"cache-control", b"no-cache"), (b"vary", b"accept, accept-encoding"), *SAFE]
        said.append((b"etag", tag.encode()))
        if tag in headers.get(b"if-none-match", ""):
            await send({"type": "http.response.start", "status": 304, "headers": said})
            await send({"type": "http.response.body"})
            return True
        if "gzip" in headers.get(b"accept-encoding", ""):
            said.append((b"content-encoding", b"gzip"))
        else:
            body = gzip.decompress(body)
        said.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": 200, "headers": said})
        await send({"type": "http.response.body", "body": body})
        return True

    def _compressed(self, name: str) -> bytes:
        if name not in self._packed:
            folder = files("sizewise.graphql").joinpath("graphiql")
            packed = folder.joinpath(f"{name}.gz")
            whole = packed.is_file()
            self._packed[name] = packed.read_bytes() if whole else gzip.compress(folder.joinpath(name).read_bytes())
        return self._packed[name]
