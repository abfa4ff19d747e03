"""Account, access, knowledge and settings in a real browser, by click, on a real server."""

from __future__ import annotations

import base64
import re
import time
from typing import Any

import pytest

from sizewise.auth.users.totp import totp_code
from tests.auth.user_client import PASSWORD, Browser, new_user
from tests.graphql.graphql_client import graphql
from tests.knowledge.test_ingestion import HIDDEN_ORDERS
from tests.running_server import Served, until
from tests.studio.browser import tab

pytestmark = pytest.mark.browser
SECRET = re.compile(r"^\S{24,}$")
STEP_S = 30
LEAFLETS = {
    "returns.md": b"# Returns\n\nGoods can be sent back within 30 days. The parcel must hold the bill.\n",
    "evil.md": HIDDEN_ORDERS.encode(),
}


def test_a_second_factor_is_set_up_and_asked_for_and_a_session_is_ended(browser: Any, server: Served) -> None:
    fay = new_user(server, "fay@example.com", "owner")
    with tab(browser, server, fay) as opened:
        opened.open("/account")
        page = opened.page
        page.get_by_role("button", name="Set up").click()
        page.get_by_label("Your password").fill(PASSWORD)
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("img", name="QR code for an authenticator app").wait_for()
        opened.picture("account-enroll")
        assert opened.inaccessible() == []
        secret = _decoded(page.locator(".secret").inner_text())
        page.get_by_label("Code of the app").fill(_code(secret))
        page.get_by_text("Keep these recovery codes").wait_for()
        codes = page.locator("figure", has_text="Recovery codes").locator("pre").inner_text().split()
        assert len(codes) == 10
        opened.picture("account-codes")
        page.get_by_role("button", name="I have kept them").click()
        page.get_by_text("10 of 10 recovery codes are left").wait_for()
        other = Browser(server)
        assert other.sign_in("fay@example.com").error["code"] == "second_factor_required"
        assert other.sign_in("fay@example.com", recovery_code=codes[0]).status == 200
        page.reload()
        page.get_by_text("9 of 10 recovery codes are left").wait_for()
        rows = page.get_by_role("listitem").filter(has=page.get_by_role("button", name="End"))
        assert rows.count() == 2
        rows.filter(has_not_text="this session").get_by_role("button", name="End").click()
        page.get_by_role("dialog").get_by_role("button", name="End session").click()
        page.get_by_role("dialog").wait_for(state="detached")
        assert other.graphql("{ me { id } }").status == 401
        page.get_by_role("button", name="Turn off").click()
        page.get_by_label("A code of the app, or a recovery code").fill(codes[1])
        page.get_by_role("button", name="Turn off").click()
        page.get_by_role("button", name="Set up").wait_for()
        assert opened.inaccessible() == []
        assert opened.wrong() == []


def test_a_key_is_made_shown_once_and_revoked_after_its_name_was_typed(
    browser: Any, server: Served, anna: Browser
) -> None:
    with tab(browser, server, anna) as opened:
        opened.open("/access/keys")
        page = opened.page
        page.get_by_role("button", name="New key").click()
        page.get_by_label("Name").fill("web shop")
        page.get_by_label("Only these models").fill("echo/small")
        opened.picture("keys-new")
        assert opened.inaccessible() == []
        page.get_by_role("button", name="Create key").click()
        secret = page.locator("figure", has_text="Key").locator("pre").first.inner_text()
        assert SECRET.match(secret), secret
        assert _chat(server, secret) == 200
        opened.picture("keys-made")
        page.get_by_role("button", name="I have kept it").click()
        assert secret not in page.content()
        row = page.get_by_role("listitem").filter(has_text="web shop")
        row.get_by_text("May ask; models echo/small alone").wait_for()
        row.get_by_role("button", name="Revoke").click()
        dialog = page.get_by_role("dialog")
        assert dialog.get_by_role("button", name="Revoke key").is_disabled()
        dialog.get_by_label("Type").fill("web shop")
        dialog.get_by_role("button", name="Revoke key").click()
        row.wait_for(state="detached")
        assert _chat(server, secret) == 401
        assert opened.wrong() == []


def test_a_person_is_invited_joins_by_the_link_and_is_shut_out(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server, anna) as opened:
        opened.open("/access/people")
        page = opened.page
        page.get_by_label("Email").fill("gus@example.com")
        page.get_by_role("combobox", name="Role", exact=True).select_option("viewer")
        page.get_by_role("button", name="Invite").click()
        link = page.locator("figure", has_text="Invitation").locator("pre").inner_text()
        gus = Browser(server)
        assert link.startswith(f"{server.url}/invitation#")
        assert gus.accept(link.partition("#")[2], "Gus").status == 200
        page.reload()
        row = page.get_by_role("listitem").filter(has_text="gus@example.com")
        row.get_by_label("Role of gus@example.com").select_option("developer")
        _until_role(server, "gus@example.com", "developer")
        row.get_by_role("button", name="Disable").click()
        page.get_by_role("dialog").get_by_label("Type").fill("gus@example.com")
        page.get_by_role("dialog").get_by_role("button", name="Disable").click()
        row.get_by_role("button", name="Enable").wait_for()
        assert gus.graphql("{ me { id } }").status == 401
        opened.picture("people-full")
        assert opened.inaccessible() == []
        assert opened.wrong() == []


def test_a_role_that_is_refused_is_not_shown_and_an_invitation_is_sent_once(
    browser: Any, server: Served, anna: Browser
) -> None:
    new_user(server, "ida@example.com", "viewer")
    with tab(browser, server, anna) as opened:
        opened.open("/access/people")
        page = opened.page
        role = page.get_by_label("Role of ida@example.com")
        held = opened.hold("mutation AccessSetRole")
        role.select_option("developer")
        held.wait()
        held.refuse("Ida is on leave.")
        page.get_by_role("alert").get_by_text("Ida is on leave.").wait_for()
        until(lambda: role.input_value() == "viewer")
        held = opened.hold("mutation AccessInvite")
        page.get_by_label("Email").fill("jan@example.com")
        page.get_by_role("combobox", name="Role", exact=True).select_option("viewer")
        page.get_by_role("button", name="Invite").click()
        assert page.get_by_role("button", name="Inviting …").is_disabled()
        page.get_by_label("Email").press("Enter")
        held.wait()
        page.wait_for_timeout(300)
        assert len(held.routes) == 1
        held.release()
        page.get_by_text("Send this link to jan@example.com.").wait_for()
        assert opened.wrong() == []


def test_where_a_browser_has_no_clipboard_the_text_is_selected(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server, anna) as opened:
        page = opened.page
        page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        opened.open("/prompts")
        page.get_by_role("button", name="Copy").first.click()
        page.get_by_role("button", name="Selected: press Ctrl C").wait_for()
        shown = page.locator("figure pre").first.inner_text()
        assert page.evaluate("getSelection().toString()").strip() == shown.strip() != ""
        assert opened.wrong() == []


def test_the_audit_chain_is_verified_in_the_browser(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server, anna) as opened:
        opened.open("/access/audit")
        page = opened.page
        page.get_by_role("button", name="Verify the chain").click()
        page.get_by_text("verified in this browser").wait_for()
        page.locator("main").get_by_role("listitem").first.get_by_role("button").click()
        opened.picture("audit-verified")
        assert opened.inaccessible() == []
        page.route("**/graphql", _changed)
        page.get_by_role("button", name="Verify the chain").click()
        page.get_by_text("Entry 2 was changed after it was written.").wait_for()
        assert opened.wrong() == []


def test_a_budget_is_set_and_seen_as_a_bar(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server, anna) as opened:
        opened.open("/spend/budgets")
        page = opened.page
        page.get_by_label("Scope").fill("model:echo/large")
        page.get_by_label("Limit").fill("2.50")
        page.get_by_role("button", name="Set", exact=True).click()
        row = page.get_by_role("listitem").filter(has_text="model:echo/large")
        row.get_by_text("of $2.50 a day").wait_for()
        opened.picture("budgets-full")
        page.get_by_label("Scope").fill("nonsense")
        page.get_by_label("Limit").fill("1")
        page.get_by_role("button", name="Set", exact=True).click()
        page.get_by_role("alert").wait_for()
        assert opened.inaccessible() == []
        assert [each for each in opened.wrong() if "400" not in each] == []


def test_files_are_dropped_into_a_base_searched_in_three_ways_and_rebuilt(
    browser: Any, server: Served, anna: Browser
) -> None:
    with tab(browser, server, anna) as opened:
        opened.open("/knowledge")
        page = opened.page
        page.get_by_label("Name of the new base").fill("handbook")
        page.get_by_role("button", name="Add documents …").click()
        files = [{"name": name, "mimeType": "text/markdown", "buffer": data} for name, data in LEAFLETS.items()]
        page.get_by_label("Choose files").set_input_files(files)
        page.get_by_text("Added returns.md, evil.md.").wait_for()
        page.get_by_label("Search test").fill("How long can I send goods back?")
        page.get_by_role("button", name="Search").click()
        words = page.get_by_role("group", name="By words")
        words.get_by_text("Goods can be sent back within 30 days").wait_for()
        words.get_by_text(re.compile("by both 1|only here")).first.wait_for()
        opened.picture("knowledge-search")
        assert opened.inaccessible() == []
        page.get_by_role("button", name="Rebuild").click()
        page.get_by_text("Nothing is missing.").wait_for()
        page.get_by_role("cell", name="Note").get_by_role("link").click()
        page.get_by_text("Looks like prompt injection").wait_for()
        opened.picture("knowledge-document")
        assert opened.inaccessible() == []
        page.get_by_role("button", name="Approve").click()
        page.get_by_role("dialog").get_by_role("button", name="Approve").click()
        page.get_by_text("withheld from search").wait_for(state="detached")
        page.get_by_role("button", name="Remove").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove document").click()
        page.get_by_role("heading", name="handbook").wait_for()
        assert opened.wrong() == []


def test_settings_say_what_is_set_and_what_could_be_and_reload_by_click(
    browser: Any, server: Served, anna: Browser
) -> None:
    with tab(browser, server, anna) as opened:
        opened.open("/settings")
        page = opened.page
        page.get_by_text("[alerts.many_requests]").wait_for()
        page.get_by_label("Find a setting").fill("sample_rate")
        page.get_by_text("[shadow]").wait_for()
        page.get_by_role("button", name="Reload the file").click()
        page.get_by_text("Reloaded: 3 models.").wait_for()
        opened.picture("settings-found")
        assert opened.inaccessible() == []
        assert opened.wrong() == []


def _chat(server: Served, key: str) -> int:
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "Hello"}]}
    return server.ask("/v1/chat/completions", body, key=key).status


def _decoded(shown: str) -> bytes:
    text = shown.replace(" ", "").replace("\n", "")
    return base64.b32decode(text + "=" * (-len(text) % 8))


def _code(secret: bytes) -> str:
    return totp_code(secret, int(time.time()) // STEP_S)


def _changed(route: Any) -> None:
    """As a server that rewrote what it logged."""
    answer = route.fetch()
    said = answer.json()
    events = said.get("data", {}).get("audit", [])
    for event in events:
        if event["seq"] == 2 and "chained" in event:
            event["chained"] = event["chained"].replace('"action":"', '"action":"not.')
    route.fulfill(response=answer, json=said)


def _until_role(server: Served, email: str, role: str) -> None:
    until(lambda: {"email": email, "role": role} in graphql(server, "{ users { email role } }").data["users"])
