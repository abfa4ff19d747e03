"""Hostile words of users, documents, models and colleagues: on each page they are words, and nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sizewise.gateway.studio import PAGES
from tests.auth.user_client import Browser, new_user
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving, until
from tests.studio import traffic
from tests.studio.browser import tab
from tests.studio.test_play import HOSTILE

pytestmark = pytest.mark.browser
ANNOTATED = """
[annotation.resolved]
rubric = "Is it answered? <img src=x onerror=alert(1)>"
scores = { resolved = ["no", "yes <script>alert(1)</script>"] }
"""
FLOW = """\
name: hostile
description: "<img src=x onerror=alert(1)> [click](javascript:alert(1))"
inputs: {mail: text}
nodes:
  draft: {kind: template, text: "{{ inputs.mail }}"}
  check: {kind: approve, question: "<script>alert(1)</script> Send?", show: "{{ draft.text }}"}
outputs: {answer: "{{ draft.text }}"}
"""
PROMPT = '---\ndescription: "<svg onload=alert(1)>"\n---\n<script>alert(1)</script> {{ name }}\n'
SUITE = "target: echo/small\ndata: hostile.jsonl\nscorers:\n  right: {kind: contains}\n"
MUTATIONS = {
    "key": "mutation($w: String!) { createKey(name: $w) { key { id } } }",
    "document": 'mutation($w: String!) { addDocument(base: "hostile", source: $w, title: $w, text: $w) { id } }',
    "run": 'mutation($w: JSON) { startFlowRun(flow: "hostile", inputs: $w) { id } }',
    "silence": 'mutation($w: String!) { silenceAlert(rule: "many_requests", hours: 1, reason: $w) { id } }',
    "item": 'mutation($w: JSON!) { addAnnotationItems(queue: "resolved", items: $w) { added } }',
    "widget": """mutation($w: String) {
      createWidget(name: "hostile", target: "auto:default", origins: [], title: $w, greeting: $w) {
        widget { name } } }""",
    "draft": 'mutation($w: String!) { saveFlowDraft(name: "hostile_draft", text: $w) { saved } }',
}
TURNING = """() => {
  const found = [], turning = /[\\u202a-\\u202e\\u2066-\\u2069]/;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
  for (let node = walk.nextNode(); node; node = walk.nextNode())
    if (turning.test(node.nodeType === 3 ? node.data : node.title ?? '')) found.push(node.parentElement.outerHTML);
  return found;
}"""
"""Text and tooltips with characters that turn it and are not seen."""
UNISOLATED = """() => [...document.querySelectorAll('main *')]
  .filter((each) => [...each.childNodes].some((node) => node.nodeType === 3 && /[\\u202a-\\u202e]/.test(node.data)))
  .filter((each) => getComputedStyle(each).display === 'inline')
  .filter((each) => getComputedStyle(each).unicodeBidi === 'normal')
  .map((each) => each.outerHTML)"""
"""Elements in a line whose characters could turn what stands beside them."""
SHORT = tuple(words[:60] for words in HOSTILE)
INNER = ("/flows/hostile", "/knowledge/hostile", "/prompts/hostile", "/widgets/hostile", "/evals/hostile")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server where people, documents, models and names are hostile."""
    home = tmp_path_factory.mktemp("hostile")
    item = {"id": SHORT[0], "input": SHORT[1], "expected": SHORT[2], "tags": [SHORT[3]]}
    files = {
        "flows/hostile.yaml": FLOW,
        "prompts/hostile.md": PROMPT,
        "evals/hostile.yaml": SUITE,
        "evals/hostile.jsonl": json.dumps(item) + "\n",
    }
    for name, text in files.items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)
    with serving(home, traffic.SETTINGS + ANNOTATED) as server:
        until(lambda: graphql(server, "{ flows { name } }").data["flows"])
        for number, words in enumerate(HOSTILE):
            graphql(server, MUTATIONS["key"], w=SHORT[number])
            graphql(server, MUTATIONS["document"], w=words[:2_000] or "x")
            graphql(server, MUTATIONS["item"], w=[{"ref": f"r{number}", "input": words, "answer": words}])
            server.chat("echo/small", f"{words} [[say {SHORT[number]}]]")
            server.chat(SHORT[number], words)
            if number < 12:
                graphql(server, MUTATIONS["run"], w={"mail": words})
                new_user(server, f"evil{number}@example.com", "viewer")
        graphql(server, MUTATIONS["silence"], w=SHORT[0])
        graphql(server, MUTATIONS["widget"], w=SHORT[1])
        graphql(server, 'mutation { startEval(suite: "hostile", new: true) { id } }')
        yield server


@pytest.fixture(scope="module")
def owner(planted: Served) -> Browser:
    return new_user(planted, "owner@example.com", "owner")


def waiting_run(owner: Browser) -> str:
    found: str = owner.graphql("{ flowRuns(last: 1) { id } }").data["flowRuns"][0]["id"]
    return found


def test_story_26_hostile_words_are_words_on_every_page(browser: Any, planted: Served, owner: Browser) -> None:
    assert len(HOSTILE) >= 40
    run = waiting_run(owner)
    saved = owner.graphql(MUTATIONS["draft"], w="\n".join(f"# {words}" for words in HOSTILE[:30]))
    assert saved.errors == [], saved.errors
    shown = ""
    with tab(browser, planted, owner) as opened:
        for path in (*(each for each in PAGES if "{" not in each), *INNER, f"/runs/{run}", "/annotate/resolved"):
            opened.open(path)
            shown += opened.page.locator("main").inner_text()
            opened.picture(f"hostile-{path.strip('/').replace('/', '-') or 'home'}")
            assert opened.page.url.startswith(planted.url), path
            assert not opened.scrolls_sideways(), path
            assert opened.wrong() == [], path
        opened.open("/flows/hostile_draft")
        opened.page.locator("[data-editor] .cm-line").first.wait_for()
        opened.page.keyboard.press("Control+k")
        opened.page.keyboard.type("script")
        assert opened.page.get_by_role("combobox", name="Go to a page").input_value() == "script"
        assert opened.wrong() == []
    assert "<script>alert(1)</script>" in shown and "<img src=x onerror=" in shown


def test_story_26_hostile_words_fit_a_phone(browser: Any, planted: Served, owner: Browser) -> None:
    lists = ("/inbox", "/records", "/access/keys", "/annotate/resolved", "/alerts", "/evals/judges")
    with tab(browser, planted, owner, phone=True, dark=True) as opened:
        for path in (*lists, *INNER, f"/runs/{waiting_run(owner)}"):
            opened.open(path)
            opened.picture(f"hostile-{path.strip('/').replace('/', '-')}-phone")
            assert not opened.scrolls_sideways(), path
            assert opened.inaccessible() == [] and opened.wrong() == [], path


def test_story_26_a_name_that_turns_text_turns_nothing_else(browser: Any, planted: Served, owner: Browser) -> None:
    name = "echo/safe\u202egpj.exe"
    planted.chat(name, "Hello")
    shown = "safe[U+202E]gpj.exe"
    with tab(browser, planted, owner) as opened:
        opened.open("/records")
        opened.page.get_by_text(shown).first.wait_for()
        assert (opened.page.evaluate(TURNING), opened.page.evaluate(UNISOLATED)) == ([], [])
        opened.picture("hostile-turning")
        opened.page.get_by_role("row").filter(has_text=shown).get_by_role("link").first.click()
        opened.page.get_by_role("heading", level=1).get_by_text(shown).or_(
            opened.page.get_by_text(shown)
        ).first.wait_for()
        assert opened.page.evaluate(TURNING) == []
        assert opened.wrong() == []
