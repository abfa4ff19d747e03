"""Secrets by command (`exec:`): what is run, kept and told; never shown, whatever the command does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sizewise.errors import ConfigError
from sizewise.process import process_identity
from sizewise.settings import secret_commands
from sizewise.settings.load import load_settings, resolve_secret
from sizewise.settings.secret_commands import SecretCommand, fetch_commands, find_commands
from tests.running_server import until

CANARY = "canary-sk-0417-secret"


def script(folder: Path, body: str, name: str = "secret.sh") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_a_command_is_run_once_and_its_answer_is_kept(tmp_path: Path) -> None:
    script(tmp_path, f'echo run >> "{tmp_path}/runs"; echo "{CANARY}-$1"')
    file = tmp_path / "sizewise.toml"
    file.write_text(
        '[providers.a]\nbase_url = "https://a.example"\nkey = "exec:./secret.sh \'one two\'"\n'
        '[providers.b]\nbase_url = "https://b.example"\nkey = "exec:./secret.sh \'one two\'"\n'
        '[git]\nurl = "https://git.example/a.git"\ntoken = "exec:printf plain"\n'
    )
    settings = load_settings(file, tmp_path / "home")
    assert not (tmp_path / "runs").exists(), "reading settings runs nothing"
    assert fetch_commands(settings) and len(list(find_commands(settings))) == 3
    for _ in range(3):
        assert resolve_secret(settings.providers["a"].key) == f"{CANARY}-one two"
    assert resolve_secret(settings.providers["b"].key) == f"{CANARY}-one two"
    assert resolve_secret(settings.git.token) == "plain"
    assert (tmp_path / "runs").read_text() == "run\n", "once for both"
    assert not fetch_commands(settings), "nothing has changed"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (f"echo {CANARY}; echo {CANARY} >&2; exit 3", "ended with code 3"),
        ("true", "printed nothing"),
        (f"echo {CANARY}; echo {CANARY}2", "is not one printable line"),
        (f"printf '{CANARY}\\303\\244'", "is not one printable line"),
    ],
)
def test_what_a_failed_command_said_is_never_shown(tmp_path: Path, body: str, why: str) -> None:
    path = script(tmp_path, body)
    with pytest.raises(ConfigError, match=why) as told:
        resolve_secret(SecretCommand.of(f"exec:{path} --token {CANARY}", tmp_path))
    assert CANARY not in f"{told.value!r} {told.value.message} {told.value.hint}", "nor its arguments"


def test_a_missing_program_is_told_and_a_bad_quote_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'no-such-vault' cannot be started"):
        resolve_secret("exec:no-such-vault kv get")
    file = tmp_path / "sizewise.toml"
    file.write_text('[providers.a]\nbase_url = "https://a.example"\nkey = "exec:echo \'open"\n')
    with pytest.raises(ConfigError, match="quote that is not closed"):
        load_settings(file, tmp_path)


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_commands, "TIMEOUT_S", 0.5)
    path = script(
        tmp_path, f'"{sys.executable}" -c "import time; time.sleep(600)" & echo $! > "{tmp_path}/child"; wait'
    )
    with pytest.raises(ConfigError, match=r"took longer than 0\.5 s"):
        resolve_secret(SecretCommand.of(f"exec:{path}", tmp_path))
    child = int((tmp_path / "child").read_text())
    until(lambda: not process_identity(child))  # killed; the system takes its files first and then itself


def test_an_answer_outlives_a_manager_that_is_away(tmp_path: Path) -> None:
    path = script(tmp_path, f"echo {CANARY}")
    command = SecretCommand.of(f"exec:{path}", tmp_path)
    assert resolve_secret(command) == CANARY
    script(tmp_path, "exit 1")
    assert not command.fetch() and "code 1" in command.problem
    assert resolve_secret(command) == CANARY
    script(tmp_path, f"echo {CANARY}-2")
    assert command.fetch() and resolve_secret(command) == f"{CANARY}-2" and not command.problem


def test_a_path_begins_at_the_settings_file_in_every_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, f"echo {CANARY}")
    (tmp_path / "key").write_text(CANARY)
    file = tmp_path / "sizewise.toml"
    file.write_text(
        '[git]\nurl = "https://git.example/a.git"\ntoken = "exec:./secret.sh"\nwebhook_secret = "file:key"\n'
        '[edge]\ntoken = "exec:./secret.sh"\nkey = "file:key"\n'
        '[web_search]\nurl = "https://search.example"\nkey = "file:key"\n'
        '[triggers.orders]\nflow = "orders"\nsecret = "exec:./secret.sh"\n'
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    its = load_settings(file, tmp_path / "home")
    secrets = (its.git.token, its.git.webhook_secret, its.edge.token, its.edge.key)
    for each in (*secrets, its.web_search.key, its.triggers["orders"].secret):
        assert resolve_secret(each) == CANARY
