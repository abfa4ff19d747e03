"""Serves the studio: its page under the addresses that it has, its built files under /studio; knows no page's content.

The files are built from web/ and committed (`make studio`); their names hold a hash of their content, so that browsers
keep them for ever. Nothing is loaded from elsewhere, and no script or style may stand in a page.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from importlib.resources import files

from sizewise.app.application import Application
from sizewise.auth.browser_security import check_host
from sizewise.errors import PathNotFound
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import ResponseWriter

PAGES = (
    *("/", "/inbox", "/play", "/flows", "/flows/{body}", "/records", "/records/{body}", "/runs", "/runs/{body}"),
    *("/records/sessions", "/batches", "/batches/{body}"),
    *("/spend", "/alerts", "/quality", "/quality/{body}", "/models", "/models/advise", "/models/{body:path}"),
    *("/access/keys", "/access/people", "/access/sessions", "/access/audit", "/account", "/spend/budgets", "/settings"),
    *("/knowledge", "/knowledge/{body:path}"),
    *("/releases", "/releases/edges", "/releases/plan/{body}", "/releases/canary/{body}", "/releases/{body}"),
    *("/prompts", "/prompts/{body}", "/evals", "/evals/compare", "/evals/judges", "/evals/runs/{body:path}"),
    *(
        "/evals/bias",
        "/evals/bias/{body}",
        "/small-models/tuning",
        "/small-models/tuning/{body}",
        "/small-models/adapters",
    ),
    *(
        "/evals/{body}",
        "/annotate",
        "/annotate/{body}",
        "/widgets",
        "/widgets/{body}",
        "/decisions",
        "/decisions/{body}",
    ),
)
"""Addresses of pages: those of web/src/routes.ts. All other paths are not found."""
FILES = "/studio/{body}"

INDEX = "index.html"
TYPES: Mapping[str, bytes] = {
    "html": b"text/html; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "svg": b"image/svg+xml",
}
SECURITY_HEADERS: Sequence[tuple[bytes, bytes]] = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
        b"connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
        b"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html",
    ),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
FOR_EVER = (b"cache-control", b"public, max-age=31536000, immutable")
ASK_AGAIN = (b"cache-control", b"no-cache")
PRELOADS = (b"link", b"</auth/session>; rel=preload; as=fetch; crossorigin")
"""The page asks for its session first: the browser asks while it still loads the scripts."""
VARIES = (b"vary", b"accept-encoding")


class BuiltFile:
    """One file of the build, read and compressed at its first request."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.content_type = (b"content-type", TYPES[name.rpartition(".")[2]])

    @cached_property
    def content(self) -> bytes:
        return files("sizewise").joinpath("studio", "built", self._name).read_bytes()

    @cached_property
    def compressed(self) -> bytes:
        return gzip.compress(self.content, mtime=0)

    @cached_property
    def etag(self) -> bytes:
        return f'W/"{sha256(self.content).hexdigest()[:32]}"'.encode()


class StudioFiles:
    """The route handlers of the studio. A request's path is looked up among the files, and never joined to a folder."""

    def __init__(self) -> None:
        names = [each.name for each in files("sizewise").joinpath("studio", "built").iterdir()]
        self._files = {name: BuiltFile(name) for name in names if name.rpartition(".")[2] in TYPES}

    async def page(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        """The one page; which of its views is shown is decided in the browser. Raises Forbidden for an unknown host."""
        await _send(app, head, writer, self._files[INDEX], ASK_AGAIN, PRELOADS)

    async def file(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        """A script, style or picture of the page. Raises PathNotFound, Forbidden."""
        name = body.decode("utf-8", "replace")
        found = self._files.get(name)
        if found is None or name == INDEX:
            hint = "load the page again: a new version has new names"
            raise PathNotFound(f"the studio has no file {name[:100]!r}", hint)
        await _send(app, head, writer, found, FOR_EVER)


async def _send(
    app: Application, head: RequestHead, writer: ResponseWriter, found: BuiltFile, *more: tuple[bytes, bytes]
) -> None:
    check_host(head.host, app.allowed_hosts)
    headers = [found.content_type, *more, VARIES, (b"etag", found.etag), *SECURITY_HEADERS]
    sent = dict(head.headers)
    if found.etag in sent.get(b"if-none-match", b""):
        return await writer.send_response(304, headers, b"")
    if b"gzip" not in sent.get(b"accept-encoding", b""):
        return await writer.send_response(200, headers, found.content)
    packed = await app.resources.offload.in_thread(lambda: found.compressed)
    await writer.send_response(200, [*headers, (b"content-encoding", b"gzip")], packed)
