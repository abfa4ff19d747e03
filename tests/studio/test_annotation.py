"""Annotation in a real browser: blind, by the keyboard alone, on a phone, and done when the server says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.auth.user_client import new_user
from tests.evals.test_annotation import CONFIG, add
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving, until
from tests.studio.browser import tab
from tests.studio.keyboard import missed

pytestmark = pytest.mark.browser
LABELED = 40


@pytest.fixture(scope="module")
def queued(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("queued"), CONFIG) as served:
        yield served


def items(count: int) -> list[dict[str, object]]:
    return [{"ref": f"r{each}", "input": f"Question {each} <b>", "answer": f"Answer {each}"} for each in range(count)]


def test_story_33_labels_by_the_keyboard_alone_until_none_is_needed(browser: Any, queued: Served) -> None:
    add(queued, "quick", *items(LABELED))
    ada = new_user(queued, "ada@example.com", "annotator")
    with tab(browser, queued, ada) as opened:
        said: list[str] = []
        opened.page.on("response", lambda answer: said.append(answer.url) if "/graphql" in answer.url else None)
        opened.open("/annotate")
        assert opened.page.get_by_role("link", name="Records").count() == 0
        opened.page.get_by_role("link", name="Annotate").last.click()
        opened.page.get_by_text(f"{LABELED} labels still needed").wait_for()
        assert opened.inaccessible() == []
        opened.picture("annotate-light")
        assert missed(opened) == {}
        opened.page.get_by_role("group", name="Your label").focus()
        keys = opened.page.keyboard
        keys.press("s")
        opened.page.get_by_role("button", name="It is unclear").wait_for()
        keys.press("Escape")
        keys.press("c")
        keys.type("a comment with 1 and s")
        keys.press("Escape")
        for done in range(LABELED):
            keys.press("3")
            keys.press("Enter")
            left = LABELED - done - 1
            word = "label still needed" if left == 1 else "labels still needed"
            opened.page.get_by_text(f"{left} {word}" if left else "no label needed any more").wait_for()
            if done == 2:
                keys.press("u")
                opened.page.get_by_text("The item before").wait_for()
                keys.press("1")
                keys.press("Enter")
                opened.page.get_by_text("Stored. Next item.").wait_for()
        opened.page.get_by_role("heading", name="All items have the labels they need").wait_for()
        opened.picture("annotate-done-light")
        assert opened.inaccessible() == [] and opened.wrong() == []


def test_story_31_two_people_see_neither_the_judge_nor_each_other(browser: Any, queued: Served) -> None:
    ref = {"ref": "p1", "input": "Which?", "answer": "First answer", "model": "secret-model-4711"}
    add(queued, "resolved", {name: ref[name] for name in ("ref", "input", "answer")})
    people = [new_user(queued, f"{name}@example.com", "annotator") for name in ("bea", "cyd")]
    for number, person in enumerate(people):
        with tab(browser, queued, person, phone=True, dark=True) as opened:
            bodies: list[str] = []
            opened.page.on(
                "response", lambda answer, kept=bodies: kept.append(answer.text()) if "/graphql" in answer.url else None
            )
            opened.open("/annotate/resolved")
            opened.page.get_by_text("First answer").wait_for()
            assert not opened.scrolls_sideways() and opened.inaccessible() == []
            opened.picture("annotate-phone")
            opened.page.get_by_role("button", name="yes").click()
            opened.page.get_by_role("button", name="Submit").click()
            opened.page.get_by_role("heading", name="no item for you" if number == 0 else "All items have").wait_for()
            before = "".join(bodies)
            assert "echo/" not in before and "bea@" not in before and '"kappa"' not in before
            assert opened.wrong() == []


def test_story_32_a_tab_that_dies_loses_no_item_and_its_holder_may_still_submit(browser: Any, queued: Served) -> None:
    add(queued, "quick", {"ref": "claimed", "input": "A claimed question", "answer": "Its answer"})
    dan, eve = (new_user(queued, f"{name}@example.com", "annotator") for name in ("dan", "eve"))
    with tab(browser, queued, dan) as dies, tab(browser, queued, dan) as stays:
        dies.open("/annotate/quick")
        dies.page.get_by_text("A claimed question").wait_for()
        stays.open("/annotate/quick")
        stays.page.get_by_text("A claimed question").wait_for()
        dies.page.close()
        with tab(browser, queued, eve) as other:
            offered = other.page.get_by_text("A claimed question")

            def again() -> bool:
                other.open("/annotate/quick")
                return bool(offered.count())

            until(again)  # claims of this queue last a second
            other.page.get_by_role("button", name="kind").click()
            other.page.get_by_role("button", name="Submit").click()
            other.page.get_by_role("heading", name="All items have the labels they need").wait_for()
            assert other.wrong() == []
        stays.page.get_by_role("button", name="rude").click()
        stays.page.get_by_role("button", name="Submit").click()
        stays.page.get_by_role("heading", name="All items have the labels they need").wait_for()
        assert stays.wrong() == []
    labels = graphql(queued, '{ annotationLabels(queue: "quick") { ref label } }').data["annotationLabels"]
    assert sorted(each["label"] for each in labels if each["ref"] == "claimed") == ["kind", "rude"], "one a person"


def test_a_label_that_was_begun_is_there_again_after_leaving_the_page(browser: Any, queued: Served) -> None:
    add(queued, "resolved", {"ref": "begun", "input": "Which?", "answer": "An answer to come back to"})
    fay = new_user(queued, "fay@example.com", "annotator")
    with tab(browser, queued, fay) as opened:
        opened.open("/annotate/resolved")
        opened.page.get_by_role("button", name="yes").click()
        opened.page.keyboard.press("c")
        opened.page.keyboard.type("half a thought")
        opened.page.get_by_role("link", name="All queues").click()
        opened.page.get_by_role("heading", name="Annotate").wait_for()
        opened.page.go_back()
        chosen = opened.page.get_by_role("button", name="yes")
        until(lambda: chosen.get_attribute("aria-pressed") == "true")
        assert opened.page.get_by_label("Comment").input_value() == "half a thought"
        opened.page.get_by_role("button", name="Submit").click()
        opened.page.get_by_text("Stored. Next item.").wait_for(state="attached")
        assert opened.wrong() == []
