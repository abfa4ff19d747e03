"""The keeper as a whole: one home, one owner, everything plain."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from sizewise.app.services import Keeper
from sizewise.errors import ConfigError, Outside, StoreFailed


def test_a_home_is_made_for_its_owner_alone_and_taken_by_one_at_a_time(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    with Keeper(home):
        assert home.stat().st_mode & 0o777 == 0o700
        with pytest.raises(Outside, match=f"process {os.getpid()}, works in"):
            Keeper(home)
    Keeper(home).close()


def test_a_start_that_fails_lets_go_of_the_home(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Keeper(tmp_path, url="no url")
    (tmp_path / "sizewise.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(StoreFailed, match="not a database"):
        Keeper(tmp_path)
    (tmp_path / "sizewise.db").unlink()
    Keeper(tmp_path).close()


def test_a_home_that_cannot_be_made_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Outside, match="as home") as refused:
        Keeper(tmp_path / "file" / "home")
    assert "--home" in refused.value.hint


def test_what_it_returns_can_travel_over_a_socket(tmp_path: Path) -> None:
    with Keeper(tmp_path) as keeper:
        made = asyncio.run(keeper.accounts.create("p", "n"))
        listed = asyncio.run(keeper.accounts.list())
        for value in (made, listed, asyncio.run(keeper.records()), asyncio.run(keeper.trace("ab"))):
            assert msgspec.msgpack.decode(msgspec.msgpack.encode(value)) is not None


def test_the_database_may_lie_elsewhere(tmp_path: Path) -> None:
    with Keeper(tmp_path / "home", url=f"sqlite:///{tmp_path}/elsewhere.db") as keeper:
        text = keeper.accounts.first_key()
    assert not (tmp_path / "home" / "sizewise.db").exists()
    with Keeper(tmp_path / "other", url=f"sqlite:///{tmp_path}/elsewhere.db") as keeper:
        assert keeper.accounts.keys.caller(text)
