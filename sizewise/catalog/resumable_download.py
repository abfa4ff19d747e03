"""One file from one URL to one place, on from where it stopped; knows nothing of models and believes no server.

What arrives is bounded, and whole only when the sender said so; whether it is right is for the caller's sha256 to tell.
"""

from __future__ import annotations

import asyncio
import math
import string
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from sizewise.errors import Outside, Upstream
from sizewise.http.client import Client, Headers, Response, Timeouts
from sizewise.http.egress import Egress, origin
from sizewise.settings.load import Settings

REDIRECTS = 5
TRIES = 4  # in a row that brought nothing
PAUSE_S = 0.5  # seconds before the second of them, then double
PATIENCE = Timeouts(connect=15.0, first_byte=60.0, between_bytes=60.0, total=math.inf)
AGAIN = "Run the same command again: it resumes."
CHECK = "Check where it comes from; nothing of it was kept."
ELSE = "Check the address, or name another place: --from URL"
Progress = Callable[[int], None]
"""Is told how many bytes of the file are here."""


async def download(url: str, into: Path, most: int, settings: Settings, progress: Progress) -> None:
    """Completes `into`, which may hold the file's beginning. Connections that break are made anew a few times.

    Raises Outside when the file is larger than `most` bytes, or cannot be had; what has come by then stays.
    """
    tries = 0
    while True:
        before = _size(into)
        try:
            if await _go_on(url, into, most, settings, progress):
                return
            why = "the connection broke"
        except Upstream as error:
            why = error.message
        tries = 0 if _size(into) > before else tries + 1
        if tries == TRIES:
            raise Outside(f"the download from {urlsplit(url).netloc!r} failed: {why}", AGAIN)
        await asyncio.sleep(PAUSE_S * (2 ** (tries - 1)) if tries else 0)


async def _go_on(url: str, into: Path, most: int, settings: Settings, progress: Progress) -> bool:
    """One connection's worth of the file; says whether it is complete."""
    async with AsyncExitStack() as stack:
        have = _size(into)
        headers = [("range", f"bytes={have}-")] if have else []
        _, response = await opened(url, settings, stack, headers=headers, timeouts=PATIENCE)
        here, whole = _answer(response, have, urlsplit(url).netloc)
        if whole is not None and whole > most:
            raise _too_large(url, into, most)
        if response.status == 416 or here < 0:
            return _unless_wrong(into, whole)
        with into.open("ab") as file:
            file.truncate(here)
            progress(here)
            while block := await response.chunk():
                here += len(block)
                if here > most:
                    raise _too_large(url, into, most)
                file.write(block)
                progress(here)
        return whole is None or here == whole


def _unless_wrong(into: Path, whole: int | None) -> bool:
    """The server has nothing after what we have: it is all, or it was never this file's beginning."""
    if _size(into) == whole:
        return True
    into.unlink(missing_ok=True)
    return False


async def opened(
    url: str, settings: Settings, stack: AsyncExitStack, *, headers: Headers, timeouts: Timeouts
) -> tuple[str, Response]:
    """The URL and the response at the end of all redirects, open until the stack ends.

    Each origin on the way is allowed, because the user asked for what lies there. Raises Upstream, ConfigError for a
    URL that is none, and Outside for one that wants a sign-in, leads in circles or out of TLS.
    """
    for _ in range(REDIRECTS + 1):
        if "@" in urlsplit(url).netloc:  # pip hides the password of an index in its report
            raise _sign_in(urlsplit(url).hostname or "")
        egress = Egress({}, {"public": "anyone"}).allowing(url, "anyone")
        client = await stack.enter_async_context(Client(egress, proxies=settings.proxies, ca=settings.ca))
        where = origin(url)
        parts = urlsplit(url)
        path = quote(f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", safe=string.punctuation)
        response = await stack.enter_async_context(
            await client.endpoint(where, headers).request(
                "GET", path, why="download", data_class="public", timeouts=timeouts
            )
        )
        to = response.get("location")
        if response.status not in (301, 302, 303, 307, 308) or not to:
            return url, response
        url = urljoin(url, to)
        if where.startswith("https:") and not url.startswith("https:"):
            raise Outside(f"{where!r} sends on to an address without TLS", ELSE)
    raise Outside(f"more than {REDIRECTS} redirects, the last to {origin(url)!r}", ELSE)


def _answer(response: Response, have: int, host: str) -> tuple[int, int | None]:
    """Where the body begins in the file (-1: not where we asked), and the file's size when the server says it."""
    told = response.get("content-length") or ""
    if response.status == 200:
        return 0, int(told) if told.isdigit() else None
    span, _, whole = (response.get("content-range") or "").removeprefix("bytes ").partition("/")
    if response.status in (206, 416) and have:
        fits = response.status == 416 or span.startswith(f"{have}-")
        return have if fits else -1, int(whole) if whole.isdigit() else None
    if response.status in (401, 403, 407):
        raise _sign_in(host)
    if response.status == 429 or response.status >= 500:
        raise Upstream(f"it answered {response.status}")
    raise Outside(f"{host!r} answered {response.status} for the file", ELSE)


def _too_large(url: str, into: Path, most: int) -> Outside:
    into.unlink(missing_ok=True)
    return Outside(f"{shown(url)!r} holds more than the {most:,} bytes expected", CHECK)


def _sign_in(host: str) -> Outside:
    return Outside(
        f"{host!r} wants a sign-in that only pip knows",
        "Fetch the wheels with `pip download --no-deps --dest DIR NAME==VERSION`, then set PIP_FIND_LINKS=DIR",
    )


def shown(url: str) -> str:
    """The URL without what may be a token: a query, or a name and password."""
    bare = url.partition("?")[0]
    return bare if "@" not in urlsplit(url).netloc else f"the URL at {urlsplit(url).hostname}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
