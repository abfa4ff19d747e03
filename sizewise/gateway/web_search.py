"""The tool `web_search` of /v1/responses: by a project's grant, one search before the model is called, on any model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from sizewise.app.application import Application
from sizewise.data_class import DataClass
from sizewise.errors import BadBody, SizewiseError
from sizewise.gateway.file_citations import cited_numbers
from sizewise.gateway.web_query import WebSearchOutcome, search_unasked, search_web
from sizewise.gateway.web_search_grant import grant_of, search_refusal
from sizewise.handler import Request
from sizewise.principal import Principal
from sizewise.providers.wires.responses.request_in import ResponsesRequest
from sizewise.providers.wires.responses.response_object import ResponseEnvelope
from sizewise.web_search.search_engines import WebQuery

Json = dict[str, Any]
TOOLS = ("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11")
CALL_ITEM, INCLUDE_SOURCES = "web_search_call", "web_search_call.action.sources"
INCLUDES = (INCLUDE_SOURCES, "web_search_call.results")
DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\Z")
COUNTRY = re.compile(r"[A-Za-z]{2}\Z")
MAX_DOMAINS = 100
MAX_DOMAIN_CHARS = 253  # RFC 1035
T = TypeVar("T")


class DomainFilters(Struct, forbid_unknown_fields=True):
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None


class UserLocation(Struct):
    """Only the country is sent to the engine, where its API has a field for it."""

    country: str | None = None


class WebSearchTool(Struct, forbid_unknown_fields=True):
    """The tool as a client describes it. `search_context_size` is accepted: the settings say how much is found."""

    type: str
    filters: DomainFilters | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    user_location: UserLocation | None = None
    external_web_access: bool | None = None

    def limits(self, at: str) -> WebQuery:
        """Raises BadBody."""
        filters = self.filters or DomainFilters()
        country = (self.user_location.country if self.user_location is not None else None) or ""
        return WebQuery(
            text="",
            allowed=checked_domains(filters.allowed_domains, f"{at}.filters.allowed_domains"),
            blocked=checked_domains(filters.blocked_domains, f"{at}.filters.blocked_domains"),
            country=checked_country(country, f"{at}.user_location.country"),
        )


def checked_domains(domains: Sequence[str] | None, at: str) -> tuple[str, ...]:
    """In lower case. Raises BadBody for what is no domain."""
    found = tuple(each.lower().rstrip(".") for each in domains or ())
    if len(found) > MAX_DOMAINS:
        raise BadBody(f"`{at}` has {len(found)} domains", f"use up to {MAX_DOMAINS}", param=at)
    for each in found:
        if len(each) > MAX_DOMAIN_CHARS or not DOMAIN.match(each):
            raise BadBody(f"`{at}` has {each[:60]!r}", "name domains without `https://` and path", param=at)
    return found


def checked_country(country: str, where: str) -> str:
    """In upper case. `where`: the field. Raises BadBody for what is no code of a country."""
    if country and not COUNTRY.match(country):
        raise BadBody(f"`{where}` is {country[:20]!r}", "use an ISO 3166-1 code of two letters", param=where)
    return country.upper()


def converted(value: object, kind: type[T], at: str) -> T:
    """A part of a body, checked. `at`: its place, such as `tools[0]`. Raises BadBody, which names the field."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        where = f"{at}{path.rstrip('`')}"
        raise BadBody(f"`{where}`: {reason[:1].lower()}{reason[1:]}", "see the API reference", param=where) from error


class WebSearchCall(Struct, frozen=True):
    """A search that was done for a request: its item in the response, and the citations in its text."""

    outcome: WebSearchOutcome
    shows_sources: bool

    @property
    def passage_count(self) -> int:
        return len(self.outcome.found)

    @property
    def data_classes(self) -> Sequence[DataClass]:
        return ()  # what was found is public

    def passages_text(self) -> str:
        return self.outcome.passages_text()

    def item(self, envelope: ResponseEnvelope) -> Json:
        query = self.outcome.query
        action: Json = {"type": "search", "query": query, "queries": [query]}
        if self.shows_sources:
            action["sources"] = [{"type": "url", "url": each.url} for each in self.outcome.found]
        status = "failed" if self.outcome.failed else "completed"
        return {"id": envelope.item_id("ws", 0), "type": CALL_ITEM, "status": status, "action": action}

    def annotations(self, text: str) -> list[Json]:
        return url_citations(text, self.outcome)


def url_citations(text: str, outcome: WebSearchOutcome) -> list[Json]:
    """Annotations in the order of the text. The indexes are those of the marker, such as `[1]`."""
    found: list[Json] = []
    for number, start, end in cited_numbers(text):
        at = number - outcome.first
        if 0 <= at < len(outcome.found):
            page = outcome.found[at]
            where = {"start_index": start, "end_index": end}
            found.append({"type": "url_citation", **where, "url": page.url, "title": page.title})
    return found


class WebSearchPlan(Struct, frozen=True):
    """A request with the tool, of a project that may search."""

    tool: WebSearchTool
    place: str  # such as `tools[0]`

    @property
    def tools(self) -> Sequence[str]:
        return TOOLS

    async def run(
        self, app: Application, request: Request, asked: ResponsesRequest, query: str, first: int
    ) -> WebSearchCall | None:
        if self.tool.external_web_access is False:
            return None
        outcome = await search_web(app, request, asked.body.model, query, self.tool.limits(self.place), first)
        return WebSearchCall(outcome, INCLUDE_SOURCES in (asked.body.include or ()))


def plan_web_search(app: Application, request: Request, asked: ResponsesRequest) -> WebSearchPlan | None:
    """None without the tool, and without the grant: the model's own API may have the tool. Raises BadBody."""
    places = [n for n, tool in enumerate(asked.body.tools or ()) if tool.get("type") in TOOLS]
    if not places or grant_of(app, request.principal) == "deny":
        return None
    if len(places) > 1:
        raise BadBody(f"there are {len(places)} tools for web search", "use one", param=f"tools[{places[1]}]")
    at = f"tools[{places[0]}]"
    tool = converted((asked.body.tools or [])[places[0]], WebSearchTool, at)
    tool.limits(at)
    return WebSearchPlan(tool, at)


def refusal(app: Application, principal: Principal, tool: Json, number: int) -> SizewiseError | None:
    """Why the tool was not done here, of a model whose API lacks it. None if it is another tool."""
    return search_refusal(app, principal, f"tools[{number}]") if tool.get("type") in TOOLS else None


class UnaskedWebSearch(Struct, frozen=True):
    """A search without the tool, by a project's grant `allow`: if a model that may answer cannot know the answer."""

    @property
    def tools(self) -> Sequence[str]:
        return ()

    async def run(
        self, app: Application, request: Request, asked: ResponsesRequest, query: str, first: int
    ) -> WebSearchCall | None:
        outcome = await search_unasked(app, request, asked.body.model, query, first)
        return None if outcome is None else WebSearchCall(outcome, INCLUDE_SOURCES in (asked.body.include or ()))
