"""Clicks of the pages that watch and decide: runs live, inbox, alerts, histogram, palette, advisor, a phone's bar."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bench.studio.run import multiply
from tests.auth.user_client import Browser, new_user
from tests.fakes.webhook_receiver import receiving
from tests.graphql.graphql_client import graphql
from tests.older_records import make_older
from tests.running_server import Served, serving, until
from tests.studio import traffic
from tests.studio.browser import tab
from tests.studio.test_builder import published
from tests.studio.test_trying import START

pytestmark = pytest.mark.browser


def started(server: Served, mail: str) -> str:
    """The id of a run of the flow `refund`, which waits for a person."""
    return str(graphql(server, traffic.RUN, mail=mail).data["startFlowRun"]["id"])


def test_a_run_is_seen_going_on_while_it_is_decided_elsewhere(browser: Any, server: Served, anna: Browser) -> None:
    run = started(server, "My lamp arrived broken.")
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open(f"/runs/{run}")
        page.get_by_role("row", name="check").get_by_text("waiting").wait_for()
        with tab(browser, server, anna, phone=True) as inbox:
            inbox.open("/inbox")
            inbox.page.get_by_role("link", name=re.compile(r"Inbox: \d+ waiting")).wait_for()
            card = inbox.page.get_by_role("article").filter(has_text="My lamp arrived broken.")
            card.get_by_label("Note").fill("friendly enough")
            inbox.picture("inbox-card-phone")
            assert not inbox.scrolls_sideways()
            card.get_by_role("button", name="Approve").click()
            inbox.page.get_by_text("Approved. The run goes on.").wait_for()
            card.wait_for(state="detached")
            assert inbox.wrong() == []
        page.get_by_role("row", name="check").get_by_text("done").wait_for()
        page.get_by_text("Outputs").wait_for()
        opened.picture("run")
        assert opened.inaccessible() == []
        assert opened.wrong() == []


def test_the_inbox_is_told_what_comes_and_a_second_decider_that_it_was_late(
    browser: Any, server: Served, anna: Browser
) -> None:
    decide = 'mutation($i: String!) { decide(id: $i, key: "check", approved: true) { id } }'
    with tab(browser, server, anna, phone=True) as opened:
        asked: list[str] = []
        opened.open("/inbox")
        opened.page.on("request", lambda request: asked.append(request.url))
        first = started(server, "My vase is in pieces.")
        card = opened.page.get_by_role("article").filter(has_text="My vase is in pieces.")
        card.wait_for()
        assert asked == [], "the server tells it: the page does not ask"
        assert anna.graphql(decide, i=first).errors == []
        card.wait_for(state="detached")
        second = started(server, "My jug is in pieces.")
        card = opened.page.get_by_role("article").filter(has_text="My jug is in pieces.")
        card.wait_for()

        def late(route: Any) -> None:
            if "decide" in (route.request.post_data or ""):
                anna.graphql(decide, i=second)
            route.continue_()

        opened.page.route("**/graphql", late)
        card.get_by_role("button", name="Approve").tap()
        opened.page.get_by_role("alert").filter(has_text="wait").wait_for()
        opened.picture("inbox-late-phone")
        assert [each for each in opened.wrong() if "409" not in each] == []


def test_story_6_older_records_follow_without_a_gap_and_nothing_found_says_how_far(
    browser: Any, tmp_path: Path
) -> None:
    with serving(tmp_path, traffic.SETTINGS) as fresh:
        traffic.fill(fresh, 1)
        assert multiply(tmp_path, 5_000) >= 5_000
        with tab(browser, fresh, new_user(fresh, "anna@example.com", "owner")) as opened:
            page = opened.page
            opened.open("/records")
            rows = page.locator("table.rows tbody tr")
            for shown in (100, 200, 300):
                until(lambda shown=shown: rows.count() == shown)
                page.get_by_role("button", name="Show older records").click()
            until(lambda: rows.count() == 400)
            opened.open("/records?tag=there-is-none")
            page.get_by_text(re.compile("Searched back to|All records were searched")).wait_for()
            opened.picture("records-none")
            assert opened.inaccessible() == [] and opened.wrong() == []


def test_story_43_totals_are_the_same_wherever_the_browser_is(browser: Any, server: Served, anna: Browser) -> None:
    seen = set()
    for zone in ("UTC", "Asia/Kolkata", "America/Los_Angeles"):
        with tab(browser, server, anna, zone=zone) as opened:
            opened.open("/spend")
            spent = opened.page.locator("dl, .figures").first.inner_text().split()
            opened.open("/")
            home = opened.page.get_by_role("link", name=re.compile("Spent")).or_(
                opened.page.get_by_text(re.compile(r"^\$\d"))
            )
            assert home.first.inner_text().split()[-1] in spent or home.first.inner_text().split()[0] in spent
            seen.add(" ".join(spent))
            assert opened.wrong() == []
    assert len(seen) == 1, seen


def test_story_45_a_model_change_is_what_grew_and_the_parts_sum_to_it(browser: Any, tmp_path: Path) -> None:
    sums = "{ usageChange { sentence parts { mixUsd volumeUsd tokensUsd priceUsd } differenceUsd } }"
    with serving(tmp_path, traffic.SETTINGS) as fresh:
        for _ in range(4):
            fresh.chat("echo/small", traffic.KEPT[0])
        graphql(fresh, "{ records { rows { at } } }")  # which writes them
        assert make_older(tmp_path, 30) == 4
        for _ in range(4):
            fresh.chat("echo/large", traffic.KEPT[0])
        anna = new_user(fresh, "anna@example.com", "owner")
        with tab(browser, fresh, anna) as opened:
            page = opened.page
            opened.open("/spend")
            part = page.locator("section", has=page.get_by_role("heading", name="What changed"))
            part.get_by_text("more than in as long a time before").wait_for()
            figures = part.locator("dl").inner_text().split("\n")
            shown = dict(zip(figures[::2], figures[1::2], strict=True))
            assert shown["Number of requests"] == shown["Tokens an attempt"] == shown["Prices"] == "$0"
            assert shown["Mix of models"].startswith("+$0.0")
            part.get_by_text("By model", exact=True).click()
            assert part.get_by_role("row", name="echo/large").count() == 1
            opened.picture("spend-changed")
            assert opened.inaccessible() == []
            page.get_by_label("Range").select_option("7 days")
            part.get_by_text("no request in as long a time before").wait_for()
            assert opened.wrong() == []
        change = anna.graphql(sums).data["usageChange"]
        assert sum(map(Decimal, change["parts"].values())) == Decimal(change["differenceUsd"])


MANY, ROWS = 5_300, "div.sheet > table > tbody > tr"
COPIES = """WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?)
    INSERT INTO records (id, end_user, {columns}) SELECT id + n, 'user-' || n, {columns} FROM records, number
    WHERE id = (SELECT max(id) FROM records)"""


def test_story_44_many_end_users_are_rows_and_the_others_make_the_sum_exact(browser: Any, tmp_path: Path) -> None:
    with serving(tmp_path, traffic.SETTINGS) as fresh:
        fresh.chat("echo/small", traffic.KEPT[0], x_sizewise_end_user="ann@example.com")
        graphql(fresh, "{ records { rows { at } } }")  # which writes them
        with closing(sqlite3.connect(tmp_path / "sizewise.db", timeout=60)) as db, db:
            names = [row[1] for row in db.execute("PRAGMA table_info(records)") if row[1] not in ("id", "end_user")]
            db.execute(COPIES.format(columns=", ".join(names)), (MANY - 1,))
        with tab(browser, fresh, new_user(fresh, "anna@example.com", "owner")) as opened:
            page = opened.page
            opened.open("/spend")
            page.get_by_label("Group by").select_option("by end user")
            page.get_by_role("row", name=f"all others ({MANY - 50:,})").wait_for()
            assert page.locator(ROWS).count() == 51
            opened.picture("spend-end-users")
            assert opened.inaccessible() == []
            page.get_by_role("button", name="Show more").click()
            page.get_by_role("row", name=f"all others ({MANY - 500:,})").wait_for()
            page.get_by_role("button", name="Show more").click()
            others = page.get_by_role("row", name=f"all others ({MANY - 1_500:,})")
            others.wait_for()
            assert page.locator(ROWS).count() == 1_501
            assert others.get_by_role("cell").all_inner_texts()[2] == f"{MANY - 1_500:,}"
            assert page.get_by_role("button", name="Show more").count() == 0
            assert opened.wrong() == []
        asked = "{ usage(by: [endUser], first: 1500) { rows { key costUsd requests } total { costUsd } } }"
        usage = graphql(fresh, asked).data["usage"]
        assert sum(Decimal(each["costUsd"]) for each in usage["rows"]) == Decimal(usage["total"]["costUsd"]) > 0
        assert sum(each["requests"] for each in usage["rows"]) == MANY


def test_story_48_a_test_message_says_what_the_receiver_answered(browser: Any, tmp_path: Path) -> None:
    to = "[receivers.{0}]\nkind = 'slack'\nurl = 'env:{1}'\nplace = 'machine'\n"
    settings = traffic.SETTINGS + to.format("ops", "OPS") + to.format("shut", "SHUT")
    with receiving() as takes, receiving(403) as refuses:
        with serving(tmp_path, settings, OPS=takes.url, SHUT=refuses.url) as fresh:
            with tab(browser, fresh, new_user(fresh, "anna@example.com", "owner")) as opened:
                page = opened.page
                opened.open("/alerts")
                page.get_by_role("button", name="Test ops").click()
                page.get_by_text("It took the test message.").wait_for()
                page.get_by_role("button", name="Test shut").click()
                page.get_by_role("status").filter(has_text="403").wait_for()
                opened.picture("alerts-receivers")
                assert opened.inaccessible() == [] and opened.wrong() == []
            with tab(browser, fresh, new_user(fresh, "vera@example.com", "viewer")) as opened:
                opened.open("/alerts")
                opened.page.get_by_role("heading", name="Receivers").wait_for()
                assert opened.page.get_by_role("button", name="Test ops").count() == 0
                assert opened.wrong() == []
    assert len(takes.came) == 1 and b"test" in takes.came[0][1] and len(refuses.came) == 1


def test_runs_are_filtered_and_one_is_cancelled_and_resumed(browser: Any, server: Served, anna: Browser) -> None:
    run = started(server, "Cancel me.")
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/runs")
        page.get_by_label("State").select_option("waiting")
        page.wait_for_url("**/runs?state=waiting")
        page.get_by_role("navigation", name="Monitor").get_by_role("link", name="Runs").click()
        page.wait_for_url("**/runs")
        until(lambda: page.get_by_label("State").input_value() == "")
        page.go_back()
        until(lambda: page.get_by_label("State").input_value() == "waiting")
        page.locator(f"a[href='/runs/{run}']").click()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Resume").wait_for()
        page.get_by_role("button", name="Resume").click()
        page.get_by_role("row", name="check").get_by_text("waiting").wait_for()
        assert opened.wrong() == []


def test_older_runs_come_once_and_are_of_the_list_that_is_shown(browser: Any, tmp_path: Path) -> None:
    with serving(tmp_path, traffic.SETTINGS) as fresh:
        published(fresh, "many")
        for _ in range(65):
            until(lambda: not graphql(fresh, START, f="many", i={"question": "Hello"}).errors)
        with tab(browser, fresh, new_user(fresh, "anna@example.com", "owner")) as opened:
            page = opened.page
            opened.open("/runs")
            rows = page.locator("tbody tr")
            older = page.get_by_role("button", name="Show older runs")
            assert rows.count() == 30
            held = opened.hold("query RunList")
            older.click()
            page.get_by_role("button", name="Loading …").click()
            held.wait()
            assert len(held.routes) == 1
            held.refuse("Not now.")
            page.get_by_role("alert").filter(has_text="Not now.").get_by_role("button", name="Try again").click()
            until(lambda: page.wait_for_timeout(30) or rows.count() == 60)
            assert page.get_by_role("alert").count() == 0
            held = opened.hold("query RunList")
            older.click()
            held.wait()
            page.get_by_label("State").select_option("cancelled")
            held.wait(count=2)
            held.release()
            page.get_by_text("No run fits").wait_for()
            page.wait_for_load_state("networkidle")
            assert rows.count() == 0, "those of the list before came too late"
            assert opened.wrong() == []


def test_an_alert_is_silenced_for_a_stated_time_and_heard_again(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/alerts")
        page.get_by_role("button", name="Silence", exact=True).click()
        page.get_by_label("For").select_option("1 hour")
        page.get_by_label("Reason").fill("deployment")
        opened.picture("alerts-silence")
        assert opened.inaccessible() == []
        page.get_by_role("button", name="Silence many_requests").click()
        page.get_by_text("by Anna").or_(page.get_by_text("ends ")).first.wait_for()
        page.get_by_role("button", name="End now").click()
        page.get_by_role("heading", name="Silences").wait_for(state="detached")
        silence = 'mutation { silenceAlert(rule: "many_requests", hours: 1, reason: "by another") { id } }'
        id = graphql(server, silence).data["silenceAlert"]["id"]
        page.get_by_text("by another").wait_for()
        graphql(server, "mutation($i: String!) { expireSilence(id: $i) { id } }", i=id)
        page.get_by_role("heading", name="Silences").wait_for(state="detached")
        assert opened.wrong() == []


def test_a_bar_of_the_histogram_leads_to_its_requests(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/records?within=24h")
        page.get_by_text("Show as table").click()
        counted = page.locator("td:nth-child(2)", has_text=re.compile("[1-9]"))
        page.locator("figure tbody tr").filter(has=counted).last.get_by_role("button").click()
        page.get_by_role("button", name="Only ").wait_for()
        assert "from=" in page.url and "until=" in page.url
        page.locator(".models").first.wait_for()
        opened.picture("records-histogram")
        page.get_by_role("button", name="Only ").click()
        page.get_by_text("Show as table").wait_for()
        assert opened.inaccessible() == []
        assert opened.wrong() == []


def test_the_tab_of_records_shows_all_of_them_again_and_the_way_back_those_before(
    browser: Any, server: Served, anna: Browser
) -> None:
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/records?outcome=failed")
        outcome = page.get_by_label("Outcome")
        assert outcome.input_value() == "failed"
        some = page.locator("table.rows tbody tr").count()
        page.get_by_role("navigation", name="Monitor").get_by_role("link", name="Records").click()
        page.wait_for_url("**/records")
        until(lambda: page.wait_for_timeout(30) or page.locator("table.rows tbody tr").count() > some)
        assert outcome.input_value() == ""
        page.go_back()
        until(lambda: page.wait_for_timeout(30) or page.locator("table.rows tbody tr").count() == some)
        assert outcome.input_value() == "failed"
        assert opened.wrong() == []


def test_a_few_letters_and_enter_go_anywhere_without_a_pointer(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/")
        page.keyboard.press("Control+k")
        page.get_by_role("combobox", name="Go to a page").wait_for()
        page.keyboard.type("refu")
        page.get_by_role("option", name="refund flow").wait_for()
        opened.picture("palette")
        assert opened.inaccessible() == []
        page.keyboard.press("Enter")
        page.wait_for_url("**/flows/refund")
        page.locator("[data-node=check]").wait_for()
        page.keyboard.press("Control+k")
        page.keyboard.type("check")
        page.get_by_role("option", name="check node").wait_for()
        page.keyboard.press("Enter")
        page.locator("[data-node=check].selected").wait_for()
        assert opened.wrong() == []


def test_the_advisor_ranks_by_nine_criteria_and_shows_where_it_pays(
    browser: Any, server: Served, anna: Browser
) -> None:
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/models/advise")
        page.get_by_label("Task").select_option("classify")
        page.get_by_label("Requests a month", exact=True).fill("3M")
        page.get_by_label("Labeled examples").fill("2000")
        page.get_by_role("button", name="Advise").click()
        first = page.locator("details[open]").filter(has_text="1. trained classifier")
        first.wait_for()
        assert first.get_by_role("listitem").count() == 9
        page.get_by_text("costs less than").first.wait_for()
        page.get_by_role("heading", name="Does it fit your machine?").wait_for()
        opened.picture("advise")
        assert opened.inaccessible() == []
        page.get_by_label("Requests a month", exact=True).fill("many")
        page.get_by_role("button", name="Advise").click()
        page.get_by_role("alert").filter(has_text="many").wait_for()
        assert [each for each in opened.wrong() if "400" not in each] == []


def test_a_phone_has_four_entries_and_the_rest_behind_more(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server, anna, phone=True) as opened:
        page = opened.page
        opened.open("/")
        bar = page.get_by_role("navigation", name="Main")
        assert bar.get_by_role("link").all_inner_texts() == ["Home", "Play", "Monitor", "Releases"]
        bar.get_by_role("button", name="More").click()
        opened.picture("more-phone")
        assert opened.inaccessible() == []
        page.get_by_role("dialog").get_by_role("link", name="Audit").click()
        page.get_by_role("heading", name="Audit").wait_for()
        assert page.get_by_role("dialog").count() == 0
        assert not opened.scrolls_sideways()
        assert opened.wrong() == []


def test_a_conversation_leads_to_its_requests(browser: Any, server: Served, anna: Browser) -> None:
    for words in ("Hello", "And then?"):
        body = {"model": "echo/small", "messages": [{"role": "user", "content": words}], "user": "otto"}
        server.ask("/v1/chat/completions", body, x_sizewise_session="lamp-7")
    for phone in (True, False):
        with tab(browser, server, anna, phone=phone) as opened:
            opened.open("/records/sessions")
            row = opened.page.get_by_role("row").filter(has_text="lamp-7")
            row.get_by_role("cell", name="2", exact=True).wait_for()
            opened.picture(f"conversations-{'phone' if phone else 'desk'}")
            assert not opened.scrolls_sideways() and opened.inaccessible() == []
            row.get_by_role("link", name="lamp-7").click()
            opened.page.get_by_role("heading", name="Records").wait_for()
            until(lambda: opened.page.locator(".models .asked").count() == 2)
            assert opened.wrong() == []
