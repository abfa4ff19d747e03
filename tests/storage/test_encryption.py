"""Sealed is sealed: opened by its key and in its place only, and a lost key is said and never papered over."""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sizewise.errors import ConfigError, EncryptionKeyUnavailable, StorageError
from sizewise.storage.database import Database, open_database, sqlite_url
from sizewise.storage.encryption import DIRECT_VERSION, KEY_CHECK_S, KEY_RETRY_S, EnvelopeEncryption
from sizewise.storage.keys import tables
from sizewise.storage.keys.external_kms import ExternalKms
from sizewise.storage.keys.local_kms import LOOK_PAUSE_S, LocalKms
from sizewise.storage.keys.tables import MAX_USES, USES_PER_BLOCK, DataKeyStore

CANARY = b"the canary sings at midnight"
PLACE = ("acme", "responses", "row-1")


class Opens(Protocol):
    """A Vault over the one database of a test."""

    def __call__(self, reference: str = "", kms: str = "") -> EnvelopeEncryption: ...


def key(fill: int) -> str:
    return base64.b64encode(bytes([fill]) * 32).decode()


def ring(path: Path, *fills: int) -> str:
    path.write_text("\n".join(map(key, fills)) + "\n")
    return f"file:{path}"


def data_keys(database: Database, is_away: Callable[[], bool] = lambda: False) -> DataKeyStore:
    def read(work):  # type: ignore[no-untyped-def]  # generic in each call
        if is_away():
            raise StorageError("the database is away", "wait")
        with database.read() as connection:
            return work(connection)

    def write(work):  # type: ignore[no-untyped-def]  # the same
        with database.write() as connection:
            return work(connection)

    return DataKeyStore(read, write)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = open_database(sqlite_url(str(tmp_path / "sizewise.db")), [tables.SCHEMA])
    yield found
    found.close()


@pytest.fixture
def open_encryption(tmp_path: Path, database: Database) -> Opens:
    return lambda reference="", kms="": EnvelopeEncryption(tmp_path, data_keys(database), reference, kms)


def direct(reference: str, plain: bytes, home: Path) -> bytes:
    """As it was sealed before there were data keys."""
    its = LocalKms(home, reference)
    return DIRECT_VERSION + its.primary_key_id + its.cipher(its.primary_key_id).encrypt(plain, *PLACE)


def test_what_is_sealed_opens_again_and_shows_nothing_of_it(open_encryption: Opens) -> None:
    sealed = open_encryption().encrypt(CANARY, *PLACE)
    assert CANARY not in sealed and sealed != open_encryption().encrypt(CANARY, *PLACE)
    assert open_encryption().decrypt(sealed, *PLACE) == CANARY


@pytest.mark.parametrize(
    "place",
    [("other", "responses", "row-1"), ("acme", "idempotency", "row-1"), ("acme", "responses", "row-2")],
)
def test_a_row_moved_to_another_tenant_table_or_row_does_not_open(
    open_encryption: Opens, place: tuple[str, str, str]
) -> None:
    its = open_encryption()
    its.encrypt(CANARY, "other", "responses", "row-1")
    sealed = its.encrypt(CANARY, *PLACE)
    with pytest.raises(StorageError):
        its.decrypt(sealed, *place)


@pytest.mark.long
@given(some.integers(0), some.integers(0, 255))
def test_a_changed_byte_anywhere_is_noticed(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int) -> None:
    home = tmp_path_factory.getbasetemp()
    database = open_database(sqlite_url(str(home / "sizewise.db")), [tables.SCHEMA])
    try:
        its = EnvelopeEncryption(home, data_keys(database), ring(home / "ring", 1))
        sealed = bytearray(its.encrypt(CANARY, *PLACE))
        at %= len(sealed)
        if sealed[at] != byte:
            sealed[at] = byte
            with pytest.raises((StorageError, EncryptionKeyUnavailable)):
                its.decrypt(bytes(sealed), *PLACE)
        with pytest.raises((StorageError, EncryptionKeyUnavailable)):
            its.decrypt(bytes(sealed[:at]), *PLACE)
    finally:
        database.close()


def test_no_key_lies_bare_in_the_database(open_encryption: Opens, database: Database, tmp_path: Path) -> None:
    its = open_encryption()
    its.encrypt(CANARY, *PLACE)
    (row,) = data_keys(database).all_keys()
    assert row.tenant == "acme" and row.by.startswith("key ")
    bare = its._unwrap(row).key  # the one thing that no endpoint shows
    assert all(bare not in each.read_bytes() for each in tmp_path.iterdir())


def test_each_tenant_has_a_key_of_its_own(open_encryption: Opens, database: Database) -> None:
    its = open_encryption()
    assert its.encrypt(CANARY, *PLACE)[:9] == its.encrypt(CANARY, "acme", "other", "row")[:9]
    assert its.encrypt(CANARY, "globex", "responses", "row-1")[:9] != its.encrypt(CANARY, *PLACE)[:9]
    assert [each.tenant for each in data_keys(database).all_keys()] == ["acme", "globex"]


def test_a_wrapped_key_put_in_anothers_place_is_noticed(open_encryption: Opens, database: Database) -> None:
    its = open_encryption()
    mine, theirs = its.encrypt(CANARY, *PLACE), its.encrypt(CANARY, "globex", "responses", "row-1")
    keys = data_keys(database)
    wrapped = {each.tenant: each for each in keys.all_keys()}
    keys.replace_wrapping(wrapped["globex"], wrapped["acme"].by, wrapped["acme"].wrapped)
    anew = open_encryption()
    assert anew.decrypt(mine, *PLACE) == CANARY
    with pytest.raises(StorageError, match="was moved"):
        anew.decrypt(theirs, "globex", "responses", "row-1")


def test_the_key_is_made_at_the_first_sealing_for_its_owner_alone(open_encryption: Opens, tmp_path: Path) -> None:
    its, path = open_encryption(), tmp_path / "vault.key"
    assert its.problem == "" and not path.exists()
    its.encrypt(CANARY, *PLACE)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(EncryptionKeyUnavailable, match="other users can read") as refused:
        open_encryption().encrypt(CANARY, *PLACE)
    assert "chmod 600" in refused.value.hint


def test_those_who_seal_first_at_once_make_one_key(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def wrapped(home: Path) -> tuple[LocalKms, bytes]:
        ring = LocalKms(home)  # as each worker of a server has its own
        together.wait(30)
        return ring, ring.wrap(CANARY)

    with ThreadPoolExecutor(together.parties) as pool:
        for number in range(25):
            home = tmp_path / str(number)
            home.mkdir()
            rings, sealed = zip(*pool.map(wrapped, [home] * together.parties), strict=True)
            assert [ring.unwrap(each) for ring in rings for each in sealed] == [CANARY] * together.parties**2


def test_a_new_key_in_front_wraps_and_the_old_one_still_opens(open_encryption: Opens, tmp_path: Path) -> None:
    old = open_encryption(ring(tmp_path / "ring", 1)).encrypt(CANARY, *PLACE)
    both = open_encryption(ring(tmp_path / "ring", 2, 1))
    new = both.encrypt(CANARY, "globex", "responses", "row-1")
    assert both.decrypt(old, *PLACE) == both.decrypt(new, "globex", "responses", "row-1") == CANARY
    with pytest.raises(EncryptionKeyUnavailable, match="is not in 'file:"):
        open_encryption(ring(tmp_path / "ring", 1)).decrypt(new, "globex", "responses", "row-1")


def test_after_a_rotation_the_old_key_is_needed_no_more(
    open_encryption: Opens, tmp_path: Path, database: Database
) -> None:
    its = open_encryption(ring(tmp_path / "ring", 1))
    sealed = [its.encrypt(CANARY, tenant, "responses", "row-1") for tenant in ("acme", "globex")]
    before = {each.by for each in data_keys(database).all_keys()}
    ring(tmp_path / "ring", 2, 1)
    assert its.rewrap() == 2
    assert its.encrypt(CANARY, *PLACE)[:9] == sealed[0][:9]  # it goes on while it serves
    assert not before & {each.by for each in data_keys(database).all_keys()}
    anew = open_encryption(ring(tmp_path / "ring", 2))
    anew.expect_keys_for(sealed)
    assert anew.problem == "" and anew.decrypt(sealed[0], *PLACE) == CANARY


def test_a_rotation_that_cannot_open_an_old_key_changes_nothing(open_encryption: Opens, tmp_path: Path) -> None:
    its = open_encryption(ring(tmp_path / "ring", 1))
    sealed = its.encrypt(CANARY, *PLACE)
    ring(tmp_path / "ring", 2)
    with pytest.raises(EncryptionKeyUnavailable, match="is not in"):
        its.rewrap()
    assert open_encryption(ring(tmp_path / "ring", 2, 1)).decrypt(sealed, *PLACE) == CANARY


def test_a_process_that_did_not_rotate_reads_the_new_key_and_wraps_by_it(
    open_encryption: Opens, database: Database, tmp_path: Path
) -> None:
    now, reference = 0.0, ring(tmp_path / "ring", 1)
    rotates = open_encryption(reference)
    other = EnvelopeEncryption(tmp_path, data_keys(database), reference, clock=lambda: now)
    for each in (rotates, other):
        each.encrypt(CANARY, *PLACE)
    unseen = rotates.encrypt(CANARY, "globex", "responses", "row-1")
    ring(tmp_path / "ring", 2, 1)
    assert rotates.rewrap() == 2
    assert other.decrypt(unseen, "globex", "responses", "row-1") == CANARY
    ring(tmp_path / "ring", 3, 2, 1)
    assert rotates.rewrap() == 2
    now = LOOK_PAUSE_S
    other.encrypt(CANARY, "initech", "responses", "row-1")
    assert {each.by for each in data_keys(database).all_keys()} == {rotates.key_provider()}


def test_a_ring_that_cannot_be_read_again_takes_no_key_away_and_is_read_later(
    open_encryption: Opens, database: Database, tmp_path: Path
) -> None:
    now, reference = 0.0, ring(tmp_path / "ring", 1)
    rotates = open_encryption(reference)
    unseen, known = (rotates.encrypt(CANARY, tenant, "responses", "row-1") for tenant in ("globex", "acme"))
    other = EnvelopeEncryption(tmp_path, data_keys(database), reference, clock=lambda: now)
    assert other.decrypt(known, *PLACE) == CANARY
    ring(tmp_path / "ring", 2, 1)
    rotates.rewrap()
    for text in ("half a key", f"{key(2)}\n{key(1)}"):  # the second time it is not looked at yet
        (tmp_path / "ring").write_text(text)
        with pytest.raises(EncryptionKeyUnavailable, match="is not in"):
            other.decrypt(unseen, "globex", "responses", "row-1")
    assert other.encrypt(CANARY, "initech", "responses", "row-1")
    now = LOOK_PAUSE_S
    assert other.decrypt(unseen, "globex", "responses", "row-1") == CANARY


def test_new_data_keys_seal_and_retired_ones_open(open_encryption: Opens) -> None:
    its = open_encryption()
    old = its.encrypt(CANARY, *PLACE)
    its.rotate_data_keys()
    new = its.encrypt(CANARY, *PLACE)
    assert old[:9] != new[:9]
    assert its.decrypt(old, *PLACE) == its.decrypt(new, *PLACE) == open_encryption().decrypt(old, *PLACE) == CANARY


def test_a_process_that_did_not_rotate_seals_by_the_new_key_within_a_minute(
    open_encryption: Opens, database: Database, tmp_path: Path
) -> None:
    now = 0.0
    rotates, other = open_encryption(), EnvelopeEncryption(tmp_path, data_keys(database), clock=lambda: now)
    old = other.encrypt(CANARY, *PLACE)
    rotates.rotate_data_keys()
    new = rotates.encrypt(CANARY, *PLACE)
    now = KEY_CHECK_S
    assert other.encrypt(CANARY, *PLACE)[:9] == new[:9] != old[:9]
    assert rotates.decrypt(old, *PLACE) == other.decrypt(new, *PLACE) == CANARY


def test_a_process_that_did_not_erase_a_tenants_keys_makes_a_new_one_within_a_minute(
    open_encryption: Opens, database: Database, tmp_path: Path
) -> None:
    now = 0.0
    erases, other = open_encryption(), EnvelopeEncryption(tmp_path, data_keys(database), clock=lambda: now)
    other.encrypt(CANARY, *PLACE)
    assert erases.delete_keys("acme") == 1
    now = KEY_CHECK_S
    assert erases.decrypt(other.encrypt(CANARY, *PLACE), *PLACE) == CANARY


def test_a_key_stays_in_use_while_nothing_can_be_read_and_is_checked_soon_after(
    open_encryption: Opens, database: Database, tmp_path: Path
) -> None:
    now, away = 0.0, False
    keys = data_keys(database, is_away=lambda: away)
    rotates, other = open_encryption(), EnvelopeEncryption(tmp_path, keys, clock=lambda: now)
    old = other.encrypt(CANARY, *PLACE)
    rotates.rotate_data_keys()
    now, away = KEY_CHECK_S, True
    assert other.encrypt(CANARY, *PLACE)[:9] == old[:9]
    now, away = now + KEY_RETRY_S, False
    assert other.encrypt(CANARY, *PLACE)[:9] == rotates.encrypt(CANARY, *PLACE)[:9] != old[:9]


def test_what_was_sealed_before_there_were_data_keys_still_opens(open_encryption: Opens, tmp_path: Path) -> None:
    reference = ring(tmp_path / "ring", 1)
    sealed = direct(reference, CANARY, tmp_path)
    assert open_encryption(reference).decrypt(sealed, *PLACE) == CANARY
    other = open_encryption(ring(tmp_path / "ring", 2))
    other.expect_keys_for([sealed])
    assert "add the old key" in other.problem
    with pytest.raises(StorageError, match="changed or moved"):
        open_encryption(ring(tmp_path / "ring", 1)).decrypt(sealed, "globex", *PLACE[1:])


@pytest.mark.long
def test_a_key_that_has_sealed_its_share_makes_room_for_a_new_one(open_encryption: Opens, database: Database) -> None:
    its = open_encryption()
    first = its.encrypt(CANARY, *PLACE)
    keys = data_keys(database)
    for _ in range(MAX_USES // USES_PER_BLOCK - 1):
        assert keys.active_key("acme") is not None
    assert keys.active_key("acme") is None
    anew = open_encryption()
    assert anew.encrypt(CANARY, *PLACE)[:9] != first[:9]
    assert anew.decrypt(first, *PLACE) == CANARY


def test_erasing_a_tenants_keys_makes_its_rows_unreadable_and_nobody_elses(
    open_encryption: Opens,
    database: Database,
    tmp_path: Path,
) -> None:
    its = open_encryption()
    mine, theirs = its.encrypt(CANARY, *PLACE), its.encrypt(CANARY, "globex", "responses", "row-1")
    wrapped = {each.tenant: each.wrapped for each in data_keys(database).all_keys()}
    assert its.delete_keys("acme") == 1
    database.checkpoint(truncate=True)
    for one in (its, open_encryption()):
        with pytest.raises(StorageError, match="was deleted"):
            one.decrypt(mine, *PLACE)
        assert one.decrypt(theirs, "globex", "responses", "row-1") == CANARY
    files = [each.read_bytes() for each in tmp_path.iterdir() if each.name.startswith("sizewise.db")]
    assert not any(wrapped["acme"] in each for each in files) and any(wrapped["globex"] in each for each in files)
    assert its.decrypt(its.encrypt(CANARY, *PLACE), *PLACE) == CANARY


def test_a_lost_key_is_said_and_no_new_one_is_made_in_its_place(open_encryption: Opens, tmp_path: Path) -> None:
    sealed = open_encryption().encrypt(CANARY, *PLACE)
    (tmp_path / "vault.key").unlink()
    its = open_encryption()
    its.expect_keys_for([sealed])
    assert "vault.key" in its.problem
    with pytest.raises(EncryptionKeyUnavailable, match="cannot be read"):
        its.decrypt(sealed, *PLACE)
    with pytest.raises(EncryptionKeyUnavailable, match="cannot be read") as refused:
        its.encrypt(CANARY, *PLACE)
    assert "restore the file" in refused.value.hint
    assert not (tmp_path / "vault.key").exists()


def test_another_key_than_the_one_that_wrapped_is_said_before_anything_is_asked_for(
    open_encryption: Opens,
    tmp_path: Path,
) -> None:
    sealed = open_encryption(ring(tmp_path / "ring", 1)).encrypt(CANARY, *PLACE)
    its = open_encryption(ring(tmp_path / "ring", 2))
    its.expect_keys_for([sealed])
    assert "add the old key" in its.problem
    with pytest.raises(EncryptionKeyUnavailable):
        its.encrypt(CANARY, *PLACE)


@pytest.mark.parametrize("text", ["", "hunter2hunter2", base64.b64encode(b"short").decode(), "ä" * 44])
def test_a_key_that_is_none_is_refused_without_repeating_it(open_encryption: Opens, tmp_path: Path, text: str) -> None:
    (tmp_path / "ring").write_text(text)
    with pytest.raises(EncryptionKeyUnavailable, match="32 bytes in base64") as refused:
        open_encryption(f"file:{tmp_path / 'ring'}").encrypt(CANARY, *PLACE)
    assert not text or text not in refused.value.message + refused.value.hint


@pytest.mark.long
def test_a_server_that_keeps_nothing_does_not_wait_for_the_cipher_to_be_loaded() -> None:
    script = "import sizewise.server, sys; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_key_can_come_from_the_environment(
    open_encryption: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_KEY", f"{key(2)},{key(1)}")
    its = open_encryption("env:VAULT_KEY")
    assert its.decrypt(its.encrypt(CANARY, *PLACE), *PLACE) == CANARY
    monkeypatch.delenv("VAULT_KEY")
    assert "VAULT_KEY" in open_encryption("env:VAULT_KEY").problem
    assert not (tmp_path / "vault.key").exists()


# A key service

# A line for both shells: the path of Python may have spaces, which #! does not allow.
SERVICE = f"""#!/bin/sh
"exec" "{sys.executable}" "$0" "$@"
import base64, sys
with open(__file__ + ".log", "a") as log:
    log.write(sys.argv[-1] + "\\n")
mask = 0x5A if len(sys.argv) < 3 else int(sys.argv[1])
data = base64.b64decode(sys.stdin.readline())
print(base64.b64encode(bytes(each ^ mask for each in reversed(data))).decode())
"""


def service(home: Path, text: str = SERVICE) -> Path:
    path = home / "our kms"
    path.write_text(text)
    path.chmod(0o700)
    return path


def test_a_key_service_wraps_and_is_asked_once_for_a_key(
    open_encryption: Opens, database: Database, tmp_path: Path
) -> None:
    path = service(tmp_path)
    kms = f"command:'{path}'"
    sealed = open_encryption(kms=kms).encrypt(CANARY, *PLACE)
    its = open_encryption(kms=kms)
    assert [its.decrypt(sealed, *PLACE) for _ in range(3)] == [CANARY] * 3
    assert Path(f"{path}.log").read_text().split() == ["wrap", "unwrap"]
    (row,) = data_keys(database).all_keys()
    assert row.by == "kms command" and not (tmp_path / "vault.key").exists()


def test_from_a_file_to_a_key_service_and_back(open_encryption: Opens, database: Database, tmp_path: Path) -> None:
    reference, kms = ring(tmp_path / "ring", 1), f"command:'{service(tmp_path)}'"
    sealed = open_encryption(reference).encrypt(CANARY, *PLACE)
    both = open_encryption(reference, kms)
    assert both.decrypt(sealed, *PLACE) == CANARY
    assert both.rewrap() == 1
    assert open_encryption(kms=kms).decrypt(sealed, *PLACE) == CANARY
    with pytest.raises(EncryptionKeyUnavailable, match="which is not configured"):
        open_encryption(reference).decrypt(sealed, *PLACE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#!/bin/sh\nexit 3\n", "exited with 3"),
        ("#!/bin/sh\necho hunter2-is-no-base64 !\n", "returned no wrapped key in base64"),
        ("#!/bin/sh\ncat\n", "returned no wrapped key in base64"),  # it gives the key back as it came
        ("#!/bin/sh\nyes\n", "more than 16384 bytes"),
        ("", "cannot be started"),
    ],
)
def test_a_key_service_that_does_not_answer_well_fails_closed(
    open_encryption: Opens,
    tmp_path: Path,
    text: str,
    words: str,
) -> None:
    path = service(tmp_path, text)
    if not text:
        path.unlink()
    its = open_encryption(kms=f"command:'{path}'")
    with pytest.raises(EncryptionKeyUnavailable, match=words) as refused:
        its.encrypt(CANARY, *PLACE)
    assert words in its.problem and "hunter2" not in refused.value.message + refused.value.hint


def test_a_key_service_that_never_stops_talking_is_stopped(open_encryption: Opens, tmp_path: Path) -> None:
    """A pipe that was full when its program was killed was waited for without end, one time in some."""
    talker = service(tmp_path, "#!/bin/sh\n(yes & yes & yes & yes) 2>/dev/null\n")
    for _ in range(20):
        with pytest.raises(EncryptionKeyUnavailable, match="more than 16384 bytes"):
            ExternalKms(f"'{talker}'").wrap(b"x" * 32)


SLOW_SERVICE = """#!/bin/sh
echo called >> '{calls}'
exec sleep 600
"""


def test_a_key_service_that_is_slow_is_not_waited_for_by_everybody(
    open_encryption: Opens,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sizewise.storage.keys.external_kms.TIMEOUT_S", 1.0)
    calls = tmp_path / "calls"
    its = open_encryption(kms=f"command:'{service(tmp_path, SLOW_SERVICE.format(calls=calls))}'")
    for _ in range(20):
        with pytest.raises(EncryptionKeyUnavailable, match="longer than 1 s"):
            its.encrypt(CANARY, *PLACE)
    assert calls.read_text().count("called") < 5, "the first waited for it, and the next were told what it was told"


def test_a_key_service_of_another_key_is_noticed(open_encryption: Opens, tmp_path: Path) -> None:
    path = service(tmp_path)
    sealed = open_encryption(kms=f"command:'{path}'").encrypt(CANARY, *PLACE)
    its = open_encryption(kms=f"command:'{path}' 17")
    with pytest.raises(EncryptionKeyUnavailable, match="is not a data key"):
        its.decrypt(sealed, *PLACE)


@pytest.mark.parametrize("kms", ["command:our-kms --key 1", "command:'/bin/x", "nothing:x", "command:"])
def test_a_key_service_that_cannot_be_meant_is_refused_at_once(open_encryption: Opens, kms: str) -> None:
    with pytest.raises(ConfigError):
        open_encryption(kms=kms)
