"""Editing a flow in a real browser: text and canvas at once, edges, renames, mistakes, pins, the keyboard alone."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.auth.user_client import Browser
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, until
from tests.studio.browser import tab
from tests.studio.test_builder import TEXT, live, published, written

pytestmark = pytest.mark.browser
FIXES = "query($t: String!) { checkFlow(text: $t) { findings { message severity node line fixes { title } } } }"
CHECK = "query($t: String!) { checkFlow(text: $t) { valid findings { message } } }"
ROUTED = """\
name: {name}
inputs:
  question: text
nodes:
  find:
    kind: template
    text: "{{{{ inputs.question }}}}"
  route:
    kind: branch
    cases:
      refund: "{{{{ inputs.question == 'refund' }}}}"
  reply:
    kind: template
    text: Write here.
  hand_over:
    kind: template
    text: A person answers.
outputs:
  answer: "{{{{ reply.text }}}}"
"""
MISTAKES = {
    "a kind that is none": ("kind: ask", "kind: asks"),
    "a kind that is missing": ("kind: ask\n", ""),
    "a field that is none": ("model: echo/small", "mdoel: echo/small"),
    "another kind that is none": ("kind: template", "kind: temlate"),
    "a required field that is missing": ('    prompt: "{{ inputs.question }}"   # as asked\n', ""),
    "a node that is none": ("first.text", "frist.text"),
    "an output that is none": ("first.text", "first.txt"),
    "an input that is none": ("inputs.question", "inputs.qestion"),
    "a node of itself": ("Said: {{ first.text }}", "Said: {{ second.text }}"),
    "a filter that is none": ("first.text }}", "first.text | uper }}"),
    "an expression that does not end": ("{{ first.text }}", "{{ first.text"),
    "an expression that is empty": ("{{ first.text }}", "{{ }}"),
    "an operator without its end": ("{{ first.text }}", "{{ first.text + }}"),
    "an order after nothing": ('    text: "Said', '    after: nothing\n    text: "Said'),
    "an order after itself": ('    text: "Said', '    after: second\n    text: "Said'),
    "an output of the flow that is none": ("{{ second.text }}", "{{ secnd.text }}"),
    "an input of a type that is none": ("question: text", "question: txt"),
    "a list where text is due": ("model: echo/small", "model: [echo/small]"),
    "a list where a number is due": ("0.5", "[warm]"),
    "a key of the flow that is none": ("outputs:\n", "outptus:\n"),
    "a name that cannot be one": ("  second:\n", "  2nd:\n"),
    "a key twice": ("    kind: template\n", "    kind: template\n    kind: template\n"),
    "no YAML": ("outputs:\n", "outputs: [\n"),
}


PASTE = """(text) => {
  const editor = document.querySelector('[data-editor]').shadowRoot.querySelector('.cm-content');
  const clipboardData = new DataTransfer();
  clipboardData.setData('text/plain', text);
  editor.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true, composed: true }));
}"""


def typed(page: Any, text: str) -> None:
    """Pastes over all of the text in the editor."""
    page.get_by_role("tab", name="Text").click()
    page.locator("[data-editor] .cm-content").click()
    page.keyboard.press("Control+a")
    page.evaluate(PASTE, text)


def saved(server: Served, anna: Browser, name: str) -> str:
    """The text of the draft."""
    found = anna.graphql("query($n: String!) { flowDraft(name: $n) { text } }", n=name).data["flowDraft"]
    return str((found or {"text": ""})["text"])


def test_story_10_text_and_canvas_are_one_and_broken_text_keeps_the_picture(
    browser: Any, server: Served, anna: Browser
) -> None:
    published(server, "editing_ten")
    text = TEXT.format(name="editing_ten")
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/flows/editing_ten")
        page.locator("[data-node=second]").wait_for()
        typed(page, text.replace("  second:", "  third:").replace("second.", "third."))
        page.locator("[data-node=third]").wait_for()
        page.locator("[data-node=second]").wait_for(state="detached")
        page.locator("[data-node=third]").click()
        page.get_by_role("tab", name="Node").click()
        page.get_by_label("text text").fill("On the canvas: {{ first.text }}")
        page.get_by_label("text text").press("Tab")
        page.get_by_role("tab", name="Text").click()
        page.locator("[data-editor] .cm-line", has_text="On the canvas").wait_for()
        typed(page, text.replace("outputs:", "outputs: ["))
        page.get_by_role("button", name="1 mistake").wait_for()
        assert page.locator("[data-node=first]").is_visible(), "the last good picture stays"
        page.get_by_role("tab", name="Try").click()
        page.get_by_role("button", name="Try all").click()
        page.get_by_role("alert").filter(has_text=re.compile(r"no YAML: line \d+")).wait_for()
        opened.picture("flow-broken")
        assert opened.inaccessible() == [] and opened.wrong() == []


def test_story_11_edges_are_sentences_and_go_again_without_a_trace(browser: Any, server: Served, anna: Browser) -> None:
    published(server, "editing_eleven", ROUTED)
    before = live(server, "editing_eleven")
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/flows/editing_eleven")
        page.locator("[data-node=find]").click()
        page.get_by_role("tab", name="Node").click()
        page.get_by_role("button", name="Connect …").click()
        page.get_by_label("To", exact=True).select_option("reply")
        page.get_by_role("button", name="in text").click()
        page.get_by_role("tab", name="Text").click()
        page.locator("[data-editor] .cm-line", has_text="{{ find.text }}").wait_for()
        page.locator("[data-node=route]").click()
        page.get_by_role("tab", name="Node").click()
        page.get_by_role("button", name="Connect …").click()
        page.get_by_label("To", exact=True).select_option("hand_over")
        page.get_by_role("button", name=re.compile("hand_over comes after route")).click()
        page.get_by_role("tab", name="Text").click()
        page.locator("[data-editor] .cm-line", has_text="after: route").wait_for()
        drawn = written(page)
        assert "hand_over:\n    kind: template\n    after: route" in drawn
        page.locator("[data-edge^=route]").first.dispatch_event("click")
        page.get_by_role("button", name="Remove this order").click()
        page.locator("[data-editor] .cm-line", has_text="after: route").wait_for(state="detached")
        for _ in range(2):
            page.get_by_role("button", name="Undo").click()
        page.locator("[data-editor] .cm-line", has_text="find.text").wait_for()
        page.get_by_role("button", name="Undo").click()
        page.locator("[data-editor] .cm-line", has_text="find.text").wait_for(state="detached")
        assert written(page).strip() == before.strip()
        assert opened.wrong() == []


def test_story_12_a_new_name_reaches_thirty_places_in_one_step(browser: Any, server: Served, anna: Browser) -> None:
    uses = "".join(f'  use{n}:\n    kind: template\n    text: "{n}: {{{{ source.text }}}}"\n' for n in range(28))
    each = (
        "  many:\n    kind: each\n    items: [1, 2]\n    nodes:\n"
        '      inner:\n        kind: template\n        text: "{{ source.text }} {{ source.text }}"\n'
        '    outputs: "{{ inner.text }}"\n'
    )
    text = (
        "name: editing_twelve\ninputs: {question: text}\nnodes:\n"
        '  source:\n    kind: template\n    text: "{{ inputs.question }}"\n'
        + uses
        + each
        + 'outputs:\n  answer: "{{ use0.text }}"\n'
    )
    checked = graphql(server, CHECK, t=text).data["checkFlow"]
    assert checked["valid"], checked
    published(server, "editing_twelve", text.replace("{", "{{").replace("}", "}}"))
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/flows/editing_twelve?node=source&view=node")
        page.locator("[data-node=source]").wait_for()
        page.get_by_label("Name", exact=True).fill("origin")
        page.get_by_label("Name", exact=True).press("Tab")
        page.locator("[data-node=origin]").wait_for()
        renamed = text.replace("source", "origin")
        until(lambda: saved(server, anna, "editing_twelve") == renamed)
        assert renamed.count("origin.") == 30 and graphql(server, CHECK, t=renamed).data["checkFlow"]["valid"]
        page.get_by_role("button", name="Undo").click()
        page.locator("[data-node=source]").wait_for()
        assert page.get_by_role("button", name="Undo").is_disabled(), "one step"
        assert opened.wrong() == []


def test_story_13_planted_mistakes_are_marked_and_mended_with_one_click(
    browser: Any, server: Served, anna: Browser
) -> None:
    text = TEXT.format(name="editing_thirteen").replace("    prompt:", "    temperature: 0.5\n    prompt:")
    published(server, "editing_thirteen", text.replace("{", "{{").replace("}", "}}"))
    mended = []
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/flows/editing_thirteen")
        page.locator("[data-node=second]").wait_for()
        for name, (right, wrong) in MISTAKES.items():
            planted = text.replace(right, wrong)
            assert planted != text, name
            page.mouse.move(0, 0)
            typed(page, planted)
            page.get_by_role("button", name=re.compile("mistake")).wait_for()
            page.locator("[data-editor] .cm-lint-marker-error").first.wait_for()
            found = graphql(server, FIXES, t=planted).data["checkFlow"]["findings"]
            if node := next((each["node"] for each in found if each["node"] and each["severity"] == "error"), ""):
                page.locator(f"[data-node='{node}'].wrong").wait_for()
            if fix := next((fix for each in found for fix in each["fixes"]), None):
                button = page.locator(".cm-tooltip-lint").get_by_role("button", name=fix["title"]).first
                for mark in page.locator("[data-editor] .cm-lintRange-error").all():
                    mark.hover()
                    page.locator(".cm-tooltip-lint").wait_for()
                    if button.count():
                        break
                button.click()
                mended.append(name)
            else:
                typed(page, text)
            page.get_by_role("button", name=re.compile("mistake")).wait_for(state="detached")
        page.mouse.move(0, 0)
        typed(page, text.replace("model: echo/small", "model: echo/smal"))  # a warning: it may come before it is asked
        page.locator("[data-editor] .cm-lint-marker-warning").first.wait_for()
        page.locator("[data-editor] .cm-lintRange-warning").first.hover()
        offered = page.locator(".cm-tooltip-lint").get_by_role("button")
        offered.first.wait_for()
        assert {"Change it to 'echo/small'", "Change it to 'echo/large'"} <= set(offered.all_inner_texts())
        opened.picture("flow-model-missing")
        offered.get_by_text("'echo/small'").click()
        page.locator("[data-editor] .cm-lint-marker-warning").first.wait_for(state="detached")
        assert "model: echo/small" in written(page)
        opened.picture("flow-mistakes")
        assert len(MISTAKES) >= 22 and len(mended) >= 8, mended
        assert opened.wrong() == []


def test_story_8_a_flow_is_made_tried_published_and_asked_without_a_pointer(
    browser: Any, server: Served, anna: Browser
) -> None:
    with tab(browser, server, anna) as opened:
        page = opened.page
        keys = page.keyboard

        def to(role: str, name: str) -> None:
            """Tab to a control, as a person does who has no pointer."""
            wanted = page.get_by_role(role, name=name, exact=True).first
            wanted.wait_for()
            for _ in range(120):
                if wanted.evaluate("(each) => each === document.activeElement"):
                    return
                keys.press("Tab")
            raise AssertionError(f"Tab does not come to {name!r}")

        opened.open("/")
        keys.press("Control+k")
        page.get_by_role("combobox", name="Go to a page").wait_for()
        keys.type("flows")
        keys.press("Enter")
        page.get_by_role("heading", name="Flows").wait_for()
        to("button", "New flow")
        keys.press("Enter")
        to("textbox", "Name")
        keys.type("editing_eight")
        keys.press("Enter")
        page.locator("[data-node]").first.wait_for()
        to("tab", "Try")
        keys.press("Enter")
        page.get_by_label("question").wait_for()
        to("textbox", "question text, required")
        keys.type("Hello [[say Good day.]]")
        to("button", "Try all")
        keys.press("Enter")
        page.get_by_role("figure").filter(has_text="Good day.").first.wait_for()
        keys.press("Control+k")
        keys.type("publish")
        keys.press("Enter")
        page.get_by_role("button", name="Publish it").wait_for()
        to("button", "Publish it")
        keys.press("Enter")
        page.get_by_text("is live.").wait_for()
        answer = server.chat("flow:editing_eight", "Hello [[say Good day.]]")
        assert answer.status == 200 and b"Good day." in answer.body
        assert opened.wrong() == []


def test_story_19_a_file_that_changed_while_it_was_open_loses_nothing(
    browser: Any, server: Served, anna: Browser
) -> None:
    file = server.home / "flows" / "editing_nineteen.yaml"
    text = TEXT.format(name="editing_nineteen")
    file.write_text(text)
    until(lambda: live(server, "editing_nineteen"))
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/flows/editing_nineteen?node=second&view=node")
        page.get_by_label("text text").fill("Mine: {{ first.text }}")
        page.get_by_label("text text").press("Tab")
        file.write_text(text.replace("echo/small", "echo/large"))
        until(lambda: "echo/large" in live(server, "editing_nineteen"))
        page.get_by_role("button", name="Publish …").click()
        page.get_by_role("button", name="Publish it").click()
        page.get_by_role("button", name="Keep both").click()
        page.get_by_role("button", name="Publish …").click()
        page.get_by_role("button", name="Publish it").click()
        page.get_by_role("dialog").wait_for(state="detached")
        until(lambda: "echo/large" in file.read_text() and "Mine:" in file.read_text())
        assert "# as asked" in file.read_text() and "# What the small model says first." in file.read_text()
        assert [each for each in opened.wrong() if "409" not in each] == []
