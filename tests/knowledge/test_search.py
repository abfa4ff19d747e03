"""A question finds what its asker may see and nothing else: by meaning, by words, with its place, at every endpoint."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import weights
from tests.graphql.graphql_client import graphql
from tests.knowledge.knowledge_server import ADD, CONFIG, EMBED, add, embed, listed, refused, search
from tests.running_server import Served, serving

MORE = """
[providers.far]
wire = "echo"
place = "anyone"
models = ["vectors"]
[models."far/vectors"]
task = "embed"
[knowledge.far]
embedding_model = "far/vectors"
[knowledge.judged]
rerank = "echo/small"
"""
KEY = """mutation ($may: [Permission!], $project: String) {
  createKey(name: "t", permissions: $may, project: $project) { key { id } secret } }"""
SYNC = """mutation ($base: String!) { syncKnowledge(base: $base) {
  ingested { source outcome } removed failed { source why } } }"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("search"), CONFIG + MORE) as served:
        yield served


def key(server: Served, *may: str, project: str = "default") -> tuple[str, str]:
    """Its id and its text."""
    made = graphql(server, KEY, may=list(may), project=project).data["createKey"]
    return made["key"]["id"], made["secret"]


def texts(server: Served, query: str, base: str, who: str = "", **more: object) -> list[str]:
    return [each["text"] for each in search(server, query, base, who, **more)]


def test_a_document_with_readers_is_found_by_them_alone(server: Served) -> None:
    (ada, ada_key), (_, bob_key) = key(server, "ask"), key(server, "ask")
    add(server, "open.md", "The gate closes at ten.", "readers")
    add(server, "ada.md", "The safe opens at ten by the code 4711.", "readers", readers=[f"key:{ada}"])
    embed(server, "readers")
    for mode in ("hybrid", "vector", "words"):
        assert "4711" in " ".join(texts(server, "when does the safe open", "readers", ada_key, mode=mode))
        for who in (bob_key, ""):
            found = texts(server, "when does the safe open, code 4711", "readers", who, mode=mode)
            assert found == ["The gate closes at ten."], "what may be seen fills the limit"
    assert [each["source"] for each in listed(server, "readers", bob_key)] == ["open.md"]
    id = next(each["id"] for each in listed(server, "readers", ada_key) if each["source"] == "ada.md")
    one = 'query ($id: String!) { document(base: "readers", id: $id) { passages { text } } }'
    assert graphql(server, one, key=bob_key, id=id).code == "not_found"
    assert graphql(server, one, id=id).data["document"]["passages"] == [], (
        "who manages sees that it is there, not its words"
    )
    add(server, "ada.md", "The safe opens at ten by the code 4711.", "readers", readers=[])
    embed(server, "readers")
    assert "4711" in " ".join(texts(server, "safe code", "readers", bob_key, mode="words")), "its readers were changed"


def test_readers_that_are_taken_away_see_nothing_before_it_is_embedded_again(server: Served) -> None:
    (_, asker), (other, _) = key(server, "ask"), key(server, "ask")
    add(server, "plan.md", "The merger is planned for May.", "taken")
    embed(server, "taken")
    assert texts(server, "merger", "taken", asker)
    add(server, "plan.md", "The merger is planned for May.", "taken", readers=[f"key:{other}"])
    assert texts(server, "merger", "taken", asker) == []


def test_a_base_is_its_project_s_own(server: Served) -> None:
    add(server, "a.md", "Something of the default project.", "mine")
    embed(server, "mine")
    _, shop = key(server, "ask", "manage_knowledge", project="shop")
    assert refused(server, "something", "mine", shop).code == "not_found"
    assert graphql(server, EMBED, key=shop, base="mine").data == {"embedDocuments": {"embedded": 0, "waiting": 0}}
    add(server, "b.md", "Something of the shop.", "mine", shop)
    embed(server, "mine", shop)
    assert texts(server, "something", "mine", shop) == ["Something of the shop."]
    assert texts(server, "something", "mine") == ["Something of the default project."]
    assert graphql(server, "{ knowledge { name project } }", key=shop).data["knowledge"] == [
        {"name": "mine", "project": "shop"},
    ]


def test_the_class_of_a_document_goes_with_its_passages(server: Served) -> None:
    add(server, "public.md", "Prices are on the web.", "classes", dataClass="public")
    add(server, "secret.md", "Prices rise in May.", "classes", dataClass="confidential")
    embed(server, "classes")
    found = search(server, "prices", "classes")
    assert {each["source"]: each["dataClass"] for each in found} == {
        "public.md": "public",
        "secret.md": "confidential",
    }
    assert texts(server, "prices", "classes", most="internal") == ["Prices are on the web."]


def test_confidential_passages_are_not_embedded_far_away(server: Served) -> None:
    add(server, "open.md", "Anybody may know this.", "far")
    assert embed(server, "far") == 1
    add(server, "secret.md", "Nobody may know this.", "far", dataClass="confidential")
    answer = graphql(server, EMBED, base="far")
    assert answer.code == "forbidden", answer.message
    assert "secret" not in answer.message


def test_a_model_may_put_passages_in_order_and_a_search_outlives_it(server: Served) -> None:
    for color in ("red", "green", "blue"):
        add(server, f"{color}.md", f"The {color} rule of the canteen.", "judged")
    embed(server, "judged")
    usual = texts(server, "rule of the canteen [[say nothing]]", "judged", mode="words")
    turned = texts(server, "rule of the canteen [[say 3, 1]]", "judged", mode="words")
    assert turned == [usual[2], usual[0], usual[1]]
    assert texts(server, "rule of the canteen [[fail]]", "judged", mode="words") == usual


def test_questions_that_cannot_be_asked_are_refused(server: Served) -> None:
    add(server, "a.md", "Something.", "asked")
    embed(server, "asked")
    for query, limit in (("", 5), ("x" * 30_000, 5), ("x", 0), ("x", 5_000)):
        answer = graphql(server, SEARCHED, base="asked", q=query, limit=limit)
        assert answer.code == "bad_request", answer.data


SEARCHED = """query ($base: String!, $q: String!, $limit: Int) {
  passages(base: $base, query: $q, limit: $limit) { results { id } }
}"""


@contextmanager
def web(pages: dict[str, tuple[int, str]]) -> Iterator[str]:
    """A site: path -> status, and its body or where it sends on to."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = pages.get(self.path, (404, ""))
            self.send_response(status)
            if status == 302:
                self.send_header("location", body)
                body = ""
            self.send_header("content-length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None: ...

    site = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=site.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{site.server_port}"
    finally:
        site.shutdown()
        site.server_close()


@pytest.mark.long
def test_pages_are_read_where_a_source_lies_and_nowhere_else(tmp_path: Path) -> None:
    pages: dict[str, tuple[int, str]] = {
        "/a.html": (200, "<html><h1>Tea</h1><p>Tea is served at four.</p></html>"),
        "/moved": (302, "/a.html"),
        "/gone": (200, "<html><p>Soon gone.</p></html>"),
    }
    with web({"/secret": (200, "<html><p>inside</p></html>")}) as inside, web(pages) as site:
        pages["/away"] = (302, f"{inside}/secret")
        config = f'{CONFIG}\n[knowledge.web]\nplace = "machine"\nsources = ["{site}/moved", "{site}/gone"]\n'
        config += f'[knowledge.outside]\nsources = ["{site}/moved"]\n[projects.closed]\nonline = "deny"\n'
        with serving(tmp_path, config) as server:
            done = graphql(server, SYNC, base="web").data["syncKnowledge"]
            assert [each["outcome"] for each in done["ingested"]] == ["added", "added"]
            embed(server, "web")
            assert search(server, "when is tea served", "web", mode="words")[0]["citation"] == f"{site}/moved, Tea"
            del pages["/gone"]
            done = graphql(server, SYNC, base="web").data["syncKnowledge"]
            assert [each["outcome"] for each in done["ingested"]] == ["same"]
            assert done["removed"] == [f"{site}/gone"]
            for url in (f"{inside}/secret", f"{site}/away", f"{site}@127.0.0.1/x", "http://[::1]:1/x", "ftp://x/y"):
                answer = graphql(server, ADD, base="web", source="x", url=url)
                assert answer.code in ("egress_denied", "bad_request"), (url, answer.message, answer.data)
            for base, who in (("other", ""), ("outside", key(server, "manage_knowledge", project="closed")[1])):
                answer = graphql(server, ADD, key=who, base=base, source="x", url=f"{site}/a.html")
                assert answer.code == "egress_denied", "no source of that base, or no leave to go online"


@pytest.mark.long
def test_what_means_the_same_is_found_without_a_word_in_common(tmp_path: Path) -> None:
    file, cache = weights("minilm-l6-v2"), tmp_path / "cache" / "models"
    cache.mkdir(parents=True)
    (cache / file.name).symlink_to(file)
    config = CONFIG.replace("embedded = false", "embedded = true").replace(', "vectors"', "")
    config = config.partition('[models."echo/vectors"]')[0]
    with serving(tmp_path / "home", config, SIZEWISE_CACHE=str(cache.parent)) as server:
        long = " ".join(f"Clause {n} says that the tenant pays the rent on day {n}." for n in range(40))
        add(server, "pets.md", "# Pets\n\nDogs are welcome on the third floor.\n\n# Rent\n\n" + long)
        add(server, "cars.md", "# Parking\n\nCars may stand in the yard until eight in the evening.")
        embed(server)
        (found, *_) = search(server, "Can I bring my puppy to the office?", mode="vector")
        assert found["text"] == "Dogs are welcome on the third floor."
        assert search(server, "where do I leave my vehicle overnight?")[0]["source"] == "cars.md"
        assert "Clause 27 " in search(server, "What does clause 27 say?")[0]["text"]
