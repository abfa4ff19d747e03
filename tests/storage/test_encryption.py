"""Sealed is sealed: opened by its key and in its place only, and a lost key is said and never papered over."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sizewise.errors import ConfigError, StoreFailed, VaultLocked
from sizewise.storage.database import Database, connect, file
from sizewise.storage.encryption import DIRECT, Vault
from sizewise.storage.keys import tables
from sizewise.storage.keys.external_kms import Command
from sizewise.storage.keys.local_kms import Ring
from sizewise.storage.keys.tables import BLOCK, MOST, DataKeys

CANARY = b"the canary sings at midnight"
PLACE = ("acme", "responses", "row-1")


class Opens(Protocol):
    """A Vault over the one database of a test."""

    def __call__(self, reference: str = "", kms: str = "") -> Vault: ...


def key(fill: int) -> str:
    return base64.b64encode(bytes([fill]) * 32).decode()


def ring(path: Path, *fills: int) -> str:
    path.write_text("\n".join(map(key, fills)) + "\n")
    return f"file:{path}"


def data_keys(database: Database) -> DataKeys:
    def read(work):  # type: ignore[no-untyped-def]  # generic in each call
        with database.read() as connection:
            return work(connection)

    def write(work):  # type: ignore[no-untyped-def]  # the same
        with database.write() as connection:
            return work(connection)

    return DataKeys(read, write)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = connect(file(str(tmp_path / "sizewise.db")), [tables.SCHEMA])
    yield found
    found.close()


@pytest.fixture
def vault(tmp_path: Path, database: Database) -> Opens:
    return lambda reference="", kms="": Vault(tmp_path, data_keys(database), reference, kms)


def direct(reference: str, plain: bytes, home: Path) -> bytes:
    """As it was sealed before there were data keys."""
    its = Ring(home, reference)
    return DIRECT + its.front + its.cipher(its.front).seal(plain, *PLACE)


def test_what_is_sealed_opens_again_and_shows_nothing_of_it(vault: Opens) -> None:
    sealed = vault().seal(CANARY, *PLACE)
    assert CANARY not in sealed and sealed != vault().seal(CANARY, *PLACE)
    assert vault().open(sealed, *PLACE) == CANARY


@pytest.mark.parametrize(
    "place", [("other", "responses", "row-1"), ("acme", "idempotency", "row-1"), ("acme", "responses", "row-2")]
)
def test_a_row_moved_to_another_tenant_table_or_row_does_not_open(vault: Opens, place: tuple[str, str, str]) -> None:
    its = vault()
    its.seal(CANARY, "other", "responses", "row-1")
    sealed = its.seal(CANARY, *PLACE)
    with pytest.raises(StoreFailed):
        its.open(sealed, *place)


@given(some.integers(0), some.integers(0, 255))
def test_a_changed_byte_anywhere_is_noticed(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int) -> None:
    home = tmp_path_factory.getbasetemp()
    database = connect(file(str(home / "sizewise.db")), [tables.SCHEMA])
    try:
        its = Vault(home, data_keys(database), ring(home / "ring", 1))
        sealed = bytearray(its.seal(CANARY, *PLACE))
        at %= len(sealed)
        if sealed[at] != byte:
            sealed[at] = byte
            with pytest.raises((StoreFailed, VaultLocked)):
                its.open(bytes(sealed), *PLACE)
        with pytest.raises((StoreFailed, VaultLocked)):
            its.open(bytes(sealed[:at]), *PLACE)
    finally:
        database.close()


def test_no_key_lies_bare_in_the_database(vault: Opens, database: Database, tmp_path: Path) -> None:
    its = vault()
    its.seal(CANARY, *PLACE)
    (row,) = data_keys(database).every()
    assert row.tenant == "acme" and row.by.startswith("key ")
    bare = its._unwrapped(row).key  # the one thing that no door shows
    assert all(bare not in each.read_bytes() for each in tmp_path.iterdir())


def test_each_tenant_has_a_key_of_its_own(vault: Opens, database: Database) -> None:
    its = vault()
    assert its.seal(CANARY, *PLACE)[:9] == its.seal(CANARY, "acme", "other", "row")[:9]
    assert its.seal(CANARY, "globex", "responses", "row-1")[:9] != its.seal(CANARY, *PLACE)[:9]
    assert [each.tenant for each in data_keys(database).every()] == ["acme", "globex"]


def test_a_wrapped_key_put_in_anothers_place_is_noticed(vault: Opens, database: Database) -> None:
    its = vault()
    mine, theirs = its.seal(CANARY, *PLACE), its.seal(CANARY, "globex", "responses", "row-1")
    keys = data_keys(database)
    wrapped = {each.tenant: each for each in keys.every()}
    keys.wrap(wrapped["globex"], wrapped["acme"].by, wrapped["acme"].wrapped)
    anew = vault()
    assert anew.open(mine, *PLACE) == CANARY
    with pytest.raises(StoreFailed, match="is another's"):
        anew.open(theirs, "globex", "responses", "row-1")


def test_the_key_is_made_at_the_first_sealing_for_its_owner_alone(vault: Opens, tmp_path: Path) -> None:
    its, path = vault(), tmp_path / "vault.key"
    assert its.trouble == "" and not path.exists()
    its.seal(CANARY, *PLACE)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(VaultLocked, match="others than you can read") as refused:
        vault().seal(CANARY, *PLACE)
    assert "chmod 600" in refused.value.hint


def test_a_new_key_in_front_wraps_and_the_old_one_still_opens(vault: Opens, tmp_path: Path) -> None:
    old = vault(ring(tmp_path / "ring", 1)).seal(CANARY, *PLACE)
    both = vault(ring(tmp_path / "ring", 2, 1))
    new = both.seal(CANARY, "globex", "responses", "row-1")
    assert both.open(old, *PLACE) == both.open(new, "globex", "responses", "row-1") == CANARY
    with pytest.raises(VaultLocked, match="is not in 'file:"):
        vault(ring(tmp_path / "ring", 1)).open(new, "globex", "responses", "row-1")


def test_after_a_rotation_the_old_key_is_needed_no_more(vault: Opens, tmp_path: Path, database: Database) -> None:
    its = vault(ring(tmp_path / "ring", 1))
    sealed = [its.seal(CANARY, tenant, "responses", "row-1") for tenant in ("acme", "globex")]
    before = {each.by for each in data_keys(database).every()}
    ring(tmp_path / "ring", 2, 1)
    assert its.rewrap() == 2
    assert its.seal(CANARY, *PLACE)[:9] == sealed[0][:9]  # it goes on while it serves
    assert not before & {each.by for each in data_keys(database).every()}
    anew = vault(ring(tmp_path / "ring", 2))
    anew.holds(sealed)
    assert anew.trouble == "" and anew.open(sealed[0], *PLACE) == CANARY


def test_a_rotation_that_cannot_open_an_old_key_changes_nothing(vault: Opens, tmp_path: Path) -> None:
    its = vault(ring(tmp_path / "ring", 1))
    sealed = its.seal(CANARY, *PLACE)
    ring(tmp_path / "ring", 2)
    with pytest.raises(VaultLocked, match="is not in"):
        its.rewrap()
    assert vault(ring(tmp_path / "ring", 2, 1)).open(sealed, *PLACE) == CANARY


def test_new_data_keys_seal_and_retired_ones_open(vault: Opens) -> None:
    its = vault()
    old = its.seal(CANARY, *PLACE)
    its.retire()
    new = its.seal(CANARY, *PLACE)
    assert old[:9] != new[:9]
    assert its.open(old, *PLACE) == its.open(new, *PLACE) == vault().open(old, *PLACE) == CANARY


def test_what_was_sealed_before_there_were_data_keys_still_opens(vault: Opens, tmp_path: Path) -> None:
    reference = ring(tmp_path / "ring", 1)
    sealed = direct(reference, CANARY, tmp_path)
    assert vault(reference).open(sealed, *PLACE) == CANARY
    other = vault(ring(tmp_path / "ring", 2))
    other.holds([sealed])
    assert "put the old key back" in other.trouble
    with pytest.raises(StoreFailed, match="changed or moved"):
        vault(ring(tmp_path / "ring", 1)).open(sealed, "globex", *PLACE[1:])


def test_a_key_that_has_sealed_its_share_makes_room_for_a_new_one(vault: Opens, database: Database) -> None:
    its = vault()
    first = its.seal(CANARY, *PLACE)
    keys = data_keys(database)
    for _ in range(MOST // BLOCK - 1):
        assert keys.take("acme") is not None
    assert keys.take("acme") is None
    anew = vault()
    assert anew.seal(CANARY, *PLACE)[:9] != first[:9]
    assert anew.open(first, *PLACE) == CANARY


def test_erasing_a_tenants_keys_makes_its_rows_unreadable_and_nobody_elses(
    vault: Opens, database: Database, tmp_path: Path
) -> None:
    its = vault()
    mine, theirs = its.seal(CANARY, *PLACE), its.seal(CANARY, "globex", "responses", "row-1")
    wrapped = {each.tenant: each.wrapped for each in data_keys(database).every()}
    assert its.erase("acme") == 1
    database.checkpoint(whole=True)
    for one in (its, vault()):
        with pytest.raises(StoreFailed, match="was erased"):
            one.open(mine, *PLACE)
        assert one.open(theirs, "globex", "responses", "row-1") == CANARY
    files = [each.read_bytes() for each in tmp_path.iterdir() if each.name.startswith("sizewise.db")]
    assert not any(wrapped["acme"] in each for each in files) and any(wrapped["globex"] in each for each in files)
    assert its.open(its.seal(CANARY, *PLACE), *PLACE) == CANARY


def test_a_lost_key_is_said_and_no_new_one_is_made_in_its_place(vault: Opens, tmp_path: Path) -> None:
    sealed = vault().seal(CANARY, *PLACE)
    (tmp_path / "vault.key").unlink()
    its = vault()
    its.holds([sealed])
    assert "vault.key" in its.trouble
    with pytest.raises(VaultLocked, match="cannot be read"):
        its.open(sealed, *PLACE)
    with pytest.raises(VaultLocked, match="cannot be read") as refused:
        its.seal(CANARY, *PLACE)
    assert "put it back" in refused.value.hint
    assert not (tmp_path / "vault.key").exists()


def test_another_key_than_the_one_that_wrapped_is_said_before_anything_is_asked_for(
    vault: Opens, tmp_path: Path
) -> None:
    sealed = vault(ring(tmp_path / "ring", 1)).seal(CANARY, *PLACE)
    its = vault(ring(tmp_path / "ring", 2))
    its.holds([sealed])
    assert "put the old key back" in its.trouble
    with pytest.raises(VaultLocked):
        its.seal(CANARY, *PLACE)


@pytest.mark.parametrize("text", ["", "hunter2hunter2", base64.b64encode(b"short").decode(), "ä" * 44])
def test_a_key_that_is_none_is_refused_without_repeating_it(vault: Opens, tmp_path: Path, text: str) -> None:
    (tmp_path / "ring").write_text(text)
    with pytest.raises(VaultLocked, match="32 bytes in base64") as refused:
        vault(f"file:{tmp_path / 'ring'}").seal(CANARY, *PLACE)
    assert not text or text not in refused.value.message + refused.value.hint


def test_a_server_that_keeps_nothing_does_not_wait_for_the_cipher_to_be_loaded() -> None:
    script = "import sizewise.server, sys; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_key_can_come_from_the_environment(vault: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_KEY", f"{key(2)},{key(1)}")
    its = vault("env:VAULT_KEY")
    assert its.open(its.seal(CANARY, *PLACE), *PLACE) == CANARY
    monkeypatch.delenv("VAULT_KEY")
    assert "VAULT_KEY" in vault("env:VAULT_KEY").trouble
    assert not (tmp_path / "vault.key").exists()


# A key service

SERVICE = f"""#!{sys.executable}
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


def test_a_key_service_wraps_and_is_asked_once_for_a_key(vault: Opens, database: Database, tmp_path: Path) -> None:
    path = service(tmp_path)
    kms = f"command:'{path}'"
    sealed = vault(kms=kms).seal(CANARY, *PLACE)
    its = vault(kms=kms)
    assert [its.open(sealed, *PLACE) for _ in range(3)] == [CANARY] * 3
    assert Path(f"{path}.log").read_text().split() == ["wrap", "unwrap"]
    (row,) = data_keys(database).every()
    assert row.by == "kms command" and not (tmp_path / "vault.key").exists()


def test_from_a_file_to_a_key_service_and_back(vault: Opens, database: Database, tmp_path: Path) -> None:
    reference, kms = ring(tmp_path / "ring", 1), f"command:'{service(tmp_path)}'"
    sealed = vault(reference).seal(CANARY, *PLACE)
    both = vault(reference, kms)
    assert both.open(sealed, *PLACE) == CANARY
    assert both.rewrap() == 1
    assert vault(kms=kms).open(sealed, *PLACE) == CANARY
    with pytest.raises(VaultLocked, match="which is not named"):
        vault(reference).open(sealed, *PLACE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#!/bin/sh\nexit 3\n", "ended with 3"),
        ("#!/bin/sh\necho hunter2-is-no-base64 !\n", "otherwise than in base64"),
        ("#!/bin/sh\ncat\n", "otherwise than in base64"),  # it gives the key back as it came
        ("#!/bin/sh\nyes\n", "more than 16384 bytes"),
        ("", "cannot be started"),
    ],
)
def test_a_key_service_that_does_not_answer_well_fails_closed(
    vault: Opens, tmp_path: Path, text: str, words: str
) -> None:
    path = service(tmp_path, text)
    if not text:
        path.unlink()
    its = vault(kms=f"command:'{path}'")
    with pytest.raises(VaultLocked, match=words) as refused:
        its.seal(CANARY, *PLACE)
    assert words in its.trouble and "hunter2" not in refused.value.message + refused.value.hint


def test_a_key_service_that_never_stops_talking_is_stopped(vault: Opens, tmp_path: Path) -> None:
    """A pipe that was full when its program was killed was waited for without end, one time in some."""
    talker = service(tmp_path, "#!/bin/sh\n(yes & yes & yes & yes) 2>/dev/null\n")
    for _ in range(20):
        with pytest.raises(VaultLocked, match="more than 16384 bytes"):
            Command(f"'{talker}'").wrap(b"x" * 32)


def test_a_key_service_that_is_slow_is_not_waited_for_by_everybody(
    vault: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sizewise.storage.keys.external_kms.TIMEOUT_S", 0.3)
    its = vault(kms=f"command:'{service(tmp_path, '#!/bin/sh' + chr(10) + 'exec sleep 60' + chr(10))}'")
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(VaultLocked, match=r"longer than 0\.3 s"):
            its.seal(CANARY, *PLACE)
    assert time.monotonic() - began < 1.5


def test_a_key_service_of_another_key_is_noticed(vault: Opens, tmp_path: Path) -> None:
    path = service(tmp_path)
    sealed = vault(kms=f"command:'{path}'").seal(CANARY, *PLACE)
    its = vault(kms=f"command:'{path}' 17")
    with pytest.raises(VaultLocked, match="is no data key"):
        its.open(sealed, *PLACE)


@pytest.mark.parametrize("kms", ["command:our-kms --key 1", "command:'/bin/x", "nothing:x", "command:"])
def test_a_key_service_that_cannot_be_meant_is_refused_at_once(vault: Opens, kms: str) -> None:
    with pytest.raises(ConfigError):
        vault(kms=kms)
