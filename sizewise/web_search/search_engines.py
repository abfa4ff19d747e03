"""Search engines: a query as an HTTP request for SearXNG or Brave, and their answers as results; opens no socket.

Sources: docs.searxng.org/dev/search_api, api-dashboard.search.brave.com/app/documentation/web-search.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from sizewise.errors import ExternalFailure

MAX_QUERY_CHARS, MAX_QUERY_WORDS = 250, 40
"""Brave refuses more than 400 characters or 50 words, with the operators for domains."""
MAX_SITES = 4  # named in a query
MAX_EXCERPT_CHARS = 2_000
MAX_TITLE_CHARS = 300
MAX_URL_CHARS = 2_000


class WebQuery(Struct, frozen=True):
    """`allowed` and `blocked`: domains, which include their subdomains. `country`: two letters, or empty."""

    text: str
    allowed: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    country: str = ""

    @property
    def with_sites(self) -> str:
        """The text with the operator that engines read; the results are filtered again."""
        return " ".join([self.text, " OR ".join([f"site:{each}" for each in self.allowed[:MAX_SITES]])]).strip()


class WebResult(Struct, frozen=True):
    """A page that was found. `text`: the engine's excerpt, or the page itself if `is_page`. `age`: as the engine writes
    it; empty: unknown. `suspicions`: reasons why it may be a prompt injection.
    """

    url: str
    title: str
    text: str
    age: str = ""
    is_page: bool = False
    suspicions: tuple[str, ...] = ()


class EngineRequest(Struct, frozen=True):
    """`path`: below the base URL."""

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class SearchEngine:
    """The API of one engine. `key_header`: the header of the key, if the engine has its own."""

    key_header = ""

    def request(self, query: WebQuery, count: int) -> EngineRequest:
        raise NotImplementedError

    def results(self, status: int, body: bytes) -> list[WebResult]:
        """Raises ExternalFailure for an answer that is none."""
        raise NotImplementedError


class _SearxngResult(Struct):
    url: str = ""
    title: str | None = None
    content: str | None = None
    published: str | None = msgspec.field(default=None, name="publishedDate")


class _SearxngAnswer(Struct):
    results: list[_SearxngResult]


class Searxng(SearchEngine):
    """SearXNG's JSON API, by POST, so that no access log holds the query."""

    def request(self, query: WebQuery, count: int) -> EngineRequest:
        form = urlencode({"q": query.with_sites, "format": "json"}).encode("ascii")
        return EngineRequest("POST", "/search", form, (("content-type", "application/x-www-form-urlencoded"),))

    def results(self, status: int, body: bytes) -> list[WebResult]:
        if status == 403:
            raise ExternalFailure(
                "the search engine answered 403: its JSON format is off, or the key is wrong",
                "add `json` to `search.formats` in SearXNG's settings.yml, or see `key` in [web_search]",
            )
        found = _decoded(status, body, _SearxngAnswer).results
        return [_result(each.url, each.title, each.content, each.published) for each in found]


class _BraveResult(Struct):
    url: str = ""
    title: str | None = None
    description: str | None = None
    page_age: str | None = None
    extra_snippets: list[str] = []


class _BraveWeb(Struct):
    results: list[_BraveResult] = []


class _BraveAnswer(Struct):
    web: _BraveWeb | None = None


class Brave(SearchEngine):
    """Brave's Web Search API."""

    key_header = "x-subscription-token"

    def request(self, query: WebQuery, count: int) -> EngineRequest:
        fields = {"q": query.with_sites, "count": str(count), "text_decorations": "false", "result_filter": "web"}
        if query.country:
            fields["country"] = query.country
        path = f"/res/v1/web/search?{urlencode(fields, quote_via=quote)}"
        return EngineRequest("GET", path, headers=(("accept", "application/json"),))

    def results(self, status: int, body: bytes) -> list[WebResult]:
        web = _decoded(status, body, _BraveAnswer).web
        return [
            _result(each.url, each.title, "\n".join([each.description or "", *each.extra_snippets]), each.page_age)
            for each in (web.results if web is not None else ())
        ]


ENGINES: Mapping[str, SearchEngine] = MappingProxyType({"searxng": Searxng(), "brave": Brave()})


def search_query(words: str) -> str:
    """A question of any length as a query that every engine accepts: its first line with a question mark, else its
    beginning. Empty if it has no word.
    """
    lines = [line for line in words.splitlines() if any(map(str.isalnum, line))]
    line = next((each for each in lines if "?" in each or "？" in each), " ".join(lines))
    line = "".join(each if each.isprintable() else " " for each in line)
    return " ".join(line.split()[:MAX_QUERY_WORDS])[:MAX_QUERY_CHARS].strip()


def selected(found: list[WebResult], query: WebQuery, count: int) -> list[WebResult]:
    """At most `count` results, of the allowed domains, each address once."""
    kept: dict[str, WebResult] = {}
    for each in found:
        host = _host(each.url)
        is_allowed = not query.allowed or any(_is_below(host, domain) for domain in query.allowed)
        if host and is_allowed and not any(_is_below(host, domain) for domain in query.blocked):
            kept.setdefault(each.url, each)
    return list(kept.values())[:count]


def _is_below(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _host(url: str) -> str:
    """The host in lower case; empty for what is no plain http(s) address."""
    if len(url) > MAX_URL_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        return ""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return ""
    return host if parts.scheme in ("http", "https") and "@" not in parts.netloc else ""


def _result(url: str, title: str | None, text: str | None, age: str | None) -> WebResult:
    return WebResult(
        url=url,
        title=_one_line(title or url)[:MAX_TITLE_CHARS],
        text=(text or "").strip()[:MAX_EXCERPT_CHARS],
        age=_one_line(age or "")[:40],
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


AnswerT = TypeVar("AnswerT", bound=Struct)


def _decoded(status: int, body: bytes, kind: type[AnswerT]) -> AnswerT:
    if status != 200:
        hint = "see `key` in [web_search]" if status in (401, 403) else "try again later, or see `url` in [web_search]"
        raise ExternalFailure(f"the search engine answered {status}", hint)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        told = "the search engine's answer is not the JSON of its API"
        raise ExternalFailure(told, "see `engine` and `url` in [web_search]") from error
