"""The quality page in a real browser: the plane with its evidence, what it takes to certify, an alarm and its end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from sizewise.evals.calibration import calibrate
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.certificate import encode_certificate
from tests.auth.user_client import Browser, new_user
from tests.evals.fake_judge import judging
from tests.evals.test_calibrate import recorded
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving, until
from tests.studio.browser import tab
from tests.studio.test_pictures_of_docs import kept

pytestmark = pytest.mark.browser
MODELS = "\n".join(
    f'[models."echo/{name}"]\nparameters = {size}\nlogprobs = true\nprice = {{ input = "{price}", output = "{price}" }}'
    for name, size, price in (("small", 135_000_000, 1), ("other", 360_000_000, 1), ("large", 70_000_000_000, 12))
)
CONFIG = """
[server]
embedded = false
discover = false
[shadow]
sample_rate = 1
judge = "outside/judge"
[router]
policy = "support"
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "other", "large"]
{models}
[providers.bad]
wire = "echo"
place = "process"
models = ["small", "other"]
headers = {{ cues = "[[say a BAD answer]]" }}
[providers.outside]
base_url = "{url}"
place = "anyone"
models = ["judge"]
[policies.support]
kind = "certified"
certificate = "{proof}"
target = {{ quality = 0.9 }}
models = ["echo/small", "echo/other", "echo/large"]
[policies.broken]
kind = "certified"
certificate = "{proof}"
target = {{ quality = 0.9 }}
models = ["bad/small", "bad/other", "echo/large"]
[policies.drafts]
kind = "cascade"
threshold = 0.6
models = ["echo/small", "echo/large"]
[policies.quick]
kind = "cheapest"
models = ["echo/small", "echo/other", "echo/large"]
"""
KNOWN = "question number {number} of the {color} book"
SURE, UNSURE = "[[logprob -0.05]] it is so {number}", "[[echo/small: say a BAD answer]] [[logprob -0.3]] it is {number}"
SAMPLES = "query($p: String) { quality(policy: $p) { samples violated } }"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Three policies that were asked and sampled, of which one lost what it promised, and one that was not asked."""
    home = tmp_path_factory.mktemp("quality")
    found = calibrate(recorded(1_200), ("small", "other"), "large", QualityGuarantee(0.9), costs=(0.08, 0.08, 1.0))
    assert found.certificate is not None
    (home / "support.json").write_bytes(encode_certificate(found.certificate))
    with judging() as judge:
        config = CONFIG.format(proof=home / "support.json", url=judge.url, models=MODELS)
        with serving(home, config) as server:
            for number in range(30):
                _ask(server, "auto:support", KNOWN.format(number=number, color="red" if number % 3 else "blue"))
                _ask(server, "auto:drafts", (UNSURE if number % 4 == 0 else SURE).format(number=number))
            for _ in range(40):
                if not _is_violated(server, "broken"):
                    _ask(server, "auto:broken", KNOWN.format(number=7, color="red"))
            yield server


@pytest.fixture(scope="module")
def owner(measured: Served) -> Browser:
    return new_user(measured, "quentin@example.com", "owner")


def _ask(server: Served, model: str, words: str) -> None:
    """Returns once the answer was compared: comparisons that are not done at once may be dropped."""
    policy = model.partition(":")[2]
    before = _measured(server, policy)["samples"]
    assert server.chat(model, words).status == 200
    until(lambda: _measured(server, policy)["samples"] > before or _is_violated(server, policy))


def _is_violated(server: Served, policy: str) -> bool:
    return _measured(server, policy)["violated"] is not None


def _measured(server: Served, policy: str) -> dict[str, Any]:
    found: dict[str, Any] = graphql(server, SAMPLES, p=policy).data["quality"][0]
    return found


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_the_plane_of_a_certified_policy_is_seen_with_all_that_is_measured(
    browser: Any, measured: Served, owner: Browser, look: str
) -> None:
    with tab(browser, measured, owner, dark=look == "dark", phone=look == "phone") as opened:
        opened.open("/quality/support")
        page = opened.page
        page.get_by_role("img", name="Cost against quality").wait_for()
        page.get_by_text("certified 90 %", exact=True).wait_for()
        for name in ("live traffic", "all small", "all large", "level 90 %"):
            page.locator("svg text", has_text=name).first.wait_for()
        for curve in ("oracle", "random", "cascade", "prompt"):
            assert page.locator(f"polyline.{curve}").count() == 1
        if look == "light":
            kept(opened, "quality")
        page.get_by_text("Show as table").click()
        live = page.get_by_role("row", name="live traffic").inner_text()
        assert "±" in live and " to " in live, live
        page.get_by_role("cell", name="at least 90 % in use").wait_for()
        page.get_by_text("scored by the scores of the outcomes").wait_for()
        page.get_by_text(re.compile("Wh, .* echo/large alone.*; estimated, uncertain by a factor")).wait_for()
        opened.picture(f"quality-support-{look}")
        assert not opened.scrolls_sideways()
        assert opened.inaccessible() == []
        assert opened.wrong() == []


def test_what_it_takes_to_certify_is_a_number_that_follows_the_target(
    browser: Any, measured: Served, owner: Browser
) -> None:
    with tab(browser, measured, owner) as opened:
        opened.open("/quality/drafts")
        page = opened.page
        page.get_by_role("heading", name="Not certified yet").wait_for()
        page.get_by_text("30 answers compared by outside/judge").wait_for()
        page.get_by_label("Target").select_option("0.98")
        page.get_by_text("are needed to certify 98 % of echo/large").wait_for()
        opened.picture("quality-drafts")
        page.get_by_label("Target").select_option("0.8")
        page.get_by_text("They certify 80 % of echo/large").wait_for()
        page.get_by_text("sizewise route calibrate --policy drafts --quality 0.8 --write").wait_for()
        assert page.url.endswith("/quality/drafts?target=0.8")
        page.get_by_label("Policy").select_option("quick")
        page.get_by_text("chooses among 3 models").wait_for()
        page.get_by_text("not measured").first.wait_for()
        opened.picture("quality-unmeasured")
        assert opened.inaccessible() == []
        assert opened.wrong() == []


def test_a_violated_certificate_is_an_alarm_until_the_policy_is_restored(
    browser: Any, measured: Served, owner: Browser
) -> None:
    with tab(browser, measured, owner) as opened:
        opened.open("/quality/broken")
        page = opened.page
        page.get_by_role("alert").get_by_text("The certificate was violated").wait_for()
        opened.picture("quality-alarm")
        assert opened.inaccessible() == []
        page.get_by_role("button", name="Restore policy").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("Small models answer again").wait_for()
        dialog.get_by_role("button", name="Restore policy").click()
        dialog.wait_for(state="detached")
        page.get_by_role("alert").wait_for(state="detached")
        assert _measured(measured, "broken") == {"samples": 0, "violated": None}
        assert opened.wrong() == []


def test_a_policy_that_is_not_there_leads_back(browser: Any, measured: Served, owner: Browser) -> None:
    with tab(browser, measured, owner) as opened:
        opened.open("/quality/gone")
        opened.page.get_by_role("heading", name="There is no policy gone").wait_for()
        opened.page.get_by_role("link", name="All policies").click()
        opened.page.get_by_role("heading", name=re.compile("Cost against quality of (support|drafts)")).wait_for()
