"""/v1/files with the official `openai` SDK, and what happens to files whose client, server or owner goes away."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from openai import OpenAI

from tests.graphql.graphql_client import admin, graphql
from tests.running_server import ECHO, Answer, Served, serving, until

MAX_FILE = 3_000_000
CONFIG = f"""{ECHO}
[files]
max_file_bytes = {MAX_FILE}
max_bytes = 10_000_000
max_files = 60
[projects.other]
"""
PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
BOUNDARY = "b0undary"
CONTENT = bytes(range(256)) * 5_000 + b"\r\n--b0undar\r\n"
"""1.28 MB, so two parts, with what is nearly a boundary of ours."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("files"), CONFIG) as served:
        yield served


@pytest.fixture
def client(server: Served) -> Iterator[OpenAI]:
    with sdk(server) as made:
        yield made
        for each in made.files.list():
            made.files.delete(each.id)


def sdk(server: Served, key: str = "") -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key=key or server.key, max_retries=0)


def form(*parts: tuple[str, bytes], end: bool = True) -> bytes:
    """`parts`: the value of Content-Disposition behind `form-data; `, and the content."""
    said = b"".join(
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (BOUNDARY.encode(), about.encode(), content)
        for about, content in parts
    )
    return said + (f"--{BOUNDARY}--\r\n".encode() if end else b"")


FORM = f"multipart/form-data; boundary={BOUNDARY}"


def post(server: Served, body: bytes, content_type: str = FORM) -> Answer:
    return server.ask("/v1/files", body, method="POST", content_type=content_type)


FILE, PURPOSE = ('name="file"; filename="a.txt"', b"hello"), ('name="purpose"', b"user_data")


def database(server: Served, statement: str, *values: object) -> list[Any]:
    with contextlib.closing(sqlite3.connect(server.home / "sizewise.db", timeout=30)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def rows(server: Served, table: str) -> int:
    return int(database(server, f"SELECT count(*) FROM {table}")[0][0])


# ---- as the SDK knows it


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_file_comes_back_byte_for_byte_whatever_it_is_for(client: OpenAI, purpose: Any) -> None:
    made = client.files.create(file=("übung.bin", CONTENT), purpose=purpose)
    assert (made.object, made.bytes, made.filename, made.purpose) == ("file", len(CONTENT), "übung.bin", purpose)
    assert made.id.startswith("file-") and made.created_at > 1_700_000_000 and made.status == "processed"
    assert (made.expires_at is not None) is (purpose == "batch")  # as OpenAI's do
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == CONTENT


def test_an_empty_file_is_a_file(client: OpenAI) -> None:
    made = client.files.create(file=("empty.txt", b""), purpose="user_data")
    assert made.bytes == 0 and client.files.content(made.id).read() == b""


def test_pages_have_every_file_once_in_either_order(client: OpenAI) -> None:
    made = [client.files.create(file=(f"{n}.txt", b"x"), purpose="evals").id for n in range(5)]
    client.files.create(file=("other.txt", b"x"), purpose="vision")
    page = client.files.list(purpose="evals", limit=2)
    assert page.has_more is True and [each.id for each in page.data] == made[:2:-1]
    assert [each.id for each in client.files.list(purpose="evals", limit=2)] == made[::-1]
    assert [each.id for each in client.files.list(purpose="evals", limit=2, order="asc")] == made
    assert [each.id for each in client.files.list(purpose="evals", after=made[1], order="asc")] == made[2:]
    assert len(client.files.list().data) == 6


def test_a_deleted_file_is_gone_from_everywhere(client: OpenAI, server: Served) -> None:
    made = client.files.create(file=("a.bin", CONTENT), purpose="user_data")
    gone = client.files.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "file", True)
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            call(made.id)
    assert rows(server, "files") == rows(server, "file_parts") == 0


def test_a_file_says_when_it_expires(client: OpenAI) -> None:
    made = client.files.create(
        file=("a.txt", b"x"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3_600}
    )
    assert made.expires_at is not None and 3_599 <= made.expires_at - made.created_at <= 3_601


def test_an_expired_file_is_not_there(client: OpenAI, server: Served) -> None:
    made = client.files.create(file=("a.txt", b"x"), purpose="batch")
    database(server, "UPDATE files SET expires = 1 WHERE id = ?", made.id)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)
    assert list(client.files.list()) == []
    database(server, "UPDATE files SET expires = NULL WHERE id = ?", made.id)  # the fixture deletes it


def test_a_key_of_another_project_sees_nothing_of_it(client: OpenAI, server: Served) -> None:
    made = client.files.create(file=("a.txt", b"secret"), purpose="user_data")
    key = graphql(server, 'mutation { createKey(name: "o", permissions: [ask], project: "other") { secret } }')
    assert key.errors == []
    with sdk(server, key.data["createKey"]["secret"]) as other:
        assert list(other.files.list()) == []
        for call in (other.files.retrieve, other.files.content, other.files.delete):
            with pytest.raises(openai.NotFoundError):
                call(made.id)
    assert client.files.content(made.id).read() == b"secret"


# ---- limits and bad input


def test_a_file_of_the_largest_size_fits_and_one_byte_more_does_not(client: OpenAI, server: Served) -> None:
    assert client.files.create(file=("a.bin", bytes(MAX_FILE)), purpose="user_data").bytes == MAX_FILE
    with pytest.raises(openai.APIStatusError) as refused:
        client.files.create(file=("b.bin", bytes(MAX_FILE + 1)), purpose="user_data")
    assert refused.value.status_code == 413 and "max_file_bytes" in json.dumps(refused.value.body)
    assert rows(server, "files") == 1


def test_an_organization_has_room_for_so_much_and_deleting_makes_some(client: OpenAI, server: Served) -> None:
    made = [client.files.create(file=(f"{n}", bytes(MAX_FILE)), purpose="user_data") for n in range(3)]
    with pytest.raises(openai.APIStatusError) as refused:
        client.files.create(file=("more", bytes(MAX_FILE)), purpose="user_data")
    assert refused.value.status_code == 413 and "max_bytes" in json.dumps(refused.value.body)
    assert rows(server, "files") == 3
    client.files.delete(made[0].id)
    client.files.create(file=("more", bytes(MAX_FILE)), purpose="user_data")


BAD: dict[str, tuple[bytes, str | None]] = {
    "no purpose": (form(FILE), "purpose"),
    "a purpose that does not exist": (form(FILE, ('name="purpose"', b"fun")), "purpose"),
    "no file": (form(PURPOSE), "file"),
    "two files": (form(FILE, FILE, PURPOSE), "file"),
    "an unknown field": (form(FILE, PURPOSE, ('name="colour"', b"red")), "colour"),
    "a purpose as long as a file": (form(FILE, ('name="purpose"', b"x" * 2_000)), "purpose"),
    "an expiry of a minute": (
        form(
            *(FILE, PURPOSE, ('name="expires_after[anchor]"', b"created_at")),
            ('name="expires_after[seconds]"', b"60"),
        ),
        "expires_after",
    ),
    "an expiry without an anchor": (form(FILE, PURPOSE, ('name="expires_after[seconds]"', b"3600")), "expires_after"),
    "an expiry in words": (
        form(
            *(FILE, PURPOSE, ('name="expires_after[anchor]"', b"created_at")),
            ('name="expires_after[seconds]"', b"soon"),
        ),
        "expires_after",
    ),
    "a form that ends early": (form(FILE, PURPOSE, end=False), None),
    "nothing": (b"", None),
    "another boundary": (form(FILE, PURPOSE).replace(b"b0undary", b"other"), None),
    "a part without a name": (form(('filename="a.txt"', b"x"), PURPOSE), None),
    "a header without an end": (b"--b0undary\r\n" + b"x" * 20_000, None),
    "forty parts": (form(*[PURPOSE] * 40), None),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_form_is_refused_and_leaves_nothing(server: Served, client: OpenAI, case: str) -> None:
    body, param = BAD[case]
    answer = post(server, body)
    assert answer.status == 400, answer.body
    assert answer.error["param"] == param and answer.error["hint"]
    assert rows(server, "files") == rows(server, "file_parts") == 0


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "multipart/form-data; boundary="])
def test_a_body_that_is_no_form_is_refused(server: Served, kind: str) -> None:
    answer = post(server, form(FILE, PURPOSE), content_type=kind)
    assert answer.status == 400 and answer.error["hint"]


def test_a_compressed_form_is_refused_and_not_stored_as_it_is(server: Served) -> None:
    packed = gzip.compress(form(FILE, PURPOSE))
    answer = server.ask("/v1/files", packed, method="POST", content_type=FORM, content_encoding="gzip")
    assert answer.status == 415 and "uncompressed" in answer.error["hint"]


@pytest.mark.parametrize(
    ("about", "name"),
    [
        ('name="file"; filename="../../etc/passwd"', "passwd"),
        ('name="file"; filename="C:\\\\dir\\\\a.txt"', "a.txt"),
        ('name="file"; filename="a\tb.txt"', "ab.txt"),
        ("name=\"file\"; filename*=UTF-8''%C3%BCbung.txt", "übung.txt"),
        ('name="file"; filename=""', "file"),
        ('name="file"', "file"),
        (f'name="file"; filename="{"x" * 300}"', "x" * 255),
    ],
)
def test_a_file_name_is_only_a_name(server: Served, client: OpenAI, about: str, name: str) -> None:
    answer: Any = post(server, form((about, b"hello"), PURPOSE)).json
    assert answer["filename"] == name


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=10001", "order=up", "after=file-x", "colour=red"])
def test_a_list_with_a_bad_parameter_is_refused_by_name(server: Served, query: str) -> None:
    answer = server.ask(f"/v1/files?{query}")
    assert answer.status in (400, 404) and answer.error["param"] == query.partition("=")[0]


def test_a_wrong_key_uploads_nothing(server: Served) -> None:
    with sdk(server, "sk-wrong") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.files.create(file=("a.txt", b"x"), purpose="user_data")
    assert rows(server, "files") == 0


# ---- what goes away in between


def half_an_upload(server: Served, size: int) -> socket.socket:
    """The head and `size` bytes of a form that never ends."""
    parts = urlsplit(server.url)
    line = socket.create_connection((parts.hostname or "", parts.port or 0), 30)
    head = (
        f"POST /v1/files HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {server.key}\r\n"
        f"content-type: multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: {MAX_FILE}\r\n\r\n"
    )
    line.sendall(head.encode() + form(PURPOSE, FILE, end=False) + bytes(size))
    return line


def test_of_an_upload_whose_client_leaves_nothing_stays(client: OpenAI, server: Served) -> None:
    line = half_an_upload(server, 2_000_000)
    until(lambda: rows(server, "file_parts") >= 1)
    assert list(client.files.list()) == []
    line.close()
    until(lambda: rows(server, "files") == rows(server, "file_parts") == 0)


def test_ten_uploads_at_once_are_ten_files(client: OpenAI) -> None:
    made: list[str] = []

    def upload(number: int) -> None:
        content = bytes([number]) * 900_000
        made.append(client.files.create(file=(f"{number}", content), purpose="user_data").id)

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(made)) == 10
    for each in client.files.list():
        assert client.files.content(each.id).read() == bytes([int(each.filename)]) * 900_000


@pytest.mark.long
def test_after_a_kill_in_mid_upload_whole_files_are_there_and_half_ones_are_not(tmp_path: Path) -> None:
    with serving(tmp_path / "killed", CONFIG) as served:
        with sdk(served) as client:
            whole = client.files.create(file=("whole.bin", CONTENT), purpose="user_data").id
        with half_an_upload(served, 2_000_000):
            until(lambda: rows(served, "file_parts") >= 3)
            os.kill(served.process.pid, signal.SIGKILL)
            served.process.wait(60)
    with serving(tmp_path / "killed", CONFIG) as served, sdk(served) as client:
        assert [each.id for each in client.files.list()] == [whole]
        assert client.files.content(whole).read() == CONTENT
        ((half,),) = database(served, "SELECT id FROM files WHERE state = 'uploading'")
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(half)
        database(served, "UPDATE files SET touched = 1 WHERE id = ?", half)
    with serving(tmp_path / "killed", CONFIG) as served, sdk(served) as client:
        until(lambda: (rows(served, "files"), rows(served, "file_parts")) == (1, 2))
        assert client.files.content(whole).read() == CONTENT


def test_no_file_and_no_name_lies_readable_in_the_home(client: OpenAI, server: Served) -> None:
    client.files.create(file=("canary-name.txt", b"canary-content" * 10), purpose="user_data")
    for path in server.home.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"canary-name" not in data and b"canary-content" not in data, path


@pytest.mark.long
def test_an_upload_does_not_grow_the_server_by_its_size(tmp_path: Path) -> None:
    config = f"{ECHO}\n[files]\nmax_file_bytes = 200_000_000\n"
    with serving(tmp_path / "large", config) as served, sdk(served) as client:
        client.files.create(file=("first", bytes(2_000_000)), purpose="user_data")
        before = peak_kb(served)
        made = client.files.create(file=("large", io.BytesIO(bytes(60_000_000))), purpose="user_data")
        assert made.bytes == 60_000_000
        with client.files.with_streaming_response.content(made.id) as answer:
            assert sum(map(len, answer.iter_bytes())) == 60_000_000
        assert peak_kb(served) - before < 40_000


def peak_kb(server: Served) -> int:
    """The most memory that the server has had (Linux)."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    pytest.skip("no /proc here")


def test_erasing_what_a_key_stored_erases_its_files(server: Served, client: OpenAI) -> None:
    made = graphql(server, 'mutation { createKey(name: "jane", permissions: [ask]) { key { id } secret } }')
    assert made.errors == [], made.errors
    id, secret = made.data["createKey"]["key"]["id"], made.data["createKey"]["secret"]
    kept = client.files.create(file=("kept.txt", b"x"), purpose="user_data").id
    with sdk(server, secret) as jane:
        hers = jane.files.create(file=("jane.bin", CONTENT), purpose="user_data").id
    for dry, left in ((True, {kept, hers}), (False, {kept})):
        assert {"kind": "files", "count": 1} in erased(server, id, dry)
        assert {each.id for each in client.files.list()} == left
    assert rows(server, "file_parts") == 1


def erased(server: Served, key: str, dry: bool) -> list[dict[str, Any]]:
    mutation = """mutation ($key: String!, $dry: Boolean!) {
      erasePersonalData(key: $key, dryRun: $dry) { rows { kind count } } }"""
    shown: Any = server.ask(
        "/graphql", {"query": mutation, "variables": {"key": key, "dry": dry}}, key=admin(server)
    ).json
    assert "errors" not in shown, shown
    found: list[dict[str, Any]] = shown["data"]["erasePersonalData"]["rows"]
    return found
