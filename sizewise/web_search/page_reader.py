"""Page reader: the texts of found pages that lie below declared sites; follows no link and no redirect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from msgspec.structs import replace

from sizewise.errors import SizewiseError
from sizewise.knowledge.document import Document
from sizewise.web_search.search_engines import WebResult

MAX_PAGE_CHARS = 6_000
"""Of a page, the model gets its beginning."""
READ_TIMEOUT_S = 10
GetPage = Callable[[str, str], Awaitable[tuple[int, bytes]]]
"""Base URL and path -> status and body. Raises SizewiseError."""
ReadPage = Callable[[bytes, str, float], Awaitable[Document]]
"""Page, name and timeout in seconds -> its document. Raises SizewiseError."""


async def with_pages(
    found: Sequence[WebResult], sites: Sequence[str], limit: int, get: GetPage, read: ReadPage
) -> list[WebResult]:
    """The results, at most `limit` of them with the text of their page; one that cannot be read keeps its excerpt."""
    readable = [(each, site) for each in found if (site := _site_of(each.url, sites))][:limit]
    pages = await asyncio.gather(*[_page(each, site, get, read) for each, site in readable])
    texts = {each.url: each for each in pages}
    return [texts.get(each.url, each) for each in found]


async def _page(result: WebResult, site: str, get: GetPage, read: ReadPage) -> WebResult:
    parts = urlsplit(result.url)
    path = parts.path[len(urlsplit(site).path.rstrip("/")) :] or "/"
    try:
        status, body = await get(site, f"{path}?{parts.query}" if parts.query else path)
        if status != 200:
            return result
        text = (await read(body, parts.path, READ_TIMEOUT_S)).text.strip()
    except SizewiseError:
        return result
    return replace(result, text=text[:MAX_PAGE_CHARS], is_page=True) if text else result


def _site_of(url: str, sites: Sequence[str]) -> str:
    """The site that the page is below; empty: none."""
    asked = urlsplit(url)
    if ".." in asked.path or "%2e" in asked.path.lower() or "\\" in asked.path:
        return ""
    for site in sites:
        base = urlsplit(site)
        root = base.path.rstrip("/")
        is_same = (asked.scheme, asked.netloc.lower()) == (base.scheme, base.netloc.lower())
        if is_same and (not root or asked.path == root or asked.path.startswith(f"{root}/")):
            return site
    return ""
