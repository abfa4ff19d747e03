"""Annotation queues of servers that share a Postgres: two people at two servers, and no item is given to both."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import ECHO, Served, serving, until

CONFIG = f"""{ECHO}
[database]
url = "env:SHARED_STORE"
[encryption]
key = "env:SHARED_KEY"
[annotation.resolved]
rubric = "Is the question answered?"
scores = {{resolved = ["no", "yes"]}}
"""
SEALING = base64.b64encode(bytes(range(32))).decode()
ITEMS = 60
ADD = 'mutation($i: JSON!) { addAnnotationItems(queue: "resolved", items: $i) { added known } }'
NEXT = '{ annotationQueue(name: "resolved") { next { id } } }'
LABEL = """mutation($i: String!) { annotate(queue: "resolved", item: $i, scores: {resolved: "yes"}) {
  needed done mine next { id } } }"""
COUNTS = '{ annotationQueue(name: "resolved") { needed done mine } }'


@pytest.fixture(scope="module")
def pair(module_postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Served]]:
    folder = tmp_path_factory.mktemp("queues")
    environ = {"SHARED_STORE": module_postgres_url, "SHARED_KEY": SEALING}
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(serving(folder / "one", CONFIG, **environ))
        yield one, stack.enter_context(serving(folder / "other", CONFIG, **environ))


def labeled(server: Served, key: str) -> list[str]:
    """The items that a person labels until there is none for them."""
    found, item = list[str](), graphql(server, NEXT, key=key).data["annotationQueue"]["next"]
    while item is not None:
        found.append(item["id"])
        answer = graphql(server, LABEL, key=key, i=item["id"])
        assert answer.errors == [], answer.errors
        item = answer.data["annotate"]["next"]
    return found


@pytest.mark.long
def test_two_people_at_two_servers_never_label_the_same_item(pair: tuple[Served, Served]) -> None:
    one, other = pair
    items = [{"ref": f"answer-{each}", "input": f"question {each}", "answer": "yes"} for each in range(ITEMS)]
    assert graphql(one, ADD, i=items).data["addAnnotationItems"] == {"added": ITEMS, "known": 0}
    again = graphql(other, ADD, i=items)
    assert again.errors == [], again.errors
    assert again.data["addAnnotationItems"] == {"added": 0, "known": ITEMS}
    people = [(server, fresh_key(server, "annotate")) for server in (one, other, one, other)]
    for _, key in people:
        until(lambda key=key: all(graphql(each, COUNTS, key=key).errors == [] for each in pair))
    with ThreadPoolExecutor(len(people)) as threads:
        found = list(threads.map(lambda each: labeled(*each), people))
    everyone = [item for mine in found for item in mine]
    assert len(everyone) == len(set(everyone)) == ITEMS, "each item once, and none is lost"
    assert sum(bool(mine) for mine in found) >= 2, "not one person alone"
    counts = graphql(one, COUNTS).data["annotationQueue"]
    assert (counts["needed"], counts["done"]) == (0, ITEMS)


@pytest.mark.long
def test_what_a_person_holds_at_one_server_they_hold_at_the_other(pair: tuple[Served, Served]) -> None:
    one, other = pair
    more = [{"ref": "held", "input": "q", "answer": "a"}, {"ref": "free", "input": "q", "answer": "b"}]
    graphql(one, ADD, i=more)
    ann, bob = fresh_key(one, "annotate"), fresh_key(one, "annotate")
    until(lambda: all(graphql(other, COUNTS, key=key).errors == [] for key in (ann, bob)))
    held = graphql(one, NEXT, key=ann).data["annotationQueue"]["next"]["id"]
    assert graphql(other, NEXT, key=ann).data["annotationQueue"]["next"]["id"] == held
    assert graphql(other, NEXT, key=bob).data["annotationQueue"]["next"]["id"] != held
    assert graphql(other, LABEL, key=bob, i=held).code == "conflict"
    assert graphql(other, LABEL, key=ann, i=held).errors == []
