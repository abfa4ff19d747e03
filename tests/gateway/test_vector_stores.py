"""/v1/vector_stores with the official `openai` SDK, all response types strict; and what is refused, and by whom."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.gateway.vector_store_client import LEAVE, MANAGER, RHINE, SETTINGS, key_of, sdk, store_with, uploaded
from tests.knowledge import knowledge_server
from tests.running_server import ECHO, Served, serving, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("stores"), SETTINGS) as served:
        yield served
        assert "Traceback" not in "".join(served.said)


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[OpenAI]:
    with sdk(server) as made:
        yield made


# ---- vector stores


def test_a_store_is_created_shown_changed_and_deleted(client: OpenAI) -> None:
    made = client.vector_stores.create(
        name="Rivers",
        description="What we know of rivers",
        metadata={"team": "geo"},
        expires_after={"anchor": "last_active_at", "days": 7},
    )
    assert made.id.startswith("vs_") and (made.name, made.object, made.status) == (
        "Rivers",
        "vector_store",
        "completed",
    )
    assert made.file_counts.total == made.usage_bytes == 0 and made.metadata == {"team": "geo"}
    assert made.expires_after is not None and made.expires_after.days == 7
    assert made.expires_at == (made.last_active_at or 0) + 7 * 86_400
    assert client.vector_stores.retrieve(made.id) == made
    changed = client.vector_stores.update(made.id, name="Lakes", expires_after=None)
    assert (changed.name, changed.expires_at, changed.metadata) == ("Lakes", None, {"team": "geo"})
    assert client.vector_stores.update(made.id, metadata=None).metadata is None
    gone = client.vector_stores.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "vector_store.deleted")
    for call in (client.vector_stores.retrieve, client.vector_stores.delete):
        with pytest.raises(openai.NotFoundError, match="no vector store"):
            call(made.id)


def test_pages_have_every_store_once_in_either_order(client: OpenAI) -> None:
    for each in client.vector_stores.list():
        client.vector_stores.delete(each.id)
    made = [client.vector_stores.create(name=f"{n}").id for n in range(5)]
    page = client.vector_stores.list(limit=2)
    assert page.has_more and [each.id for each in page.data] == made[:2:-1]
    assert [each.id for each in client.vector_stores.list(limit=2)] == made[::-1]
    assert [each.id for each in client.vector_stores.list(limit=2, order="asc")] == made
    before = client.vector_stores.list(before=made[1], limit=2)
    assert [each.id for each in before.data] == [made[3], made[2]] and before.has_more
    assert [each.id for each in client.vector_stores.list(before=made[1], order="asc").data] == made[:1]


def test_a_knowledge_base_is_a_vector_store_by_its_name(client: OpenAI, server: Served) -> None:
    knowledge_server.add(server, "notes/rhine.md", RHINE, base="rivers")
    knowledge_server.embed(server, base="rivers")
    shown = client.vector_stores.retrieve("rivers")
    assert (shown.name, shown.file_counts.completed, shown.status) == ("rivers", 1, "completed")
    assert "rivers" in [each.id for each in client.vector_stores.list(limit=100)]
    found = client.vector_stores.search("rivers", query="How long is the Rhine?").data
    assert found[0].filename == "notes/rhine.md" and "1,230 km" in found[0].content[0].text
    attached = client.vector_stores.files.create_and_poll(
        uploaded(client, "leave.md", LEAVE), vector_store_id="rivers", poll_interval_ms=20
    )
    assert attached.status == "completed"
    assert client.vector_stores.retrieve("rivers").file_counts.completed == 2


# ---- files


def test_a_file_is_attached_found_read_and_detached(client: OpenAI) -> None:
    store = client.vector_stores.create(name="docs")
    file = uploaded(client, "rhine.md")
    made = client.vector_stores.files.create(store.id, file_id=file, attributes={"year": 2024, "public": True})
    assert (made.id, made.object, made.vector_store_id) == (file, "vector_store.file", store.id)
    assert made.status in ("in_progress", "completed") and made.last_error is None
    done = client.vector_stores.files.poll(file, vector_store_id=store.id, poll_interval_ms=20)
    assert done.status == "completed" and done.usage_bytes > 50 and done.attributes == {"year": 2024, "public": True}
    now = client.vector_stores.retrieve(store.id)
    assert (now.file_counts.completed, now.file_counts.total, now.usage_bytes) == (1, 1, done.usage_bytes)

    found = client.vector_stores.search(store.id, query="How long is the Rhine?")
    assert [each.file_id for each in found.data] == [file] and 0 < found.data[0].score <= 1
    assert found.data[0].filename == "rhine.md" and found.data[0].attributes == {"year": 2024, "public": True}
    assert "1,230 km" in found.data[0].content[0].text
    text = "".join(each.text or "" for each in client.vector_stores.files.content(file, vector_store_id=store.id))
    assert "1,230 km" in text

    gone = client.vector_stores.files.delete(file, vector_store_id=store.id)
    assert (gone.id, gone.deleted, gone.object) == (file, True, "vector_store.file.deleted")
    assert client.vector_stores.search(store.id, query="How long is the Rhine?").data == []
    assert client.files.retrieve(file).id == file, "the file itself stays"
    with pytest.raises(openai.NotFoundError, match="has no file"):
        client.vector_stores.files.retrieve(file, vector_store_id=store.id)


def test_a_store_is_created_with_its_files(client: OpenAI) -> None:
    files = [uploaded(client, "rhine.md"), uploaded(client, "leave.md", LEAVE)]
    store = client.vector_stores.create(name="both", file_ids=files)
    until(lambda: client.vector_stores.retrieve(store.id).file_counts.completed == 2)
    assert [each.id for each in client.vector_stores.files.list(store.id, order="asc")] == files


def test_a_deleted_file_is_gone_from_all_stores(client: OpenAI) -> None:
    store = store_with(client, rhine_md=RHINE)
    file = client.vector_stores.files.list(store.id).data[0].id
    client.files.delete(file)
    assert client.vector_stores.search(store.id, query="How long is the Rhine?").data == []
    assert client.vector_stores.retrieve(store.id).file_counts.total == 0


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("image.png", b"\x89PNG\r\n\x1a\n" + bytes(50), "unsupported_file", "is an image"),
        ("empty.txt", b"", "invalid_file", "is empty"),
        ("blank.md", b"   \n\n  ", "invalid_file", "empty"),
        ("broken.pdf", b"%PDF-1.7\nnothing follows", "invalid_file", "broken.pdf"),
    ],
)
def test_a_file_that_cannot_be_read_has_failed_and_says_why(
    client: OpenAI, name: str, content: bytes, code: str, words: str
) -> None:
    store = client.vector_stores.create(name="bad")
    made = client.vector_stores.files.create_and_poll(
        uploaded(client, name, content), vector_store_id=store.id, poll_interval_ms=20
    )
    assert made.status == "failed" and made.last_error is not None
    assert made.last_error.code == code and words in made.last_error.message
    assert client.vector_stores.retrieve(store.id).file_counts.failed == 1
    assert [each.id for each in client.vector_stores.files.list(store.id, filter="failed")] == [made.id]
    assert client.vector_stores.files.list(store.id, filter="completed").data == []


def test_chunks_are_as_large_as_the_client_wishes(client: OpenAI) -> None:
    text = " ".join(f"Sentence number {n} is about rivers." for n in range(200)).encode()
    passages = {}
    for size, overlap in ((100, 0), (400, 200)):
        store = client.vector_stores.create(name="chunks")
        made = client.vector_stores.files.create_and_poll(
            uploaded(client, "long.txt", text),
            vector_store_id=store.id,
            poll_interval_ms=20,
            chunking_strategy={
                "type": "static",
                "static": {"max_chunk_size_tokens": size, "chunk_overlap_tokens": overlap},
            },
        )
        assert made.chunking_strategy is not None and made.chunking_strategy.type == "static"
        assert made.chunking_strategy.static.max_chunk_size_tokens == size
        content = list(client.vector_stores.files.content(made.id, vector_store_id=store.id))
        passages[size] = len(content)
        assert "".join(each.text or "" for each in content).split() == text.decode().split()
    assert passages[100] > passages[400] > 1


# ---- batches


def test_a_batch_attaches_files_with_attributes_of_their_own(client: OpenAI) -> None:
    store = client.vector_stores.create(name="batch")
    good, bad = uploaded(client, "rhine.md"), uploaded(client, "image.png", b"\x89PNG" + bytes(20))
    batch = client.vector_stores.file_batches.create_and_poll(
        store.id,
        files=[{"file_id": good, "attributes": {"lang": "en"}}, {"file_id": bad}],
        poll_interval_ms=20,
    )
    assert batch.id.startswith("vsfb_") and (batch.object, batch.status) == ("vector_store.files_batch", "completed")
    assert (batch.file_counts.completed, batch.file_counts.failed, batch.file_counts.total) == (1, 1, 2)
    assert client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id) == batch
    listed = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, filter="completed")
    assert [(each.id, each.attributes) for each in listed] == [(good, {"lang": "en"})]


def test_files_are_uploaded_and_attached_in_one_call(client: OpenAI) -> None:
    store = client.vector_stores.create(name="upload")
    batch = client.vector_stores.file_batches.upload_and_poll(
        store.id, files=[("rhine.md", RHINE), ("leave.md", LEAVE)], poll_interval_ms=20
    )
    assert batch.file_counts.completed == 2
    assert (
        client.vector_stores.files.upload_and_poll(
            vector_store_id=store.id, file=("more.md", b"# More\n\nA lake."), poll_interval_ms=20
        ).status
        == "completed"
    )


def test_a_cancelled_batch_keeps_nothing_in_progress(client: OpenAI) -> None:
    store = client.vector_stores.create(name="cancel")
    files = [uploaded(client, f"{n}.md", b"# %d\n\nText of this file." % n) for n in range(6)]
    batch = client.vector_stores.file_batches.create(store.id, file_ids=files)
    done = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    counts = done.file_counts
    assert counts.in_progress == 0 and counts.cancelled + counts.completed == counts.total == 6
    assert done.status == ("cancelled" if counts.cancelled else "completed")


# ---- search


@pytest.fixture(scope="module")
def dated(client: OpenAI) -> str:
    """A store whose files differ in their attributes alone."""
    store = client.vector_stores.create(name="dated")
    client.vector_stores.file_batches.create_and_poll(
        store.id,
        files=[
            {
                "file_id": uploaded(client, f"report-{year}.md", b"# Report\n\nThe yearly report about rivers."),
                "attributes": {"year": year, "draft": year == 2025, "author.name": "ada" if year < 2025 else "bob"},
            }
            for year in (2023, 2024, 2025)
        ],
        poll_interval_ms=20,
    )
    return store.id


@pytest.mark.parametrize(
    ("filters", "years"),
    [
        ({"type": "eq", "key": "year", "value": 2024}, {2024}),
        ({"type": "ne", "key": "year", "value": 2024}, {2023, 2025}),
        ({"type": "gt", "key": "year", "value": 2023}, {2024, 2025}),
        ({"type": "gte", "key": "year", "value": 2024}, {2024, 2025}),
        ({"type": "lt", "key": "year", "value": 2024}, {2023}),
        ({"type": "lte", "key": "year", "value": 2024}, {2023, 2024}),
        ({"type": "in", "key": "year", "value": [2023, 2025]}, {2023, 2025}),
        ({"type": "nin", "key": "year", "value": [2023, 2025]}, {2024}),
        ({"type": "eq", "key": "draft", "value": True}, {2025}),
        ({"type": "eq", "key": "author.name", "value": "ada"}, {2023, 2024}),
        (
            {
                "type": "and",
                "filters": [
                    {"type": "eq", "key": "author.name", "value": "ada"},
                    {"type": "or", "filters": [{"type": "eq", "key": "year", "value": y} for y in (2024, 2025)]},
                ],
            },
            {2024},
        ),
        ({"type": "eq", "key": "unheard", "value": "of"}, set()),
    ],
)
def test_filters_leave_out_what_they_should(client: OpenAI, dated: str, filters: Any, years: set[int]) -> None:
    found = client.vector_stores.search(dated, query="report", filters=filters, max_num_results=10).data
    assert {(each.attributes or {})["year"] for each in found} == years


def test_several_queries_a_threshold_and_a_limit(client: OpenAI) -> None:
    store = store_with(client, rhine_md=RHINE, leave_md=LEAVE)
    queries = ["How long is the Rhine?", "days of leave"]
    found = client.vector_stores.search(store.id, query=queries).data
    assert {each.filename for each in found} == {"rhine.md", "leave.md"}
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert len(client.vector_stores.search(store.id, query=queries, max_num_results=1).data) == 1
    high: Any = {"score_threshold": 1.0, "ranker": "auto"}
    assert client.vector_stores.search(store.id, query=queries, ranking_options=high).data == []


def test_changed_attributes_are_what_filters_see(client: OpenAI) -> None:
    store = store_with(client, rhine_md=RHINE)
    file = client.vector_stores.files.list(store.id).data[0].id
    changed = client.vector_stores.files.update(file, vector_store_id=store.id, attributes={"lang": "de"})
    assert changed.attributes == {"lang": "de"}
    client.vector_stores.files.poll(file, vector_store_id=store.id, poll_interval_ms=20)
    for value, count in (("de", 1), ("en", 0)):
        found = client.vector_stores.search(
            store.id, query="Rhine", filters={"type": "eq", "key": "lang", "value": value}
        )
        assert len(found.data) == count


# ---- bad input


BAD: list[tuple[str, str, Any, int, str]] = [
    ("POST", "", {"name": "x", "colour": "red"}, 400, "there is no field `colour`"),
    ("POST", "", {"file_ids": ["file-none"]}, 404, "there is no file 'file-none'"),
    ("POST", "", {"expires_after": {"anchor": "created_at", "days": 1}}, 400, "expires_after.anchor"),
    ("POST", "", {"expires_after": {"anchor": "last_active_at", "days": 0}}, 400, "expires_after.days"),
    ("POST", "", {"metadata": {"k": "v" * 513}}, 400, "metadata"),
    ("POST", "", {"metadata": {f"{n}": "" for n in range(17)}}, 400, "more than 16"),
    ("POST", "", b"{", 400, "not JSON"),
    ("GET", "?limit=0", None, 400, "`limit` is '0'"),
    ("GET", "?limit=101", None, 400, "1 to 100"),
    ("GET", "?order=up", None, 400, "asc or desc"),
    ("GET", "?colour=red", None, 400, "there is no parameter"),
    ("GET", "?after=vs_none", None, 404, "no vector store 'vs_none'"),
    ("GET", "/vs_none", None, 404, "no vector store 'vs_none'"),
    ("POST", "/{id}", {"name": 5}, 400, "`name`"),
    ("DELETE", "/vs_none", None, 404, "no vector store"),
    ("POST", "/{id}/search", {}, 400, "query"),
    ("POST", "/{id}/search", {"query": ""}, 400, "`query`"),
    ("POST", "/{id}/search", {"query": " "}, 400, "the query must have"),
    ("POST", "/{id}/search", {"query": []}, 400, "`query`"),
    ("POST", "/{id}/search", {"query": "x", "max_num_results": 51}, 400, "max_num_results"),
    ("POST", "/{id}/search", {"query": "x", "rewrite_query": True}, 400, "`rewrite_query` is not supported"),
    ("POST", "/{id}/search", {"query": "x", "filters": {"type": "like", "key": "a", "value": "b"}}, 400, "filters"),
    (
        "POST",
        "/{id}/search",
        {"query": "x", "filters": {"type": "gt", "key": "a", "value": "b"}},
        400,
        "compares numbers",
    ),
    ("POST", "/{id}/search", {"query": "x", "filters": {"type": "and", "filters": [5]}}, 400, "filters.filters[0]"),
    ("POST", "/{id}/search", {"query": "x", "ranking_options": {"ranker": "best"}}, 400, "ranking_options.ranker"),
    ("GET", "/{id}/search", None, 405, "accepts only POST"),
    ("POST", "/vs_none/search", {"query": "x"}, 404, "no vector store"),
    ("POST", "/{id}/files", {}, 400, "file_id"),
    ("POST", "/{id}/files", {"file_id": "file-none"}, 404, "there is no file 'file-none'"),
    ("POST", "/vs_none/files", {"file_id": "file-none"}, 404, "no vector store"),
    ("POST", "/{id}/files", {"file_id": "f", "attributes": {"a": [1]}}, 400, "attributes"),
    ("POST", "/{id}/files", {"file_id": "f", "attributes": {"k" * 65: 1}}, 400, "64 characters"),
    ("POST", "/{id}/files", {"file_id": "f", "attributes": {f"{n}": 1 for n in range(17)}}, 400, "has 17 keys"),
    ("POST", "/{id}/files", {"file_id": "f", "chunking_strategy": {"type": "static"}}, 400, "without its sizes"),
    (
        "POST",
        "/{id}/files",
        {
            "file_id": "f",
            "chunking_strategy": {
                "type": "static",
                "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51},
            },
        },
        400,
        "more than half",
    ),
    ("GET", "/{id}/files?filter=done", None, 400, "`filter` is 'done'"),
    ("GET", "/{id}/files?after=file-none", None, 404, "has no file"),
    ("GET", "/{id}/files/file-none", None, 404, "has no file"),
    ("POST", "/{id}/files/file-none", {"attributes": {}}, 404, "has no file"),
    ("DELETE", "/{id}/files/file-none", None, 404, "has no file"),
    ("GET", "/{id}/files/file-none/content", None, 404, "has no file"),
    ("POST", "/{id}/file_batches", {}, 400, "no files"),
    ("POST", "/{id}/file_batches", {"file_ids": ["a"], "files": [{"file_id": "a"}]}, 400, "both"),
    ("GET", "/{id}/file_batches/vsfb_none", None, 404, "no batch"),
    ("POST", "/{id}/file_batches/vsfb_none/cancel", None, 404, "no batch"),
    ("GET", "/{id}/file_batches/vsfb_none/files", None, 404, "no batch"),
]


@pytest.fixture(scope="module")
def empty(client: OpenAI) -> str:
    return client.vector_stores.create(name="empty").id


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"), BAD, ids=[f"{m} {p} {w}" for m, p, _, _, w in BAD]
)
def test_bad_input_is_refused_by_name(
    server: Served, client: OpenAI, empty: str, method: str, path: str, body: Any, status: int, words: str
) -> None:
    answer = server.ask(f"/v1/vector_stores{path.replace('{id}', empty)}", body, method=method, key=client.api_key)
    assert answer.status == status, answer.body
    assert words in f"{answer.error['message']} {answer.error.get('hint')}", answer.error
    assert answer.error.get("hint") or status == 400


def test_a_store_without_an_embedding_model_says_what_to_do(tmp_path: Path) -> None:
    with serving(tmp_path / "none", ECHO) as served:
        answer = served.ask("/v1/vector_stores", {"name": "x"}, key=key_of(served, MANAGER))
        assert answer.status == 503 and "no embedding model" in answer.error["message"]
        assert "sizewise models pull" in answer.error["message"] or "sizewise" in answer.error["hint"]


FAR = """
[server]
embedded = false
discover = false
[providers.far]
wire = "echo"
place = "anyone"
models = ["vectors"]
[models."far/vectors"]
task = "embed"
"""


@pytest.mark.long
def test_a_file_that_may_not_be_embedded_fails_and_the_others_are_completed(tmp_path: Path) -> None:
    with serving(tmp_path / "far", FAR) as served, sdk(served) as client:
        store = client.vector_stores.create(name="mixed")
        files = [uploaded(client, "secret.md", LEAVE), uploaded(client, "rhine.md")]
        for file, data_class in zip(files, ("confidential", "public"), strict=True):
            client.vector_stores.files.create(
                store.id, file_id=file, extra_headers={"x-sizewise-data-class": data_class}
            )
        done = [client.vector_stores.files.poll(f, vector_store_id=store.id, poll_interval_ms=20) for f in files]
        assert [each.status for each in done] == ["failed", "completed"], [each.last_error for each in done]
        error = done[0].last_error
        assert error is not None and error.code == "server_error" and "confidential" in error.message


# ---- tenancy and rights


def test_another_project_neither_sees_nor_searches_it(client: OpenAI, server: Served) -> None:
    store = store_with(client, rhine_md=RHINE)
    file = client.vector_stores.files.list(store.id).data[0].id
    with sdk(server, key_of(server, MANAGER, "other")) as stranger:
        assert store.id not in [each.id for each in stranger.vector_stores.list()]
        mine = stranger.vector_stores.create(name="mine")
        calls: list[Callable[[], object]] = [
            lambda: stranger.vector_stores.retrieve(store.id),
            lambda: stranger.vector_stores.search(store.id, query="Rhine"),
            lambda: stranger.vector_stores.delete(store.id),
            lambda: stranger.vector_stores.files.list(store.id),
            lambda: stranger.vector_stores.files.content(file, vector_store_id=store.id),
            lambda: stranger.vector_stores.files.create(mine.id, file_id=file),
            lambda: stranger.responses.create(
                model="echo/small", input="Rhine", tools=[{"type": "file_search", "vector_store_ids": [store.id]}]
            ),
        ]
        for call in calls:
            with pytest.raises(openai.NotFoundError):
                call()
    assert client.vector_stores.search(store.id, query="Rhine").data


def test_a_key_that_may_only_ask_reads_and_searches_but_changes_nothing(client: OpenAI, server: Served) -> None:
    store = store_with(client, rhine_md=RHINE)
    file = client.vector_stores.files.list(store.id).data[0].id
    with sdk(server, key_of(server, ["ask"])) as reader:
        assert reader.vector_stores.retrieve(store.id).id == store.id
        assert reader.vector_stores.search(store.id, query="Rhine").data
        calls: list[Callable[[], object]] = [
            lambda: reader.vector_stores.create(name="x"),
            lambda: reader.vector_stores.update(store.id, name="x"),
            lambda: reader.vector_stores.delete(store.id),
            lambda: reader.vector_stores.files.create(store.id, file_id=file),
            lambda: reader.vector_stores.files.update(file, vector_store_id=store.id, attributes={}),
            lambda: reader.vector_stores.files.delete(file, vector_store_id=store.id),
            lambda: reader.vector_stores.file_batches.create(store.id, file_ids=[file]),
        ]
        for call in calls:
            with pytest.raises(openai.PermissionDeniedError, match="manage_knowledge"):
                call()
    with sdk(server, key_of(server, ["ask"], endpoints=["chat"])) as confined:
        with pytest.raises(openai.PermissionDeniedError):
            confined.vector_stores.list()


# ---- expiry, crashes, and what lies on the disk


def database(server: Served, statement: str, *values: object) -> list[Any]:
    with contextlib.closing(sqlite3.connect(server.home / "sizewise.db", timeout=30)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def test_an_expired_store_says_so_and_answers_no_search(client: OpenAI, server: Served) -> None:
    store = store_with(client, rhine_md=RHINE)
    client.vector_stores.update(store.id, expires_after={"anchor": "last_active_at", "days": 1})
    database(server, "UPDATE vector_stores SET expires = ? WHERE id = ?", int(time.time() * 1000) - 1, store.id)
    assert client.vector_stores.retrieve(store.id).status == "expired"
    with pytest.raises(openai.BadRequestError, match="has expired"):
        client.vector_stores.search(store.id, query="Rhine")
    with pytest.raises(openai.BadRequestError, match="has expired"):
        client.vector_stores.files.create(store.id, file_id=uploaded(client, "more.md"))


@pytest.mark.long
def test_a_queued_file_outlives_kill_9_and_expired_stores_are_emptied_at_the_start(tmp_path: Path) -> None:
    home = tmp_path / "killed"
    with serving(home, SETTINGS) as served, sdk(served) as client:
        old = store_with(client, leave_md=LEAVE)
        store = client.vector_stores.create(name="later")
        file = uploaded(client, "rhine.md")
        served.process.send_signal(signal.SIGKILL)
        served.process.wait(30)
        with contextlib.closing(sqlite3.connect(home / "sizewise.db")) as connection, connection:
            row = connection.execute("SELECT * FROM vector_store_files WHERE store = ?", (old.id,)).fetchone()
            assert row is not None
            connection.execute("UPDATE vector_stores SET expires = 1 WHERE id = ?", (old.id,))
    with serving(home, SETTINGS) as served, sdk(served) as client:
        until(lambda: client.vector_stores.retrieve(old.id).file_counts.total == 0)
        client.vector_stores.files.create(store.id, file_id=file)
        served.process.send_signal(signal.SIGKILL)
        served.process.wait(30)
    with serving(home, SETTINGS) as served, sdk(served) as client:
        done = client.vector_stores.files.poll(file, vector_store_id=store.id, poll_interval_ms=20)
        assert done.status == "completed"
        assert client.vector_stores.search(store.id, query="How long is the Rhine?").data[0].file_id == file
        canary = knowledge_server.everything(home)
        assert b"1,230 km" not in canary and b"rhine.md" not in canary
