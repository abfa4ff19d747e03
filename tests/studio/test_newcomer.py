"""A person who has never seen YAML: from documents to an assistant that is asked, found, paid, and rolled back."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.auth.user_client import Browser, new_user
from tests.graphql.graphql_client import graphql
from tests.lamatic.test_uploaded_files import kit, zipped
from tests.running_server import Served, serving, until
from tests.studio import traffic
from tests.studio.browser import tab
from tests.studio.test_builder import TEXT, live, published, written

pytestmark = pytest.mark.browser
RETURNS = b"# Returns\n\nYou can send any lamp back within 30 days of delivery. Sale articles cannot be returned.\n"
SHIPPING = b"# Shipping\n\nShipping costs 4.95 euro, and nothing for orders above 50 euro.\n"
QUESTION = "How long can I send a lamp back? [[say Within 30 days [1].]]"
RECORDS = "{ records(last: 200) { rows { model flow node } } }"
START = "mutation($flow: String!, $inputs: JSON!) { startFlowRun(flow: $flow, inputs: $inputs) { id } }"
DROP = """([selector, name, base64]) => {
  const data = new DataTransfer();
  data.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name));
  document.querySelector(selector).dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true }));
}"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("newcomer"), traffic.SETTINGS) as served:
        yield served


@pytest.fixture(scope="module")
def lena(fresh: Served) -> Browser:
    return new_user(fresh, "lena@example.com", "owner")


def asked_by(server: Served, node: str) -> int:
    """How many requests of this node are recorded."""
    return sum(row["node"] == node for row in graphql(server, RECORDS).data["records"]["rows"])


def test_a_folder_of_documents_becomes_an_assistant(browser: Any, tmp_path: Path) -> None:
    with serving(tmp_path, traffic.SETTINGS) as served, tab(browser, served) as opened:
        page = opened.page
        page.goto(served.sign_in)
        page.get_by_role("heading", name="Play").wait_for()
        page.get_by_role("link", name="Home", exact=True).click()
        documents = page.get_by_role("listitem").filter(has_text="Add your documents").get_by_role("link")
        documents.wait_for()
        opened.picture("home-fresh")
        documents.click()
        page.get_by_label("Name of the new base").fill("lamps")
        page.get_by_role("button", name="Add documents …").click()
        files = [
            {"name": name, "mimeType": "text/markdown", "buffer": data}
            for name, data in {"returns.md": RETURNS, "shipping.md": SHIPPING}.items()
        ]
        page.get_by_label("Choose files").set_input_files(files)
        page.get_by_text("Added returns.md, shipping.md.").wait_for()
        page.get_by_role("link", name="New flow that answers from it").click()
        page.get_by_label("Name", exact=True).fill("Lamp help")
        page.get_by_role("button", name="Make a draft").click()
        page.get_by_text("Lamp help cannot be its name.").wait_for()
        page.get_by_role("button", name="Use lamp_help").click()
        page.get_by_role("button", name="Make a draft").click()
        page.locator("[data-node=find]").get_by_text("lamps").wait_for()
        page.get_by_role("button", name="Try", exact=True).click()
        page.get_by_text("Fill in question, then try.").wait_for()
        page.keyboard.type(QUESTION)
        page.get_by_role("button", name="Try all").click()
        page.get_by_role("figure").filter(has_text="answer").get_by_text("Within 30 days [1].").wait_for()
        page.get_by_role("button", name="answer", exact=True).click()
        page.get_by_role("region", name="What answer did").get_by_text(
            re.compile(r"echo/small: (?!the flow).+ tokens")
        ).wait_for()
        opened.picture("newcomer-try")
        page.get_by_role("button", name="Publish …").click()
        page.get_by_role("button", name="Publish it").click()
        page.get_by_text("Programs ask it as the model flow:lamp_help.").wait_for()
        page.get_by_role("tab", name="Versions").click()
        page.get_by_text("by you").wait_for()

        client = openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key)
        answer = client.chat.completions.create(
            model="flow:lamp_help", messages=[{"role": "user", "content": QUESTION}]
        )
        assert answer.choices[0].message.content == "Within 30 days [1]."

        page.get_by_role("link", name="records", exact=True).click()
        page.get_by_text("in lamp_help").first.wait_for()
        page.locator(".time a").first.click()
        page.get_by_role("heading", name="What it caused").wait_for()
        page.get_by_text(re.compile("^2 requests to models, ")).wait_for()
        opened.picture("newcomer-record")
        assert opened.wrong() == []


def test_a_folder_keeps_its_paths_and_one_bad_file_keeps_no_other_out(
    browser: Any, fresh: Served, lena: Browser, tmp_path: Path
) -> None:
    for name, data in {"eu/rules.md": RETURNS, "us/rules.md": SHIPPING, "logo.png": b"\x89PNG\r\n\x1a\n\0\0"}.items():
        (tmp_path / "shop" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shop" / name).write_bytes(data)
    with tab(browser, fresh, lena) as opened:
        page = opened.page
        opened.open("/knowledge/rules")
        page.get_by_label("Confidentiality").select_option("public")
        page.get_by_label("Choose a folder").set_input_files(tmp_path / "shop")
        page.get_by_text(re.compile("^Added .*eu/rules.md")).wait_for()
        page.get_by_role("alert").get_by_text("1 file not added").wait_for()
        page.get_by_role("alert").get_by_text("logo.png").wait_for()
        page.get_by_role("row").filter(has_text="Returns").get_by_text("public, everyone").wait_for()
        page.get_by_role("row").filter(has_text="Shipping").wait_for()
        opened.picture("knowledge-refused")
        assert [each for each in opened.wrong() if "400" not in each] == []


def test_what_was_published_is_rolled_back(browser: Any, fresh: Served, lena: Browser) -> None:
    published(fresh, "rolled")
    before = live(fresh, "rolled")
    published(fresh, "rolled", TEXT.replace("Said", "Shouted"))
    with tab(browser, fresh, lena) as opened:
        opened.open("/flows/rolled?view=versions")
        opened.page.get_by_role("button", name="Restore …").click()
        opened.page.get_by_role("button", name="Restore it").click()
        until(lambda: live(fresh, "rolled") == before)


def test_one_node_alone_takes_a_past_run_and_asks_no_other(browser: Any, fresh: Served, lena: Browser) -> None:
    text = TEXT.replace("kind: template\n    text:", "kind: ask\n    model: echo/large\n    prompt:")
    published(fresh, "past", text)
    graphql(fresh, START, flow="past", inputs={"question": "Hello [[say Good day.]]"})
    until(lambda: asked_by(fresh, "second") == 1)
    with tab(browser, fresh, lena) as opened:
        page = opened.page
        opened.open("/flows/past?node=second&view=try")
        page.get_by_label("From a past run").select_option(index=1)
        page.get_by_role("button", name="Only second").click()
        page.get_by_role("cell", name="done echo/large").wait_for()
        page.get_by_role("cell", name="pinned").wait_for()
        opened.picture("flow-past-run")
        until(lambda: asked_by(fresh, "second") == 2)
        assert asked_by(fresh, "first") == 1
        assert opened.wrong() == []


def test_a_node_that_fails_says_what_and_what_next(browser: Any, fresh: Served, lena: Browser) -> None:
    published(fresh, "failing")
    with tab(browser, fresh, lena) as opened:
        opened.open("/flows/failing?view=try")
        opened.page.get_by_label("question").fill("Hello [[fail refused]]")
        opened.page.get_by_role("button", name="Try all").click()
        opened.page.get_by_role("alert").filter(has_text="first:").wait_for()
        opened.picture("flow-try-failed")
        assert opened.inaccessible() == []
        assert opened.wrong() == []


def test_the_cursor_chooses_its_node(browser: Any, fresh: Served, lena: Browser) -> None:
    published(fresh, "cursor")
    with tab(browser, fresh, lena) as opened:
        opened.open("/flows/cursor")
        opened.page.locator("[data-editor] .cm-line", has_text="Said").click()
        opened.page.locator("[data-node=second].selected").wait_for()
        assert opened.wrong() == []


def test_a_lamatic_kit_is_dropped_and_opened_as_a_draft(browser: Any, fresh: Served, lena: Browser) -> None:
    packed = base64.b64encode(zipped(kit("LLMNode", "slackNode"))).decode()
    with tab(browser, fresh, lena) as opened:
        page = opened.page
        opened.open("/flows")
        page.get_by_role("button", name="New flow").click()
        page.evaluate(DROP, [".drop", "kit.zip", packed])
        page.get_by_text("there is no node of this kind in Sizewise").wait_for()
        opened.picture("flow-import")
        assert opened.inaccessible() == []
        page.get_by_role("region", name="llmnode").get_by_role("button", name="Open as a draft").click()
        page.get_by_role("heading", name="llmnode").wait_for()
        page.get_by_text("Write about {{ inputs.topic }}").first.wait_for()
        assert opened.wrong() == []


def test_what_was_typed_for_a_trial_and_a_draft_from_words_outlive_a_look_at_another_view(
    browser: Any, fresh: Served, lena: Browser
) -> None:
    published(fresh, "viewed")
    new = "name: viewed\nnodes:\n  only:\n    kind: template\n    text: Hi\noutputs:\n  answer: '{{ only.text }}'"
    with tab(browser, fresh, lena) as opened:
        page = opened.page
        opened.open("/flows/viewed?view=try")
        page.get_by_label("question").fill("Typed once")
        page.get_by_role("tab", name="Words").click()
        page.get_by_label("What shall it do").fill(f"Say hi. [[pace 0.05]] [[say {new}]]")
        page.get_by_role("button", name="Write a draft").click()
        page.get_by_role("tab", name="Try").click()
        assert page.get_by_label("question").input_value() == "Typed once"
        page.get_by_role("tab", name="Words").click()
        page.get_by_text("the check finds no mistake").wait_for()
        page.get_by_role("tab", name="Text").click()
        page.get_by_role("tab", name="Words").click()
        page.get_by_role("button", name="Take it into the draft").click()
        page.locator("[data-node=only]").wait_for()
        assert opened.wrong() == []


def test_a_flow_is_drafted_from_words_and_accepted_as_a_difference(browser: Any, fresh: Served, lena: Browser) -> None:
    published(fresh, "worded")
    new = "name: worded\\nnodes:\\n  only:\\n    kind: template\\n    text: Hi\\noutputs:\\n  answer: '{{ only.text }}'"
    with tab(browser, fresh, lena) as opened:
        page = opened.page
        opened.open("/flows/worded?view=words")
        page.get_by_label("What shall it do").fill(f"Say hi. [[say {new}]]".replace("\\n", "\n"))
        page.get_by_role("button", name="Write a draft").click()
        page.get_by_text("the check finds no mistake").wait_for()
        page.get_by_text("Nodes: 1 new, 2 removed.").wait_for()
        opened.picture("flow-words")
        assert opened.inaccessible() == []
        page.get_by_role("button", name="Take it into the draft").click()
        page.get_by_role("tab", name="Text").click()
        page.locator("[data-editor] .cm-line", has_text="text: Hi").wait_for()
        assert "first" not in written(page)
        page.get_by_role("button", name="Undo").click()
        page.locator("[data-node=first]").wait_for()
        assert opened.wrong() == []
