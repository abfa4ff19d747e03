"""Sealed is sealed: opened by its key and in its place only, and a lost key is said and never papered over."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sizewise.errors import StoreFailed, VaultLocked
from sizewise.vault import Vault

CANARY = b"the canary sings at midnight"
PLACE = ("acme", "responses", "row-1")


def key(fill: int) -> str:
    return base64.b64encode(bytes([fill]) * 32).decode()


def ring(path: Path, *fills: int) -> str:
    path.write_text("\n".join(map(key, fills)) + "\n")
    return f"file:{path}"


def test_what_is_sealed_opens_again_and_shows_nothing_of_it(tmp_path: Path) -> None:
    sealed = Vault(tmp_path).seal(CANARY, *PLACE)
    assert CANARY not in sealed and sealed != Vault(tmp_path).seal(CANARY, *PLACE)
    assert Vault(tmp_path).open(sealed, *PLACE) == CANARY


@pytest.mark.parametrize(
    "place", [("other", "responses", "row-1"), ("acme", "idempotency", "row-1"), ("acme", "responses", "row-2")]
)
def test_a_row_moved_to_another_tenant_table_or_row_does_not_open(tmp_path: Path, place: tuple[str, str, str]) -> None:
    vault = Vault(tmp_path)
    sealed = vault.seal(CANARY, *PLACE)
    with pytest.raises(StoreFailed, match="changed or moved"):
        vault.open(sealed, *place)


@given(some.integers(0), some.integers(0, 255))
def test_a_changed_byte_anywhere_is_noticed(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int) -> None:
    vault = Vault(tmp_path_factory.getbasetemp(), f"file:{tmp_path_factory.getbasetemp() / 'ring'}")
    ring(tmp_path_factory.getbasetemp() / "ring", 1)
    sealed = bytearray(vault.seal(CANARY, *PLACE))
    at %= len(sealed)
    if sealed[at] != byte:
        sealed[at] = byte
        with pytest.raises((StoreFailed, VaultLocked)):
            vault.open(bytes(sealed), *PLACE)
    with pytest.raises((StoreFailed, VaultLocked)):
        vault.open(bytes(sealed[:at]), *PLACE)


def test_the_key_is_made_at_the_first_sealing_for_its_owner_alone(tmp_path: Path) -> None:
    vault, path = Vault(tmp_path), tmp_path / "vault.key"
    assert vault.trouble == "" and not path.exists()
    vault.seal(CANARY, *PLACE)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(VaultLocked, match="others than you can read") as refused:
        Vault(tmp_path).seal(CANARY, *PLACE)
    assert "chmod 600" in refused.value.hint


def test_a_new_key_in_front_seals_and_the_old_one_still_opens(tmp_path: Path) -> None:
    old = Vault(tmp_path, ring(tmp_path / "ring", 1)).seal(CANARY, *PLACE)
    both = Vault(tmp_path, ring(tmp_path / "ring", 2, 1))
    new = both.seal(CANARY, *PLACE)
    assert both.open(old, *PLACE) == both.open(new, *PLACE) == CANARY
    with pytest.raises(VaultLocked, match="is not in 'file:"):
        Vault(tmp_path, ring(tmp_path / "ring", 1)).open(new, *PLACE)


def test_a_lost_key_is_said_and_no_new_one_is_made_in_its_place(tmp_path: Path) -> None:
    sealed = Vault(tmp_path).seal(CANARY, *PLACE)
    (tmp_path / "vault.key").unlink()
    vault = Vault(tmp_path)
    vault.holds([sealed])
    assert "vault.key" in vault.trouble
    with pytest.raises(VaultLocked, match="cannot be read"):
        vault.open(sealed, *PLACE)
    with pytest.raises(VaultLocked, match="cannot be read") as refused:
        vault.seal(CANARY, *PLACE)
    assert "put it back" in refused.value.hint
    assert not (tmp_path / "vault.key").exists()


def test_another_key_than_the_one_that_sealed_is_said_before_anything_is_asked_for(tmp_path: Path) -> None:
    sealed = Vault(tmp_path, ring(tmp_path / "ring", 1)).seal(CANARY, *PLACE)
    vault = Vault(tmp_path, ring(tmp_path / "ring", 2))
    vault.holds([sealed])
    assert "put the old key back" in vault.trouble
    with pytest.raises(VaultLocked):
        vault.seal(CANARY, *PLACE)


@pytest.mark.parametrize("text", ["", "hunter2hunter2", base64.b64encode(b"short").decode(), "ä" * 44])
def test_a_key_that_is_none_is_refused_without_repeating_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "ring").write_text(text)
    with pytest.raises(VaultLocked, match="32 bytes in base64") as refused:
        Vault(tmp_path, f"file:{tmp_path / 'ring'}").seal(CANARY, *PLACE)
    assert not text or text not in refused.value.message + refused.value.hint


def test_a_server_that_keeps_nothing_does_not_wait_for_the_cipher_to_be_loaded() -> None:
    script = "import sizewise.cli.serve, sys; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_key_can_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_KEY", f"{key(2)},{key(1)}")
    vault = Vault(tmp_path, "env:VAULT_KEY")
    assert vault.open(vault.seal(CANARY, *PLACE), *PLACE) == CANARY
    monkeypatch.delenv("VAULT_KEY")
    assert "VAULT_KEY" in Vault(tmp_path, "env:VAULT_KEY").trouble
    assert list(os.scandir(tmp_path)) == []
