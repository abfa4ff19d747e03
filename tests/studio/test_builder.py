"""The flow builder in a real browser: text, canvas and form are one document; tried, published, restored."""

from __future__ import annotations

from typing import Any

import pytest

from bench.studio.large_flow import IN_VIEW, large_flow
from tests.auth.user_client import Browser
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, until
from tests.studio.browser import tab

pytestmark = pytest.mark.browser
TEXT = """\
name: {name}
inputs:
  question: text

nodes:
  # What the small model says first.
  first:
    kind: ask
    model: echo/small
    prompt: "{{{{ inputs.question }}}}"   # as asked
  second:
    kind: template
    text: "Said: {{{{ first.text }}}}"

outputs:
  answer: "{{{{ second.text }}}}"
"""
PUBLISH = "mutation($text: String!) { publishFlow(text: $text) { flow { version } } }"
LIVE = "query($name: String!) { flow(name: $name) { text version } }"


def published(server: Served, name: str, text: str = TEXT) -> None:
    assert graphql(server, PUBLISH, text=text.format(name=name)).data["publishFlow"]


def live(server: Served, name: str) -> str:
    """Empty: nothing is published."""
    return str((graphql(server, LIVE, name=name).data["flow"] or {"text": ""})["text"])


def written(page: Any) -> str:
    """The text in the editor, as far as it is drawn."""
    return "\n".join(page.locator("[data-editor] .cm-line").all_inner_texts())


def test_a_gesture_changes_the_text_and_nothing_else_and_is_undone(browser: Any, server: Served, anna: Browser) -> None:
    published(server, "builder_one")
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/flows/builder_one")
        page.locator("[data-node=first]").wait_for()
        before = written(page)
        opened.picture("flow-text")
        page.locator("[data-node=second]").click()
        page.get_by_role("tab", name="Node").click()
        opened.picture("flow-node")
        assert opened.inaccessible() == []
        page.get_by_label("Name", exact=True).fill("reply")
        page.get_by_label("Name", exact=True).press("Tab")
        page.locator("[data-node=reply]").wait_for()
        page.get_by_role("tab", name="Text").click()
        assert written(page) == before.replace("second", "reply")
        page.get_by_role("button", name="Undo").click()
        page.locator("[data-node=second]").wait_for()
        assert written(page) == before
        assert opened.wrong() == []


def test_keys_go_through_the_picture_and_enter_presses_its_buttons(browser: Any, server: Served, anna: Browser) -> None:
    published(server, "builder_keys")
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/flows/builder_keys")
        page.locator("[data-node=first]").wait_for()
        drawn = page.locator(".svelte-flow__viewport")
        before = drawn.get_attribute("style")
        page.get_by_role("button", name="Smaller", exact=True).focus()
        page.keyboard.press("Enter")
        until(lambda: page.wait_for_timeout(30) or drawn.get_attribute("style") != before)
        assert page.get_by_role("tab", name="Text").get_attribute("aria-selected") == "true"
        page.get_by_role("application", name="Picture of the flow").focus()
        page.keyboard.press("ArrowRight")
        page.locator(".card.selected").wait_for()
        page.keyboard.press("Enter")
        page.get_by_label("Name", exact=True).wait_for()
        assert page.get_by_role("tab", name="Node").get_attribute("aria-selected") == "true"
        assert opened.wrong() == []


def test_an_edge_is_drawn_as_a_sentence_and_a_trial_shows_what_each_node_did(
    browser: Any, server: Served, anna: Browser
) -> None:
    published(server, "builder_two")
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/flows/builder_two")
        page.locator("[data-node=first]").click()
        page.get_by_label("Add a node").select_option("template")
        page.locator("[data-node=template]").wait_for()
        page.get_by_role("tab", name="Node").click()
        page.get_by_role("button", name="Connect …").click()
        page.get_by_label("To", exact=True).select_option("second")
        opened.picture("flow-connect")
        assert opened.inaccessible() == []
        page.get_by_role("button", name="second comes after template").click()
        page.get_by_role("tab", name="Text").click()
        assert "second:\n    kind: template\n    after: template\n" in written(page)
        page.get_by_role("tab", name="Try").click()
        page.get_by_label("question").fill("Hello [[say Good day.]]")
        page.get_by_role("button", name="Try all").click()
        page.get_by_text("Said: Good day.").first.wait_for()
        page.get_by_role("cell", name="done echo/small").wait_for()
        page.get_by_role("button", name="first", exact=True).click()
        page.get_by_role("button", name="Pin this output").click()
        page.get_by_role("button", name="Try all").click()
        page.get_by_role("cell", name="pinned").wait_for()
        opened.picture("flow-try")
        assert opened.inaccessible() == []
        assert opened.wrong() == []


def test_a_draft_is_published_and_the_version_before_is_restored(browser: Any, server: Served, anna: Browser) -> None:
    published(server, "builder_three")
    before = live(server, "builder_three")
    with tab(browser, server, anna, dark=True) as opened:
        page = opened.page
        opened.open("/flows/builder_three")
        page.locator("[data-node=second]").click()
        page.get_by_role("tab", name="Node").click()
        page.get_by_label("text text").fill("Heard: {{ first.text }}")
        page.get_by_label("text text").press("Tab")
        page.get_by_role("button", name="Publish …").click()
        page.get_by_text('+    text: "Heard: {{ first.text }}"').wait_for()
        page.get_by_role("button", name="As picture").click()
        page.locator("dialog [data-node=second].changed").wait_for()
        opened.picture("flow-publish-dark")
        assert opened.inaccessible() == []
        page.get_by_label("Note").fill("It hears now.")
        page.get_by_role("button", name="Publish it").click()
        page.get_by_role("dialog").wait_for(state="detached")
        until(lambda: live(server, "builder_three") == before.replace("Said", "Heard"))
        page.get_by_role("tab", name="Versions").click()
        newest = page.get_by_role("listitem").filter(has_text="live")
        newest.get_by_text("It hears now.").wait_for()
        newest.get_by_text("by you").wait_for()
        opened.picture("flow-versions")
        page.get_by_role("button", name="Restore …").click()
        page.get_by_role("button", name="Restore it").click()
        page.get_by_role("dialog").wait_for(state="detached")
        until(lambda: live(server, "builder_three") == before)
        assert opened.wrong() == []


def test_who_was_faster_loses_nothing(browser: Any, server: Served, anna: Browser) -> None:
    published(server, "builder_four")
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/flows/builder_four")
        page.locator("[data-node=second]").click()
        page.get_by_role("tab", name="Node").click()
        page.get_by_label("text text").fill("Mine: {{ first.text }}")
        page.get_by_label("text text").press("Tab")
        published(server, "builder_four", TEXT.replace("echo/small", "echo/large"))
        page.get_by_role("button", name="Publish …").click()
        page.get_by_role("button", name="Publish it").click()
        page.get_by_text("Their changes and yours do not touch").wait_for()
        page.get_by_text("admin published version").wait_for()
        opened.picture("flow-conflict")
        page.get_by_role("button", name="Keep both").click()
        page.get_by_role("button", name="Publish …").click()
        page.get_by_role("button", name="Publish it").click()
        page.get_by_role("dialog").wait_for(state="detached")
        until(lambda: "echo/large" in live(server, "builder_four") and "Mine:" in live(server, "builder_four"))
        assert [each for each in opened.wrong() if "409" not in each] == []


def test_completion_knows_what_is_upstream_and_a_mistake_has_its_fix(
    browser: Any, server: Served, anna: Browser
) -> None:
    published(server, "builder_five")
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/flows/builder_five")
        page.locator("[data-editor] .cm-line", has_text="Said").click()
        page.keyboard.press("End")
        page.keyboard.press("ArrowLeft")
        page.keyboard.type(" {{ fir")
        page.locator(".cm-tooltip-autocomplete").get_by_text("first.text").wait_for()
        opened.picture("flow-completion")
        assert page.locator(".cm-tooltip-autocomplete").get_by_text("second.").count() == 0
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Undo").click()
        page.locator("[data-editor] .cm-line", has_text="model: echo/small").click()
        page.keyboard.press("Home")
        for _ in range(3):
            page.keyboard.press("Delete")
        page.keyboard.type("mdo")
        page.get_by_role("button", name="1 mistake").wait_for()
        page.locator("[data-node=first]").click()
        page.get_by_role("tab", name="Node").click()
        page.get_by_role("button", name="Change it to 'model'").click()
        page.get_by_role("button", name="1 mistake").wait_for(state="detached")
        assert opened.wrong() == []


def test_a_new_flow_begins_as_a_draft_of_a_template(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/flows")
        page.get_by_role("button", name="New flow").click()
        page.get_by_label("Name").fill("builder_six")
        opened.picture("flow-new")
        assert opened.inaccessible() == []
        page.get_by_text("Approve before sending").click()
        page.get_by_role("button", name="Make a draft").click()
        page.locator("[data-node=decision]").wait_for()
        page.get_by_role("button", name="Publish …").click()
        page.get_by_role("button", name="Publish it").click()
        until(lambda: "kind: approve" in live(server, "builder_six"))
        assert opened.wrong() == []


def test_a_flow_is_read_and_changed_on_a_phone(browser: Any, server: Served, anna: Browser) -> None:
    published(server, "builder_seven")
    with tab(browser, server, anna, phone=True) as opened:
        opened.open("/flows/builder_seven?view=canvas")
        opened.page.get_by_role("button", name="second template").click()
        opened.picture("flow-phone")
        opened.page.get_by_role("tab", name="Node", exact=True).click()
        opened.picture("flow-phone-node")
        assert not opened.scrolls_sideways()
        opened.page.get_by_role("tab", name="Text").click()
        assert not opened.scrolls_sideways()
        assert opened.wrong() == []


def test_story_15_300_nodes_open_move_and_are_changed_where_a_link_leads(
    browser: Any, server: Served, anna: Browser
) -> None:
    text = large_flow(300)
    assert graphql(server, PUBLISH, text=text).errors == []
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/flows/large")
        page.locator("[data-node=node_0]").wait_for()
        assert page.locator("[data-node=node_299]").count() == 0, "only what is in view is drawn"
        seen = set(page.locator("[data-node]").evaluate_all("all => all.map((each) => each.dataset.node)"))
        assert len(seen) >= IN_VIEW
        pane = page.locator(".svelte-flow__pane")
        pane.hover()
        page.mouse.wheel(2_000, 0)
        page.locator("[data-node=node_0]").wait_for(state="detached")
        page.locator("[data-node]").first.wait_for()
        opened.open("/flows/large?node=node_299&view=node")
        page.locator("[data-node=node_299]").wait_for()
        field = page.get_by_label("text text")
        field.fill("Far: {{ node_289.text }}")
        field.press("Tab")
        page.get_by_role("tab", name="Text").click()
        page.locator("[data-editor] .cm-line", has_text="Far: {{ node_289.text }}").wait_for()
        page.get_by_role("button", name="Undo").click()
        page.locator("[data-editor] .cm-line", has_text="Far:").wait_for(state="detached")
        opened.picture("flow-300")
        assert opened.wrong() == []
