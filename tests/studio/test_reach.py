"""A server that dies or is slow while its page is open: the page says so, asks by itself, keeps what was typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.auth.user_client import Browser, new_user
from tests.running_server import Served, serving, until
from tests.studio import traffic
from tests.studio.browser import tab
from tests.studio.test_builder import TEXT, live, published
from tests.studio.test_pages import FOCUS, GO

pytestmark = pytest.mark.browser
DOWN = "The server does not answer."
LOSES = "!dispatchEvent(new Event('beforeunload', { cancelable: true }))"
SLOW = {
    "/decisions/none": ("query DecisionDetail", "There is no such decision"),
    "/small-models/tuning": ("query TuningRunList", "No tuning yet"),
    "/small-models/tuning/none": ("query TuningRunDetail", "There is no such run"),
}


def test_a_page_outlives_its_server_and_keeps_what_was_typed(browser: Any, tmp_path: Path) -> None:
    with serving(tmp_path, traffic.SETTINGS) as first:
        published(first, "outlived")
        person = new_user(first, "anna@example.com", "owner")
        with tab(browser, first, person) as play, tab(browser, first, person) as flow:
            play.open("/play")
            play.page.get_by_label("Prompt").fill("What must not be lost")
            flow.open("/flows/outlived?view=node&node=second")
            flow.page.get_by_label("text text").wait_for()
            first.process.kill()
            first.process.wait(60)

            play.page.get_by_text(DOWN).wait_for()
            play.picture("server-away")
            assert play.inaccessible() == []
            flow.page.get_by_label("text text").fill("Heard: {{ first.text }}")
            flow.page.get_by_label("text text").press("Tab")
            flow.page.get_by_text(DOWN).wait_for()
            flow.picture("server-away-flow")
            flow.page.get_by_text("The server did not respond").first.wait_for()

            with serving(tmp_path, traffic.SETTINGS, "--port", first.url.rpartition(":")[2]) as second:
                play.page.get_by_text(DOWN).wait_for(state="detached")
                assert play.page.get_by_label("Prompt").input_value() == "What must not be lost"
                play.page.get_by_role("button", name="Run").click()
                play.page.get_by_role("region", name="Answer of auto").get_by_text("Total", exact=True).wait_for()
                draft, typed = '{ flowDraft(name: "outlived") { text } }', TEXT.replace("Said", "Heard")
                until(lambda: person.graphql(draft).data["flowDraft"] == {"text": typed.format(name="outlived")})
                assert live(second, "outlived").startswith("name: outlived")
                for opened in (play, flow):
                    assert [each for each in opened.wrong() if "ERR_" not in each and "WebSocket" not in each] == []


def test_what_was_typed_is_there_again_after_leaving_the_page_while_the_server_is_away(
    browser: Any, tmp_path: Path
) -> None:
    with serving(tmp_path, traffic.SETTINGS) as first:
        published(first, "left")
        person = new_user(first, "anna@example.com", "owner")
        with tab(browser, first, person) as opened:
            page = opened.page
            opened.open("/play")
            page.get_by_label("Prompt").fill("What must not be lost")
            page.evaluate(GO, "/flows/left?view=node&node=second")
            page.get_by_label("text text").wait_for()
            first.process.kill()
            first.process.wait(60)
            page.get_by_label("text text").fill("Heard: {{ first.text }}")
            page.get_by_label("text text").press("Tab")
            page.get_by_text("The server did not respond").first.wait_for()
            page.get_by_role("link", name="Play", exact=True).click()
            assert page.get_by_label("Prompt").input_value() == "What must not be lost"
            assert page.evaluate(LOSES), "the browser asks before it loads the page anew"

            with serving(tmp_path, traffic.SETTINGS, "--port", first.url.rpartition(":")[2]):
                page.get_by_text(DOWN).wait_for(state="detached")
                page.go_back()
                page.get_by_text("Here is what you typed before it could be saved.").wait_for()
                page.get_by_role("tab", name="Text").click()
                page.locator("[data-editor] .cm-line", has_text="Heard: {{ first.text }}").wait_for()
                draft, typed = '{ flowDraft(name: "left") { text } }', TEXT.replace("Said", "Heard")
                until(lambda: person.graphql(draft).data["flowDraft"] == {"text": typed.format(name="left")})
                until(lambda: not page.evaluate(LOSES))
                opened.open("/flows/left")
                assert page.get_by_text("Here is what you typed").count() == 0, "the draft has it"


def test_a_proxy_that_lost_its_server_for_a_moment_ends_no_session(browser: Any, server: Served, anna: Browser) -> None:
    asked: list[Any] = []

    def away(route: Any) -> None:
        asked.append(route)
        route.fulfill(status=502, content_type="text/html", body="<h1>Bad Gateway</h1>")

    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/records")
        page.route("**/auth/session", away)
        page.evaluate(FOCUS)
        until(lambda: page.wait_for_timeout(30) or len(asked) > 2)
        assert page.get_by_role("dialog").count() == 0
        page.reload()
        page.get_by_text("No page yet").wait_for()
        page.unroute("**/auth/session", away)
        page.get_by_role("heading", name="Records").wait_for()
        assert page.get_by_role("dialog").count() == 0
        assert [each for each in opened.wrong() if "502" not in each] == []


@pytest.mark.parametrize("path", SLOW)
def test_a_page_that_looks_again_waits_for_a_slow_answer(
    browser: Any, server: Served, anna: Browser, path: str
) -> None:
    question, answer = SLOW[path]
    with tab(browser, server, anna) as opened:
        held = opened.hold(question)
        opened.page.goto(server.url + path)
        held.wait()
        opened.page.wait_for_timeout(5_000)
        assert len(held.routes) == 1, "what is not answered yet is not asked again"
        held.release()
        opened.page.get_by_text(answer).wait_for()
        assert opened.wrong() == []
