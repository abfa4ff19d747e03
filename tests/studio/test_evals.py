"""Evals, judges and prompts in a real browser: started with a live bar, cancelled, compared item by item."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.auth.user_client import Browser, new_user
from tests.cli.terminal import sizewise
from tests.graphql.test_evals import CANARY, CONFIG, ITEMS, SUITE, WORSE, finished, item
from tests.running_server import Served, serving
from tests.studio.browser import tab
from tests.studio.keyboard import missed

pytestmark = pytest.mark.browser
SLOW = SUITE.replace("right.jsonl", "slow.jsonl").replace("concurrency: 2", "concurrency: 1")
JUDGED = """
target: {model: echo/small, prompt: greet}
data: right.jsonl
scorers:
  resolved: {kind: judge, model: echo/large, rubric: "Is it answered?", scale: [no, yes]}
"""
PROMPT = "---\nrole: user\ndescription: A greeting.\n---\nHello <script>alert(1)</script>\n"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("evaluated")
    lines = [json.dumps(item(each)) for each in range(ITEMS)]
    slow = [json.dumps({**item(each), "input": f"[[pace 0.05]] [[repeat 9999]] {each}"}) for each in range(5)]
    files = {
        "evals/right.yaml": SUITE,
        "evals/right.jsonl": "\n".join(lines),
        "evals/slow.yaml": SLOW,
        "evals/slow.jsonl": "\n".join(slow),
        "evals/judged.yaml": JUDGED,
        "evals/broken.yaml": "target: echo/small\nscorer: {}\n",
        "prompts/greet.md": PROMPT,
    }
    for name, text in files.items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)
    with serving(home, CONFIG + "[environments.staging]\n[environments.prod]\n") as served:
        yield served


@pytest.fixture(scope="module")
def owner(evaluated: Served) -> Browser:
    return new_user(evaluated, "anna@example.com", "owner")


def answers(server: Served, run: str) -> tuple[str, list[dict[str, Any]]]:
    """The head of a run's file, and its results."""
    head, *lines = (server.home / "evals" / ".runs" / f"{run}.jsonl").read_text().splitlines()
    return head, [json.loads(each) for each in lines]


def written(server: Served, name: str, head: str, results: list[dict[str, Any]]) -> Path:
    """A run that was made elsewhere."""
    path = server.home / "evals" / ".runs" / "right" / f"20990101-000000-000-{name}.jsonl"
    path.write_text("".join(f"{line}\n" for line in (head, *map(json.dumps, results))))
    return path


def test_a_suite_is_run_with_a_live_bar_and_its_items_open(browser: Any, evaluated: Served, owner: Browser) -> None:
    with tab(browser, evaluated, owner) as opened:
        opened.open("/evals")
        opened.page.get_by_text("evals/broken.yaml:").wait_for()
        opened.picture("evals-full-light")
        assert opened.inaccessible() == []
        opened.page.get_by_role("link", name="right", exact=True).click()
        opened.page.get_by_text("60 answers").wait_for()
        opened.page.get_by_role("button", name="Run").click()
        opened.page.get_by_role("heading", name="right, ").wait_for()
        opened.page.get_by_text(f"{ITEMS} of {ITEMS}, 0 failed").wait_for()
        opened.page.get_by_role("button", name="Show the words of item-0", exact=True).click()
        opened.page.get_by_text("Reading these words was written to the audit log.").wait_for()
        opened.page.get_by_text("Paris", exact=True).first.wait_for()
        opened.picture("eval-run-light")
        assert missed(opened) == {}
        assert opened.inaccessible() == []
        opened.open("/evals/slow")
        opened.page.get_by_role("button", name="Run").click()
        opened.page.get_by_role("progressbar").wait_for()
        opened.page.get_by_role("button", name="Cancel").click()
        opened.page.get_by_role("progressbar").wait_for(state="detached")
        opened.page.get_by_text("cancelled").first.wait_for()
        assert opened.wrong() == []


def test_story_28_a_worse_run_fails_and_the_page_lists_exactly_what_it_broke(
    browser: Any, evaluated: Served, owner: Browser
) -> None:
    base = finished(evaluated)
    head, results = answers(evaluated, base)
    for each in results:
        if each["item"] in WORSE:
            each["scores"]["right"]["value"] = 0.0
            each["output"] = "London <img src=x onerror=alert(1)>"
    worse = written(evaluated, "worse0", head, results)
    with tab(browser, evaluated, owner) as opened:
        opened.open("/evals/right")
        opened.page.get_by_label(f"Compare {worse.stem}").check()
        opened.page.get_by_label(f"Compare {base.partition('/')[2]}").check()
        opened.picture("suite-light")
        assert missed(opened) == {}
        opened.page.get_by_role("link", name="Compare").click()
        opened.page.get_by_role("button", name="Newly wrong 14", exact=True).wait_for()
        names = opened.page.locator("details.item summary strong")
        names.nth(len(WORSE) - 1).wait_for()
        shown = names.all_inner_texts()
        assert sorted(shown) == sorted(WORSE)
        sentence = owner.graphql(
            "query($b: String!, $h: String!) { compareRuns(base: $b, head: $h) { sentence } }",
            b=base,
            h=f"right/{worse.stem}",
        ).data["compareRuns"]["sentence"]
        opened.page.get_by_text(sentence, exact=True).wait_for()
        opened.page.keyboard.press("n")
        opened.page.get_by_text("London <img src=x onerror=alert(1)>").wait_for()
        opened.picture("comparison-light")
        assert missed(opened) == {}
        assert opened.inaccessible() == []
        address = opened.page.url.removeprefix(evaluated.url)
        assert opened.wrong() == []
    viewer = new_user(evaluated, "vera@example.com", "viewer")
    with tab(browser, evaluated, viewer, phone=True, dark=True) as opened:
        opened.open(address)
        opened.page.get_by_role("button", name="Newly wrong 14", exact=True).wait_for()
        opened.picture("comparison-phone")
        assert "London" not in opened.page.content()
        assert opened.inaccessible() == [] and not opened.scrolls_sideways()
        assert opened.wrong() == []


def test_story_29_repeats_and_items_of_one_run_alone_are_paired_by_content(
    browser: Any, evaluated: Served, owner: Browser
) -> None:
    single, results = answers(evaluated, finished(evaluated))
    head = json.dumps({**json.loads(single), "repeat": 3, "planned": 3 * ITEMS})
    thrice = [{**each, "repeat": repeat} for each in results for repeat in range(3)]
    before = written(evaluated, "before", head, thrice[: 3 * 40])
    after = [*reversed(thrice)]
    for each in after[:2]:  # two repeats of the last item disagree with its third
        each["scores"] = {**each["scores"], "right": {"value": 0.0}}
    more = written(evaluated, "after0", head, after)
    base, run = f"right/{before.stem}", f"right/{more.stem}"
    with tab(browser, evaluated, owner) as opened:
        opened.open(f"/evals/compare?base={base}&head={run}&change=bothRight")
        opened.page.get_by_text("Not compared: 0 only in base, 20 only in head.").wait_for()
        opened.page.get_by_role("button", name="Both right 40", exact=True).wait_for()
        names = opened.page.locator("details.item summary strong")
        names.nth(39).wait_for()
        shown = set(names.all_inner_texts())
        assert shown == {each["item"] for each in results[:40]}, "no item of one run alone"
        for change in ("Newly wrong 0", "Newly right 0", "Both wrong 0"):
            opened.page.get_by_role("button", name=change, exact=True).wait_for()
        query = """query($b: String!, $h: String!) { compareRuns(base: $b, head: $h) {
          items(change: bothRight, last: 100) { rows { item digest base head } } } }"""
        rows = owner.graphql(query, b=base, h=run).data["compareRuns"]["items"]["rows"]
        digest = {each["item"]: each["digest"] for each in results}
        assert all(row["digest"] == digest[row["item"]] for row in rows)
        assert len(rows) == 40 and all((len(row["base"]), len(row["head"])) == (3, 3) for row in rows)
        opened.picture("comparison-repeats")
        assert opened.inaccessible() == [] and opened.wrong() == []
        other = written(evaluated, "single", single.replace(json.loads(single)["scoring"], "0" * 64), results)
        opened.open(f"/evals/compare?base={base}&head=right/{other.stem}")
        opened.page.get_by_text("were scored by other scorers or repeats").first.wait_for()
        opened.picture("comparison-refused")


def test_story_30_what_cannot_be_told_says_how_many_items_and_dollars_would_decide(
    browser: Any, evaluated: Served, owner: Browser
) -> None:
    head, results = answers(evaluated, finished(evaluated))
    base = written(evaluated, "few000", head, results[:20])
    for each in results[:1]:
        each["scores"] = {**each["scores"], "right": {"value": 0.0}}
    unclear = written(evaluated, "unsure", head, results[:20])
    address = f"/evals/compare?base=right/{base.stem}&head=right/{unclear.stem}"
    with tab(browser, evaluated, owner) as opened:
        opened.open(address)
        opened.page.get_by_text(re.compile(r"About \d[\d,]* more items would decide, about \$\d")).wait_for()
        opened.picture("comparison-unclear")
        assert opened.inaccessible() == [] and opened.wrong() == []
    viewer = new_user(evaluated, "vito@example.com", "viewer")
    with tab(browser, evaluated, viewer) as opened:
        said: list[str] = []
        opened.page.on("response", lambda answer: said.append(answer.text()) if "/graphql" in answer.url else None)
        opened.open(address)
        opened.page.get_by_text("more items would decide").wait_for()
        opened.page.locator("details.item summary").first.click()
        assert "Paris" not in "".join(said) and CANARY not in "".join(said)
        assert opened.wrong() == []


def test_a_judge_informs_only_until_it_is_calibrated(browser: Any, evaluated: Served, owner: Browser) -> None:
    with tab(browser, evaluated, owner) as opened:
        opened.open("/evals/judges")
        judge = opened.page.get_by_role("region", name="Judge resolved of judged")
        judge.get_by_text("It informs only: it is not calibrated.").wait_for()
        opened.picture("judges-light")
        assert missed(opened) == {}
        assert opened.inaccessible() == [] and opened.wrong() == []


def test_story_35_a_changed_rubric_voids_what_people_said_of_a_judge(
    browser: Any, evaluated: Served, owner: Browser, tmp_path: Path
) -> None:
    rows = [
        {"input": f"[[echo/large: say {verdict}]] Is it?", "answer": "Rome", "label": label}
        for label, verdict, count in (("yes", "yes", 57), ("yes", "no", 3), ("no", "yes", 15), ("no", "no", 45))
        for _ in range(count)
    ]
    file = tmp_path / "labels.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = sizewise("eval", "calibrate-judge", "judged", "resolved", str(file), home=evaluated.home)
    assert done.code == 0, done.err
    suite = evaluated.home / "evals" / "judged.yaml"
    with tab(browser, evaluated, owner) as opened:
        opened.open("/evals/judges")
        judge = opened.page.get_by_role("region", name="Judge resolved of judged")
        judge.get_by_text("It may gate: calibrated on 120 labels.").wait_for()
        suite.write_text(JUDGED.replace("Is it answered?", "Is it kind?"))
        opened.open("/evals/judges")
        judge.get_by_text("It informs only: it was calibrated with another model, rubric or scale.").wait_for()
        judge.get_by_text("sizewise eval calibrate-judge judged resolved labels.jsonl").wait_for()
        assert opened.inaccessible() == [] and opened.wrong() == []
    suite.write_text(JUDGED)


def test_a_prompt_shows_who_uses_it_its_versions_and_their_difference(
    browser: Any, evaluated: Served, owner: Browser
) -> None:
    (evaluated.home / "evals" / "broken.yaml").unlink()  # no release can be built of it
    saved = owner.graphql('mutation { planRelease(from: "staging", to: "prod") { release } }')
    assert saved.errors == [], saved.errors
    (evaluated.home / "prompts" / "greet.md").write_text(PROMPT.replace("Hello", "Good morning"))
    with tab(browser, evaluated, owner, phone=True) as opened:
        opened.open("/prompts")
        opened.page.get_by_role("cell", name="eval judged").wait_for()
        opened.page.get_by_role("link", name="greet").click()
        opened.page.get_by_role("button", name="Compare").first.wait_for()
        opened.page.keyboard.press("d")
        difference = opened.page.get_by_role("region", name="Difference of the texts")
        difference.locator("ins", has_text="Good").wait_for()
        assert difference.locator("del").all_inner_texts() == ["Hello"]
        opened.picture("prompt-phone")
        assert opened.inaccessible() == [] and not opened.scrolls_sideways()
        assert opened.wrong() == []
