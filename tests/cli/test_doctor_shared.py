"""`sizewise doctor` of a server that shares a Postgres: it reads that database, before and after its first start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_doctor import checks
from tests.gateway.vector_store_client import SETTINGS, sdk, uploaded
from tests.postgres import dedicated_postgres
from tests.running_server import serving, until

CONFIG = f'{SETTINGS}\n[database]\nurl = "env:SHARED_STORE"\n'


@pytest.mark.long
def test_a_file_that_a_vector_store_could_not_read_is_found_in_the_shared_database(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "sizewise.toml").write_text(CONFIG)
    with dedicated_postgres() as postgres:
        url = postgres.url()
        assert checks(home, SHARED_STORE=url)["database"][:2] == (True, "will be created by sizewise up")
        with serving(home, CONFIG, SHARED_STORE=url) as server, sdk(server) as client:
            found = checks(home, SHARED_STORE=url)
            assert found["database"][:2] == (True, "the shared database") and "files" not in found
            store = client.vector_stores.create(name="bad")
            file = uploaded(client, "image.png", b"\x89PNG\r\n\x1a\n" + bytes(50))
            client.vector_stores.files.create_and_poll(file, vector_store_id=store.id, poll_interval_ms=20)
            good = uploaded(client, "rhine.md")
            batch = client.vector_stores.file_batches.create_and_poll(store.id, file_ids=[good], poll_interval_ms=20)
            counts = client.vector_stores.retrieve(store.id).file_counts
            assert (batch.file_counts.completed, counts.completed, counts.failed) == (1, 1, 1)
            well, said, _ = checks(home, SHARED_STORE=url)["files"]
            assert not well and f"1 of {store.id}" in said
    well, said, _ = checks(home, SHARED_STORE=url)["database"]
    assert not well and "@" not in said and "files" not in checks(home, SHARED_STORE=url)


@pytest.mark.long
def test_the_address_of_the_shared_database_is_not_set(tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text(CONFIG)
    well, said, step = checks(tmp_path)["database"]
    assert not well and "SHARED_STORE" in said and step


@pytest.mark.long
def test_a_server_without_the_key_of_the_others_is_told_so_at_its_start(postgres_url: str, tmp_path: Path) -> None:
    home = tmp_path / "two"
    with serving(tmp_path / "one", CONFIG, SHARED_STORE=postgres_url) as one:
        until(lambda: any("Give all servers one key" in line for line in one.said))
        assert one.ask("/v1/responses", {"model": "echo/small", "input": "hi"}).status == 200
        with serving(home, CONFIG, SHARED_STORE=postgres_url) as two:
            until(lambda: any("stored data cannot be decrypted" in line for line in two.said))
            well, said, _ = checks(home, SHARED_STORE=postgres_url)["encryption"]
            assert not well and "vault.key" in said
    shared = f'{CONFIG}\n[encryption]\nkey = "file:{tmp_path / "one" / "vault.key"}"\n'
    with serving(home, shared, SHARED_STORE=postgres_url) as two:
        assert two.said == [] and checks(home, SHARED_STORE=postgres_url)["encryption"][0]
