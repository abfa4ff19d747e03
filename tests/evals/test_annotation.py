"""Annotation queues through the front door: one item at a time, blind, held and never lost; labels for judges."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.app.services import open_services
from sizewise.evals.annotation.queue_feed import QueueFeed
from sizewise.principal import Principal
from sizewise.settings.annotation import AnnotationSettings
from tests.cli.terminal import sizewise
from tests.gateway.server_harness import rows
from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import ECHO, Served, serving, until

CANARY = "canary-annotation-4711"
CONFIG = (
    ECHO
    + """
[records]
contents = true
[annotation.resolved]
rubric = "Is the question answered?"
scores = {resolved = ["no", "yes"]}
labels = 2
[annotation.pairs]
rubric = "Which answer is better?"
scores = {better = ["no", "yes"]}
[annotation.quick]
rubric = "Quick."
scores = {tone = ["rude", "plain", "kind"]}
claim_s = 1
"""
)
ITEM = "id input answers expected criteria expires options { name words }"
READ = f"query($q: String!) {{ annotationQueue(name: $q) {{ rubric needed done mine next {{ {ITEM} }} }} }}"
LABEL = f"""mutation($q: String!, $i: String!, $s: JSON, $c: String, $k: AnnotationSkip) {{
  annotate(queue: $q, item: $i, scores: $s, comment: $c, skip: $k) {{ needed done mine next {{ {ITEM} }} }} }}"""
ADD = "mutation($q: String!, $i: JSON!) { addAnnotationItems(queue: $q, items: $i) { added known } }"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"s": {"resolved": "maybe"}}, "is not a word of this queue"),
    ({"s": {"tone": "kind"}}, "the queue has no score 'tone'"),
    ({"s": {}}, "labeled or skipped"),
    ({"s": {"resolved": "yes"}, "k": "unclear"}, "labeled or skipped"),
    ({"s": [1]}, "no object of words"),
    ({"s": {"resolved": "yes"}, "c": "x" * 5000}, "comment is too long"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("annotation"), CONFIG) as served:
        yield served
        assert CANARY not in "".join(served.said) and "Traceback" not in "".join(served.said)


def add(server: Served, queue: str, *items: dict[str, object]) -> None:
    found = graphql(server, ADD, q=queue, i=list(items))
    assert found.errors == [], found.errors


def read(server: Served, queue: str, key: str) -> Any:
    found = graphql(server, READ, key=key, q=queue)
    assert found.errors == [], found.errors
    return found.data["annotationQueue"]


def label(server: Served, queue: str, key: str, item: str, **said: object) -> Any:
    found = graphql(server, LABEL, key=key, q=queue, i=item, **said)
    assert found.errors == [], found.errors
    return found.data["annotate"]


def plain(number: int, **more: object) -> dict[str, object]:
    return {"ref": f"answer-{number}", "input": f"question {number}", "answer": f"{CANARY} {number}", **more}


def test_story_31_neither_of_two_annotators_learns_who_answered_or_what_the_other_said(server: Served) -> None:
    ann, bob = fresh_key(server, "annotate"), fresh_key(server, "annotate")
    add(server, "resolved", plain(1), plain(2))
    first, other = read(server, "resolved", ann), read(server, "resolved", bob)
    assert first["next"]["id"] == other["next"]["id"] == read(server, "resolved", ann)["next"]["id"]
    assert set(first["next"]) == {"id", "input", "answers", "expected", "criteria", "expires", "options"}
    assert (first["needed"], first["next"]["options"]) == (4, [{"name": "resolved", "words": ["no", "yes"]}])
    after = label(server, "resolved", ann, first["next"]["id"], s={"resolved": "yes"}, c=CANARY)
    assert (after["needed"], after["done"], after["mine"]) == (3, 0, 1) and after["next"]["input"] == "question 2"
    again = read(server, "resolved", bob)
    assert again["next"] | {"expires": 0} == other["next"] | {"expires": 0} and again["mine"] == 0
    for shown in (first, other, after, again):
        assert not any(
            word in json.dumps(shown) for word in ("answer-1", "echo", "given", "source", "author", '"label"')
        )
    assert label(server, "resolved", bob, other["next"]["id"], s={"resolved": "NO"})["done"] == 1
    for query in ("{ records { rows { trace } } }", "{ scores { rows { value } } }", "{ keys { id } }"):
        assert graphql(server, query, key=ann).code == "forbidden"
    labels = '{ annotationLabels(queue: "resolved") { ref score label value blind } }'
    assert graphql(server, labels, key=ann).code == "forbidden"
    agreement = '{ annotationQueue(name: "resolved") { agreement { score items agreed kappa low high } } }'
    assert graphql(server, agreement, key=ann).code == "forbidden"
    (agreed,) = graphql(server, agreement).data["annotationQueue"]["agreement"]
    assert (agreed["items"], agreed["agreed"], agreed["kappa"]) == (1, 0, 0.0) and agreed["low"] < 0 < agreed["high"]
    said = graphql(server, labels).data["annotationLabels"]
    assert sorted((each["ref"], each["label"], each["value"], each["blind"]) for each in said) == [
        ("answer-1", "no", 0.0, True),
        ("answer-1", "yes", 1.0, True),
    ]
    assert not any(CANARY.encode() in path.read_bytes() for path in server.home.rglob("*") if path.is_file())


@pytest.mark.long
def test_story_31_a_and_b_are_in_an_order_of_each_persons_own_that_stays(server: Served) -> None:
    people = [fresh_key(server, "annotate") for _ in range(2)]
    add(server, "pairs", *({**plain(each), "answer": "one", "other": "two"} for each in range(40)))
    orders: list[list[str]] = []
    for key in people:
        item, mine = read(server, "pairs", key)["next"], list[str]()
        while item is not None:
            assert item["options"] == [{"name": "better", "words": ["A", "B", "equal"]}]
            mine.append(item["answers"][0])
            item = label(server, "pairs", key, item["id"], k="unclear")["next"]
        orders.append(mine)
    assert len(orders[0]) == len(orders[1]) == 40
    assert 8 <= sum(one != other for one, other in zip(*orders, strict=True)) <= 32  # beyond it: 1 of 10,000 times
    third = fresh_key(server, "annotate")
    item = read(server, "pairs", third)["next"]
    assert read(server, "pairs", third)["next"]["answers"] == item["answers"]
    label(server, "pairs", third, item["id"], s={"better": "A"})
    said = '{ annotationLabels(queue: "pairs") { label answer } }'
    (pair,) = graphql(server, said).data["annotationLabels"]
    assert pair["label"] == {"one": "first", "two": "second"}[item["answers"][0]]


@pytest.mark.long
def test_story_32_a_lost_claim_is_offered_again_and_its_holder_may_still_submit(server: Served) -> None:
    ann, bob = fresh_key(server, "annotate"), fresh_key(server, "annotate")
    add(server, "quick", plain(7))
    held = read(server, "quick", ann)["next"]
    until(lambda: read(server, "quick", bob)["next"] is not None)
    assert read(server, "quick", bob)["next"]["id"] == held["id"]
    done = label(server, "quick", bob, held["id"], s={"tone": "kind"})
    assert (done["done"], done["next"]) == (1, None)
    late = label(server, "quick", ann, held["id"], s={"tone": "rude"})
    assert late["done"] == 1 and late["mine"] == 1
    assert label(server, "quick", ann, held["id"], s={"tone": "plain"})["mine"] == 1  # corrected, not labeled twice
    found = rows(server.home, "SELECT value FROM scores WHERE name = 'tone' ORDER BY number")
    assert [each["value"] for each in found] == [1.0, 0.5]
    carl = fresh_key(server, "annotate")
    assert graphql(server, LABEL, key=carl, q="quick", i=held["id"], s={"tone": "kind"}).code == "conflict"
    assert read(server, "quick", carl)["next"] is None


def test_a_label_that_cannot_be_is_refused_and_nothing_is_lost(server: Served) -> None:
    key = fresh_key(server, "annotate")
    add(server, "resolved", plain(99))
    item = read(server, "resolved", key)["next"]["id"]
    for said, why in REFUSED:
        refused = graphql(server, LABEL, key=key, q="resolved", i=item, **said)
        assert why in refused.message, refused.message
    assert read(server, "resolved", key)["next"]["id"] == item
    assert graphql(server, LABEL, key=key, q="resolved", i="0" * 16, k="unclear").code == "not_found"
    assert "there is no annotation queue" in graphql(server, READ, key=key, q="nobody").message


@pytest.mark.long
async def test_answers_of_traffic_are_drawn_with_their_probability_and_labels_of_who_saw_more_do_not_count(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, CONFIG) as served:
        traces = [served.chat("echo/small", f"{CANARY} {each}").headers["x-sizewise-trace"] for each in range(40)]
        bad = {"trace": traces[0], "value": 0}
        assert served.ask("/v1/scores", bad).status == 200
        until(lambda: len(rows(tmp_path, "SELECT 1 FROM contents")) == 40)
    drawn = AnnotationSettings(rubric="r", scores={"good": ("no", "yes")}, random=0.5, thumbs_down=True)
    ann, eve = (
        Principal(key_id=each, user_id=each, permissions=frozenset({"annotate"}), all_projects=True)
        for each in ("ann", "eve")
    )

    with open_services(tmp_path) as services:
        queues, storage = services.annotation, services.storage
        queues.prepare({"q": drawn})()
        feed = QueueFeed(
            queues=queues,
            encryption=storage.encryption,
            read=storage.database.read_transaction,
            leadership=services.leadership,
            clock=lambda: time.time() + 60,
        )
        await feed.feed()
        count = len(rows(tmp_path, "SELECT 1 FROM annotation_items"))
        await feed.feed()
        found = rows(tmp_path, "SELECT ref, rule, probability, labels FROM annotation_items")
        assert len(found) == count and 5 <= sum(each["rule"] == "random" for each in found) <= 36
        assert {each["probability"] for each in found if each["rule"] == "random"} == {0.5}
        assert len({each["ref"] for each in found}) == count
        for trace in traces:
            await queues.saw(eve, trace)
        for person in (ann, eve):
            item = await queues.next(person, "q")
            assert item is not None and CANARY in str(item.input) and CANARY in item.answers[0]
            await queues.annotate(person, "q", item.id, {"good": "yes"})
        judged = rows(tmp_path, "SELECT author, blind, model, kind FROM scores WHERE source = 'person'")
        said = {(each["author"], each["blind"], each["model"], each["kind"]) for each in judged}
        assert said == {("ann", 1, "echo/small", "record"), ("eve", 0, "echo/small", "record")}


@pytest.mark.long
def test_the_command_line_lists_labels_and_exports_for_a_judge(server: Served, tmp_path: Path) -> None:
    lines = [json.dumps({**plain(each), "score": "tone"}) for each in range(500, 503)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    home = server.home
    added = sizewise("annotate", "quick", "--add", str(tmp_path / "in.jsonl"), home=home)
    assert added.code == 0 and "3 items added" in added.out, added.err
    assert "0 items added" in sizewise("annotate", "quick", "--add", str(tmp_path / "in.jsonl"), home=home).out
    item = sizewise("annotate", "quick", "--json", home=home).json["next"]
    done = sizewise("annotate", "quick", "--item", item["id"], "--score", "tone=kind", "--json", home=home).json
    assert done["next"]["id"] != item["id"]
    assert sizewise("annotate", "quick", "--item", done["next"]["id"], "--skip", "unclear", home=home).code == 0
    assert "quick" in sizewise("annotate", home=home).out
    agreed = sizewise("annotate", "resolved", "--agreement", home=home)
    assert agreed.code == 0 and "KAPPA" in agreed.out, agreed.err
    found = sizewise("annotate", "quick", "--agreement", "--json", home=home).json["agreement"]
    assert [each["score"] for each in found] == ["tone"]
    wrong = sizewise("annotate", "quick", "--item", item["id"], "--score", "tone=loud", home=home)
    assert wrong.code == 2 and "use rude, plain, kind" in wrong.hint
    out = sizewise("annotate", "quick", "--export", str(tmp_path / "out.jsonl"), home=home)
    assert out.code == 0, out.err
    exported = [json.loads(each) for each in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert any(each["label"] == "kind" and each["score"] == "tone" for each in exported)
    assert sizewise("annotate", "quick", home=home).code == 2  # no terminal
