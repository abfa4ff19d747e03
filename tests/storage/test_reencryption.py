"""Rows move to new keys behind everybody's back: none is lost, old keys go when nothing needs them; and are erased."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select, update

from sizewise.app.services import Services, open_services
from sizewise.cache.stored_response_tables import RESPONSES
from sizewise.cache.stored_responses import StoredPayload, StoredResponse, StoredResponses
from sizewise.errors import StorageError
from sizewise.storage.database import open_database, sqlite_url
from sizewise.storage.encryption import DIRECT_VERSION, KEY_CHECK_S, EnvelopeEncryption
from sizewise.storage.keys.local_kms import LocalKms
from sizewise.storage.reencryption import GRACE_S
from tests.running_server import until

CANARY = b"the canary sings at midnight"


def keep(services: Services, id: str, tenant: str = "local") -> None:
    put(services.stored_responses, id, tenant)


def put(responses: StoredResponses, id: str, tenant: str = "local") -> None:
    now = time.time_ns() // 1_000_000
    asyncio.run(responses.save(StoredResponse(id, tenant, "default", now, CANARY, b"[]")))


def body(services: Services, id: str, tenant: str = "local") -> bytes:
    found = asyncio.run(services.stored_responses.find(id, tenant, "default"))
    assert found is not None
    return found.body


def sealed_before_data_keys(home: Path, id: str) -> None:
    """Puts what is kept of `id` as an earlier Sizewise would have sealed it."""
    with open_services(home) as services:
        keep(services, id)
    its = LocalKms(home)
    plain = msgspec.msgpack.encode(StoredPayload(CANARY, b"[]", b"[]"))
    row = (
        DIRECT_VERSION
        + its.primary_key_id
        + its.cipher(its.primary_key_id).encrypt(plain, "local", "responses", f"default/{id}")
    )
    database = open_database(sqlite_url(str(home / "sizewise.db")), [])
    with database.write() as connection:
        connection.execute(update(RESPONSES).values(sealed=row))
    database.close()


def test_what_an_earlier_version_sealed_opens_and_is_moved_at_the_next_start(tmp_path: Path) -> None:
    sealed_before_data_keys(tmp_path, "old")
    with open_services(tmp_path) as services:
        assert body(services, "old") == CANARY
        services.key_rotation.resume()
        until(lambda: not any(each.id.startswith("key ") for each in services.key_rotation.job.key_statuses()))
        assert body(services, "old") == CANARY
        assert sum(each.row_count for each in services.key_rotation.job.key_statuses()) == 1


def test_a_server_that_stops_goes_on_at_the_next_start(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        for number in range(20):
            keep(services, f"r{number}")
        services.storage.encryption.rotate_data_keys()  # and the server stops before a row was moved
    with open_services(tmp_path) as services:
        services.key_rotation.resume()
        until(lambda: [each.row_count for each in services.key_rotation.job.key_statuses() if each.retired_at] == [0])
        assert all(body(services, f"r{number}") == CANARY for number in range(20))


def test_an_old_key_goes_when_nothing_is_sealed_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_services(tmp_path) as services:
        keep(services, "r")
        monkeypatch.setattr(services.key_rotation.job, "_grace_s", 0.05)
        assert asyncio.run(services.key_rotation.rotate(True)) == 1
        until(lambda: [each.retired_at for each in services.key_rotation.job.key_statuses()] == [None])
        assert body(services, "r") == CANARY


def test_what_another_process_sealed_by_the_old_key_is_moved_before_that_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert KEY_CHECK_S < GRACE_S / 5, "it learns of the new key long before the old one may go"
    now, ids = 0.0, ("before", "meanwhile", "after")
    with open_services(tmp_path) as services:
        keep(services, "r")
        storage, job = services.storage, services.key_rotation.job
        other = StoredResponses(
            encryption=EnvelopeEncryption(tmp_path, storage.keys, clock=lambda: now),
            read=storage.database.read_transaction,
            writer=storage.writer,
            executor=storage.executor,
            retention_ms=86_400_000,
        )
        put(other, "before")
        asyncio.run(services.key_rotation.rotate(True))
        until(lambda: not job.in_progress)
        put(other, "meanwhile")
        now = KEY_CHECK_S
        put(other, "after")
        assert [(bool(each.retired_at), each.row_count) for each in job.key_statuses()] == [(True, 1), (False, 3)]
        monkeypatch.setattr(job, "_grace_s", 0.05)
        job.start()
        until(lambda: [(bool(each.retired_at), each.row_count) for each in job.key_statuses()] == [(False, 4)])
        assert all(body(services, id) == CANARY for id in ids)
    with open_services(tmp_path) as services:
        assert all(body(services, id) == CANARY for id in ids)


def test_a_damaged_row_keeps_nothing_else_from_moving(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        for id in ("a", "b", "c"):
            keep(services, id)
        with services.storage.database.write() as connection:
            damaged = connection.execute(select(RESPONSES.c.sealed).where(RESPONSES.c.id == "b")).scalar_one()[:-1]
            connection.execute(update(RESPONSES).where(RESPONSES.c.id == "b").values(sealed=damaged))
        asyncio.run(services.key_rotation.rotate(True))
        until(lambda: not services.key_rotation.job.in_progress)
        assert body(services, "a") == body(services, "c") == CANARY
        with pytest.raises(StorageError):
            body(services, "b")


def test_an_erased_tenant_is_unreadable_and_nobody_else(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        keep(services, "mine", "acme")
        keep(services, "theirs", "globex")
        assert asyncio.run(services.key_rotation.shred("acme")) == 1
        with pytest.raises(StorageError, match="was deleted"):
            body(services, "mine", "acme")
        assert body(services, "theirs", "globex") == CANARY
    with open_services(tmp_path) as services, pytest.raises(StorageError, match="was deleted"):
        body(services, "mine", "acme")
