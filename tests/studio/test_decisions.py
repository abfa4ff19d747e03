"""The pages of decisions in a real browser: a question moves down by itself (story 51), and up again (story 53).

As in tests/decisions/test_decisions_served.py the large model is a double, and only the exact rung can be certified.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sizewise.decisions.certificate import LOOKS
from tests.auth.user_client import Browser, new_user
from tests.cli.terminal import sizewise
from tests.decisions.test_decisions_served import CONFIG, TEAM, TEXTS, Decides, decide, listed
from tests.gateway.server_harness import beside
from tests.running_server import Served, serving, until
from tests.studio.browser import tab
from tests.studio.keyboard import missed

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with one question that was answered as often as its first certification takes."""
    with beside(Decides) as upstream:
        config = CONFIG.format(url=upstream.url, keep="vectors")
        with serving(tmp_path_factory.mktemp("decisions"), config) as server:
            for number in range(LOOKS[0]):
                assert decide(server, TEXTS[number % len(TEXTS)]).status == 200
            until(lambda: [each["state"] for each in listed(server)] == ["certified"])
            yield server


@pytest.fixture(scope="module")
def owner(decided: Served) -> Browser:
    return new_user(decided, "dora@example.com", "owner")


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_story_51_a_question_moves_down_by_itself(browser: Any, decided: Served, owner: Browser, look: str) -> None:
    (question,) = [each for each in listed(decided) if len(each["options"]) == len(TEAM["choices"])]
    with tab(browser, decided, owner, dark=look == "dark", phone=look == "phone") as opened:
        opened.open("/decisions")
        opened.page.get_by_role("link", name="billing").click()
        opened.page.get_by_role("heading", name="Certificate").wait_for()
        told = sizewise("decisions", "show", question["id"], "--json", home=decided.home).json
        agreement = f"{100 * told['certificate']['agreement']:.1f} % measured"
        opened.page.get_by_text(agreement).wait_for()
        assert "exact" in opened.page.get_by_role("list").last.inner_text()
        opened.picture(f"decision-{look}")
        assert opened.inaccessible() == []


def test_certify_shows_the_new_certificate(browser: Any, decided: Served, owner: Browser) -> None:
    (question,) = [each for each in listed(decided) if each["state"] == "certified"]
    with tab(browser, decided, owner) as opened:
        opened.open(f"/decisions/{question['id']}")
        opened.page.get_by_text("with a probability of 4.50 %").wait_for()  # the first try's part of 5 %
        opened.page.get_by_role("button", name="Certify").click()
        opened.picture("decision-certify")
        opened.page.get_by_role("dialog").get_by_role("button", name="Certify").click()
        opened.page.get_by_text("with a probability of 0.45 %").wait_for()
        opened.page.get_by_role("status").wait_for(state="detached")
        assert opened.page.get_by_role("button", name="Certify").is_enabled()
        assert opened.inaccessible() == [] and opened.wrong() == []


def test_story_53_another_option_voids_the_certificate_with_its_cause(
    browser: Any, decided: Served, owner: Browser
) -> None:
    (question,) = [each for each in listed(decided) if each["state"] == "certified"]
    with tab(browser, decided, owner) as opened:
        opened.open(f"/decisions/{question['id']}")
        more = {**TEAM, "choices": [*TEAM["choices"], {"value": "legal"}]}
        answer: Any = decide(decided, TEXTS[0], more).json
        assert answer["sizewise"]["rungs"] == ["large"]
        opened.page.get_by_text("Void: its options changed").wait_for()
        opened.picture("decision-void")
        assert missed(opened) == {} and opened.inaccessible() == []
        opened.open("/decisions")
        opened.page.get_by_role("row", name="void").wait_for()
        opened.picture("decisions")
