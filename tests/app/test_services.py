"""The services of one home: one owner at a time, and everything they return is plain."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from sizewise.app.services import open_services
from sizewise.errors import ConfigError, ExternalFailure, StorageError
from sizewise.telemetry.record_queries import RecordFilter


def test_a_home_is_made_for_its_owner_alone_and_taken_by_one_at_a_time(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    with open_services(home):
        assert home.stat().st_mode & 0o777 == 0o700
        with pytest.raises(ExternalFailure, match=f"process {os.getpid()}, uses the home"):
            open_services(home)
    open_services(home).close()


def test_a_start_that_fails_lets_go_of_the_home(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        open_services(tmp_path, url="no url")
    (tmp_path / "sizewise.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(StorageError, match="not a database"):
        open_services(tmp_path)
    (tmp_path / "sizewise.db").unlink()
    open_services(tmp_path).close()


def test_a_home_that_cannot_be_made_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExternalFailure, match="cannot use the home folder") as refused:
        open_services(tmp_path / "file" / "home")
    assert "--home" in refused.value.hint


async def test_what_it_returns_can_travel_over_a_socket(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        made = await services.api_keys.create("p", "n")
        listed = await services.api_keys.list()
        for value in (
            made,
            listed,
            await services.records.page(RecordFilter()),
            await services.records.find_by_trace("ab"),
        ):
            assert msgspec.msgpack.decode(msgspec.msgpack.encode(value)) is not None


def test_the_database_may_lie_elsewhere(tmp_path: Path) -> None:
    with open_services(tmp_path / "home", url=f"sqlite:///{tmp_path}/elsewhere.db") as services:
        text = services.api_keys.ensure_first_key()
    assert not (tmp_path / "home" / "sizewise.db").exists()
    with open_services(tmp_path / "other", url=f"sqlite:///{tmp_path}/elsewhere.db") as services:
        assert services.api_keys.authenticator.authenticate(text)
