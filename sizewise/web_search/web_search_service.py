"""Web search service: searches within a data class, and logs each search without its words."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from msgspec.structs import replace

from sizewise.audit_log.audit_log import AuditLog
from sizewise.auth.api_keys import audit_event
from sizewise.data_class import DataBounds
from sizewise.errors import EgressDenied
from sizewise.http.client import HttpClient, HttpTimeouts
from sizewise.knowledge.chunk import TextChunk
from sizewise.knowledge.injection_scan import find_suspects
from sizewise.principal import Principal
from sizewise.settings.load import resolve_secret
from sizewise.settings.web_search import WebSearchSettings
from sizewise.web_search.page_reader import ReadPage, with_pages
from sizewise.web_search.search_engines import ENGINES, WebQuery, WebResult, selected

MAX_BYTES = 4_000_000  # of the engine's answer, or of a page
PURPOSE = "web search"


@dataclass(frozen=True, slots=True)
class WebSearchService:
    """Belongs to one application."""

    settings: WebSearchSettings
    client: HttpClient
    audit_log: AuditLog
    read_page: ReadPage

    async def search(self, principal: Principal, query: WebQuery, bounds: DataBounds, trace: str) -> list[WebResult]:
        """The results, without those that are surely a prompt injection. `bounds`: those of the query.

        Raises EgressDenied before anything is sent, UpstreamError and ExternalFailure.
        """
        outcome, kept = "failed", list[WebResult]()
        found: list[WebResult] = []
        try:
            found = await self._find(query, bounds)
            found = await with_pages(
                found,
                self.settings.fetch_urls,
                self.settings.max_pages,
                lambda site, path: self._send(site, "GET", path, b"", (), bounds),
                self.read_page,
            )
            kept = await asyncio.to_thread(_without_injections, found)  # 30 ms for five results with two pages
            outcome = "searched"
        except EgressDenied:
            outcome = "denied"
            raise
        finally:
            after: dict[str, object] = {
                "outcome": outcome,
                "results": len(kept),
                "left_out": len(found) - len(kept),
                "pages": sum(each.is_page for each in kept),
                "data_class": bounds.data_class,
                "trace": trace,
            }
            thing = f"web_search:{urlsplit(self.settings.url).hostname}"
            await self.audit_log.append(audit_event(principal, principal.tenant, "web_search", thing, after=after))
        return kept

    async def _find(self, query: WebQuery, bounds: DataBounds) -> list[WebResult]:
        settings, engine = self.settings, ENGINES[self.settings.engine]
        asked = engine.request(query, settings.max_results)
        headers = [*asked.headers]
        if settings.key:
            key, name = resolve_secret(settings.key), engine.key_header or settings.auth
            headers.append(("authorization", f"Bearer {key}") if name == "bearer" else (name, key))
        status, body = await self._send(settings.url, asked.method, asked.path, asked.body, headers, bounds)
        return selected(engine.results(status, body), query, settings.max_results)

    async def _send(
        self,
        url: str,
        method: str,
        path: str,
        body: bytes,
        headers: Sequence[tuple[str, str]],
        bounds: DataBounds,
    ) -> tuple[int, bytes]:
        if bounds.limit is None:
            raise EgressDenied(f"{bounds.data_class!r} data may not be sent anywhere ({PURPOSE})", "see [egress]")
        send = partial(
            self.client.endpoint(url).request,  # a new endpoint: it would keep the path, which may hold the query
            purpose=PURPOSE,
            data_class=bounds.data_class,
            max_place=bounds.limit,
            timeouts=HttpTimeouts(total=self.settings.timeout_s),
        )
        async with await send(method, path, body, headers) as response:
            return response.status, await response.read(MAX_BYTES)


def _without_injections(found: list[WebResult]) -> list[WebResult]:
    """Without results that are surely a prompt injection; others that may be one have the reasons."""
    whole = partial(TextChunk, start=0, end=0, first_page=0, last_page=0, headings=(), tokens=0)
    chunks = [whole(text=f"{each.title}\n{each.text}") for each in found]
    suspects = find_suspects(chunks, PURPOSE)
    return [
        replace(each, suspicions=suspects[place].reasons) if place in suspects else each
        for place, each in enumerate(found)
        if place not in suspects or not suspects[place].is_held("hold")
    ]
