"""Web search for a request: the query as it may leave this server, the search, and the results as text for a model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import blake2b
from time import strftime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.errors import Busy, ConfigError, EgressDenied, ExternalFailure, GuardrailBlocked, UpstreamError
from sizewise.guardrails.untrusted_content import ContentMarkers, suspect_label
from sizewise.handler import Request
from sizewise.messages import ChatRequest
from sizewise.model_card import ModelCard, ModelEndpoint
from sizewise.providers.wires.openai.request_response import read_request
from sizewise.routing.freshness import freshness_warning, words_time
from sizewise.routing.text.time_references import NO_REFERENCE
from sizewise.web_search.search_engines import WebQuery, WebResult, search_query
from sizewise.web_search.web_search_service import WebSearchService

INSTRUCTION = (
    "Today is {today}. These pages were found by a web search for the user's question. Use them where they help to"
    " answer, and cite each one that you use by its number in brackets, such as [{first}]."
    " Do not cite anything else in this way."
)
NOTHING_FOUND = "(Today is {today}. A web search for the user's question found nothing.)"
FAILED = "(A web search for the user's question failed.)"
FLOW_PREFIX = "flow:"

log = logging.getLogger("sizewise.gateway")

_encode = msgspec.json.Encoder().encode


def web_search_of(app: Application) -> WebSearchService:
    settings = app.settings
    audit_log, read = app.resources.services.audit_log, app.resources.document_processes.load
    return WebSearchService(settings.web_search, app.client, audit_log, read_page=read)


class WebSearchOutcome(Struct, frozen=True):
    """`query`: as it was sent. `first`: the number of the first result."""

    query: str
    found: Sequence[WebResult]
    first: int = 1
    failed: bool = False

    def passages_text(self) -> str:
        """Numbered results between markers that no page can forge: they are derived from all of them."""
        if self.failed:
            return FAILED
        today = strftime("%Y-%m-%d")
        if not self.found:
            return NOTHING_FOUND.format(today=today)
        seed = _encode([(each.url, each.title, each.text) for each in self.found])
        marks = ContentMarkers(blake2b(seed, digest_size=8).hexdigest())
        shown = [marks.wrap(each.text, _label(number, each)) for number, each in enumerate(self.found, self.first)]
        return "\n\n".join([f"{INSTRUCTION.format(today=today, first=self.first)} {marks.instruction}", *shown])


async def search_web(
    app: Application, request: Request, model: str, words: str, limits: WebQuery, first: int = 1
) -> WebSearchOutcome:
    """Searches for the user's `words`, masked as for a model where the engine runs. `limits`: its text is ignored.

    Counts as a request of its own: the one that it is for is counted only after it. Raises EgressDenied where the
    question may not go to the engine, Busy over a limit, GuardrailBlocked, and ModelNotFound. A failure of the engine
    is an outcome.
    """
    waits = app.resources.services.limiter.count_request(request.principal)
    if waits is not None:
        await waits
    chat = _chat(model, words)
    checked = await app.guardrails.check_offloaded(replace(request, payload=chat))
    policy = "" if model.startswith(FLOW_PREFIX) else app.aliases(chat, request.options.policy).policy_name
    bounds = app.explain.data_policy.decide(checked, policy)
    engine = ModelEndpoint("web_search", place=app.settings.web_search.place)
    seen = await app.guardrails.view_offloaded(ModelCard("web_search", engine, ""), checked)
    assert isinstance(seen, ChatRequest)
    query = replace(limits, text=search_query(seen.messages[-1].text))
    if not query.text:
        return WebSearchOutcome("", (), first)
    try:
        found = await web_search_of(app).search(request.principal, query, bounds, request.trace_id)
    except EgressDenied as error:
        hint = "leave out the tool `web_search`, or name a nearer search engine in [web_search]"
        raise EgressDenied(error.message, hint) from error
    except (UpstreamError, ExternalFailure, ConfigError, Busy) as error:  # no key; no free connection
        log.warning("a web search failed: %s (%s)", error.message, error.hint)
        return WebSearchOutcome(query.text, (), first, failed=True)
    return WebSearchOutcome(query.text, [each for each in found if await _may_join(app, checked, each)], first)


async def search_unasked(
    app: Application, request: Request, model: str, words: str, first: int = 1
) -> WebSearchOutcome | None:
    """None if a model that may answer can know it, where the question may not go to the engine, over a limit, and if
    the search fails.
    """
    when = words_time(words)
    if when is NO_REFERENCE or model.startswith(FLOW_PREFIX):
        return None
    cards = app.aliases(ChatRequest(model, [], {}), request.options.policy).cards
    today = strftime("%Y-%m-%d")
    if not any(freshness_warning(card, when, today) for card in cards):
        return None
    try:
        outcome = await search_web(app, request, model, words, WebQuery(""), first)
    except (EgressDenied, Busy):
        return None
    return None if outcome.failed else outcome


async def _may_join(app: Application, asked: Request, result: WebResult) -> bool:
    """Whether the guardrails let the request pass as before with what was found: no page of a stranger may end it."""
    text = f"{result.title} {result.url} {result.age}\n{result.text}"
    with_page = replace(asked, payload=_chat(asked.payload.model, text), scan=None, spotlighting=None)
    try:
        return (await app.guardrails.check_offloaded(with_page)).options == asked.options
    except GuardrailBlocked:
        return False


def _chat(model: str, words: str) -> ChatRequest:
    return read_request(_encode({"model": model, "messages": [{"role": "user", "content": words}]}))[0]


def _label(number: int, result: WebResult) -> str:
    age = f", {result.age}" if result.age else ""
    label = f"[{number}] {result.title} ({result.url}{age})"
    return suspect_label(label) if result.suspicions else label
