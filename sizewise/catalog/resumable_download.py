"""Resumable download of one URL to one file; limits the size and detects a cut, but verifies no checksum."""

from __future__ import annotations

import asyncio
import math
import string
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from sizewise.errors import ExternalFailure, UpstreamError
from sizewise.http.client import ClientResponse, HttpClient, HttpHeaders, HttpTimeouts
from sizewise.http.egress import EgressPolicy, origin
from sizewise.settings.load import Settings

MAX_REDIRECTS = 5
MAX_ATTEMPTS = 4  # consecutive ones without progress
RETRY_PAUSE_S = 0.5  # seconds before the second, then doubling
TIMEOUTS = HttpTimeouts(connect=15.0, first_byte=60.0, between_bytes=60.0, total=math.inf)
RESUME_HINT = "Run the same command again: it resumes."
SOURCE_HINT = "Check where the file comes from; nothing was kept."
ADDRESS_HINT = "Check the URL, or use another one: --from URL"
DownloadProgress = Callable[[int], None]
"""Called with the number of bytes received so far."""


async def download(url: str, path: Path, max_bytes: int, settings: Settings, progress: DownloadProgress) -> None:
    """Completes `path`, which may hold the beginning of the file; reconnects a few times if the connection breaks.

    Raises ExternalFailure if the file is larger than `max_bytes` or cannot be downloaded; received bytes are kept.
    """
    tries = 0
    while True:
        before = _size(path)
        try:
            if await _resume(url, path, max_bytes, settings, progress):
                return
            why = "the connection was lost"
        except UpstreamError as error:
            why = error.message
        tries = 0 if _size(path) > before else tries + 1
        if tries == MAX_ATTEMPTS:
            raise ExternalFailure(f"the download from {urlsplit(url).netloc!r} failed: {why}", RESUME_HINT)
        await asyncio.sleep(RETRY_PAUSE_S * (2 ** (tries - 1)) if tries else 0)


async def _resume(url: str, path: Path, max_bytes: int, settings: Settings, progress: DownloadProgress) -> bool:
    """Downloads over one connection. True if the file is complete."""
    async with AsyncExitStack() as stack:
        have = _size(path)
        headers = [("range", f"bytes={have}-")] if have else []
        _, response = await open_url(url, settings, stack, headers=headers, timeouts=TIMEOUTS)
        here, whole = _content_range(response, have, urlsplit(url).netloc)
        if whole is not None and whole > max_bytes:
            raise _too_large(url, path, max_bytes)
        if response.status == 416 or here < 0:
            return _is_complete(path, whole)
        with path.open("ab") as file:
            file.truncate(here)
            progress(here)
            while block := await response.read_chunk():
                here += len(block)
                if here > max_bytes:
                    raise _too_large(url, path, max_bytes)
                file.write(block)
                progress(here)
        return whole is None or here == whole


def _is_complete(path: Path, total_bytes: int | None) -> bool:
    """The server has no more bytes: either the file is complete, or it has a wrong beginning and is deleted."""
    if _size(path) == total_bytes:
        return True
    path.unlink(missing_ok=True)
    return False


async def open_url(
    url: str,
    settings: Settings,
    stack: AsyncExitStack,
    *,
    headers: HttpHeaders,
    timeouts: HttpTimeouts,
) -> tuple[str, ClientResponse]:
    """The final URL and its response after all redirects, open until the stack ends.

    Every origin on the way is allowed, since the user named the download. Raises UpstreamError, ConfigError for an
    invalid URL, and ExternalFailure for a sign-in, too many redirects or one that leaves TLS.
    """
    for _ in range(MAX_REDIRECTS + 1):
        if "@" in urlsplit(url).netloc:  # pip redacts the password of an index in its report
            raise _sign_in(urlsplit(url).hostname or "")
        egress = EgressPolicy({}, {"public": "anyone"}).with_origin(url, "anyone")
        client = await stack.enter_async_context(HttpClient(egress, proxies=settings.proxies, ca_file=settings.ca_file))
        where = origin(url)
        parts = urlsplit(url)
        path = quote(f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", safe=string.punctuation)
        response = await stack.enter_async_context(
            await client.endpoint(where, headers).request(
                "GET",
                path,
                purpose="download",
                data_class="public",
                timeouts=timeouts,
            ),
        )
        to = response.header("location")
        if response.status not in (301, 302, 303, 307, 308) or not to:
            return url, response
        url = urljoin(url, to)
        if where.startswith("https:") and not url.startswith("https:"):
            raise ExternalFailure(f"{where!r} redirects to an address without TLS", ADDRESS_HINT)
    raise ExternalFailure(f"more than {MAX_REDIRECTS} redirects, the last to {origin(url)!r}", ADDRESS_HINT)


def _content_range(response: ClientResponse, have: int, host: str) -> tuple[int, int | None]:
    """Offset of the body in the file (-1: not the requested one), and the file's size if known."""
    told = response.header("content-length") or ""
    if response.status == 200:
        return 0, int(told) if told.isdigit() else None
    span, _, whole = (response.header("content-range") or "").removeprefix("bytes ").partition("/")
    if response.status in (206, 416) and have:
        fits = response.status == 416 or span.startswith(f"{have}-")
        return have if fits else -1, int(whole) if whole.isdigit() else None
    if response.status in (401, 403, 407):
        raise _sign_in(host)
    if response.status == 429 or response.status >= 500:
        raise UpstreamError(f"the server responded with status {response.status}")
    raise ExternalFailure(f"{host!r} responded with status {response.status}", ADDRESS_HINT)


def _too_large(url: str, path: Path, max_bytes: int) -> ExternalFailure:
    path.unlink(missing_ok=True)
    return ExternalFailure(f"{redact_url(url)!r} is larger than the expected {max_bytes:,} bytes", SOURCE_HINT)


def _sign_in(host: str) -> ExternalFailure:
    return ExternalFailure(
        f"{host!r} requires credentials that only pip has",
        "Download the wheels with `pip download --no-deps --dest DIR NAME==VERSION`, then set PIP_FIND_LINKS=DIR",
    )


def redact_url(url: str) -> str:
    """The URL without parts that may be secret: query, user and password."""
    bare = url.partition("?")[0]
    return bare if "@" not in urlsplit(url).netloc else f"the URL at {urlsplit(url).hostname}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
