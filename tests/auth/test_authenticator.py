"""Who may come in: only whole, living keys, and nothing on the disk that would let anybody else in."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from sizewise.app.services import Keeper
from sizewise.auth.api_keys import NewKey
from sizewise.auth.authenticator import Keys, admin_token, fresh
from sizewise.auth.permissions import ACTIONS, ROLES, granted
from sizewise.errors import BadKey, BadRequest, ConfigError, Outside, UnknownPath


def test_a_key_is_its_owner_and_carries_what_it_may(tmp_path: Path) -> None:
    async def scene() -> NewKey:
        return await keeper.accounts.create("shop", "web", ["ask", "read"], data_class="internal")

    with Keeper(tmp_path) as keeper:
        made = asyncio.run(scene())
        caller = keeper.accounts.keys.caller(made.text)
        assert keeper.accounts.keys.holds(caller)
    assert (caller.tenant, caller.project, caller.name, caller.data_class) == ("local", "shop", "web", "internal")
    assert caller.may == granted(["ask", "read"]) - {"read_metrics"}, "which tell of the whole server"
    assert made.text.startswith(caller.key) and len(made.text) - len(caller.key) >= 43, "256 bits behind the id"


def test_only_the_whole_key_opens(tmp_path: Path) -> None:
    with Keeper(tmp_path) as keeper:
        text = keeper.accounts.first_key()
        for wrong in ("", " ", text[:-1], text + "x", text[:11], text.swapcase(), "ключ", "\ud800", "x" * 1_000_000):
            with pytest.raises(BadKey) as refused:
                keeper.accounts.keys.caller(wrong)
            assert "sizewise up" in refused.value.hint
            assert not wrong.strip() or wrong not in refused.value.message


def test_no_file_under_the_home_holds_a_key_but_the_admin_token(tmp_path: Path) -> None:
    with Keeper(tmp_path) as keeper:
        texts = [keeper.accounts.first_key(), asyncio.run(keeper.accounts.create()).text]
        for path in tmp_path.iterdir():
            assert not any(text[11:].encode() in path.read_bytes() for text in texts), path
            assert path.stat().st_mode & 0o077 == 0, f"others can read {path.name}"


def test_keys_survive_a_restart_and_a_revoked_one_is_refused_at_once_and_for_good(tmp_path: Path) -> None:
    with Keeper(tmp_path) as keeper:
        first, second = asyncio.run(keeper.accounts.create()), asyncio.run(keeper.accounts.create())
        caller, version = keeper.accounts.keys.caller(first.text), keeper.accounts.version
        asyncio.run(keeper.accounts.revoke(first.key.id))
        assert keeper.accounts.version > version
        assert not keeper.accounts.keys.holds(caller), "a stream that began before can see it"
        with pytest.raises(BadKey):
            keeper.accounts.keys.caller(first.text)
    with Keeper(tmp_path) as keeper:
        assert keeper.accounts.keys.caller(second.text).key == second.key.id
        with pytest.raises(BadKey):
            keeper.accounts.keys.caller(first.text)
        listed = asyncio.run(keeper.accounts.list())
    assert [(key.id, key.revoked is not None) for key in listed] == [(first.key.id, True), (second.key.id, False)]
    assert {key.digest for key in listed} == {""}


def test_a_key_of_another_tenant_cannot_be_revoked_or_seen(tmp_path: Path) -> None:
    with Keeper(tmp_path) as keeper:
        theirs = asyncio.run(keeper.accounts.create(tenant="theirs"))
        with pytest.raises(UnknownPath, match=theirs.key.id):
            asyncio.run(keeper.accounts.revoke(theirs.key.id, tenant="mine"))
        assert asyncio.run(keeper.accounts.list("mine")) == []
        assert keeper.accounts.keys.caller(theirs.text).tenant == "theirs"


def test_an_expired_key_is_refused(tmp_path: Path) -> None:
    with Keeper(tmp_path) as keeper:
        made = asyncio.run(keeper.accounts.create(expires=time.time_ns() // 1_000_000 + 150))
        caller = keeper.accounts.keys.caller(made.text)
        deadline = time.monotonic() + 10
        while keeper.accounts.keys.holds(caller):
            assert time.monotonic() < deadline
        with pytest.raises(BadKey, match="expired"):
            keeper.accounts.keys.caller(made.text)


def test_senseless_keys_are_not_made() -> None:
    with pytest.raises(BadRequest, match="nothing"):
        fresh(may=[])
    with pytest.raises(BadRequest, match="in the past: 1"):
        fresh(expires=1)
    with pytest.raises(BadRequest) as refused:
        fresh(may=["reed"])
    assert refused.value.hint == "Did you mean 'read'?"


def test_an_older_state_never_replaces_a_newer_one() -> None:
    key, text = fresh()
    keys = Keys()
    keys.renew(2, [])
    keys.renew(1, [key])
    with pytest.raises(BadKey):
        keys.caller(text)


def test_a_key_revoked_while_new_settings_are_prepared_stays_revoked() -> None:
    key, text = fresh()
    keys = Keys()
    keys.renew(1, [key])
    apply = keys.prepare(ROLES, 60.0)
    keys.renew(2, [])
    apply()
    with pytest.raises(BadKey):
        keys.caller(text)


def test_the_first_key_is_made_once_and_a_brought_one_takes_its_place(tmp_path: Path) -> None:
    brought, later = "correct-horse-battery-staple-1", "another-horse-battery-staple-2"
    with Keeper(tmp_path / "a") as keeper:
        first = keeper.accounts.first_key()
        assert keeper.accounts.keys.caller(first).name == "first"
        assert keeper.accounts.first_key() == ""
    with Keeper(tmp_path / "b") as keeper:
        assert keeper.accounts.first_key(brought) == ""
        assert keeper.accounts.keys.caller(brought).may == granted(["ask", "read"])
        assert keeper.accounts.first_key(brought) == keeper.accounts.first_key() == ""
        assert keeper.accounts.first_key(later) == ""
        assert keeper.accounts.keys.caller(later)
        with pytest.raises(BadKey):
            keeper.accounts.keys.caller(brought)
        with pytest.raises(ConfigError, match="was revoked"):
            keeper.accounts.first_key(brought)


def test_the_admin_token_is_made_once_for_its_owner_alone_and_may_everything(tmp_path: Path) -> None:
    with Keeper(tmp_path) as keeper:
        token = (tmp_path / "admin.token").read_text().strip()
        assert (keeper.admin, (tmp_path / "admin.token").stat().st_mode & 0o777) == (token, 0o600)
        assert keeper.accounts.keys.caller(token).may == set(ACTIONS)
        assert keeper.accounts.keys.holds(keeper.accounts.keys.caller(token))
    with Keeper(tmp_path) as keeper:
        assert keeper.admin == token


def test_an_admin_token_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "admin.token"
    admin_token(tmp_path)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="others than you") as refused:
        Keeper(tmp_path)
    assert "chmod 600" in refused.value.hint
    path.chmod(0o600)
    path.write_text("\n")
    with pytest.raises(ConfigError, match="no admin token"):
        Keeper(tmp_path)
    path.unlink()
    Keeper(tmp_path).close()


def test_the_admin_token_is_not_read_through_a_link(tmp_path: Path) -> None:
    os.symlink("/etc/passwd", tmp_path / "admin.token")
    with pytest.raises(Outside, match="cannot read"):
        admin_token(tmp_path)
