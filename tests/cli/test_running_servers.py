"""Commands find the running server of their user: by its home, its URL, or because it is the only one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Done, sizewise
from tests.running_server import ECHO, Served, serving


class User:
    """Someone with a state folder of their own, at terminals that name no home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {"XDG_STATE_HOME": str(folder / "state"), "XDG_DATA_HOME": str(folder / "data")}
        self.default_home = folder / "data" / "sizewise"
        self.entries = folder / "state" / "sizewise" / "servers"

    def run(self, *words: str, **environ: str) -> Done:
        return sizewise(*words, home=None, **{**self.environ, **environ})

    def models(self, *words: str, **environ: str) -> list[str]:
        """Of the server that is found, without those that this machine could download; none without a server."""
        done = self.run("models", "list", "--json", *words, **environ)
        assert done.code == 0, done.err
        listed = [each["name"] for each in done.json["models"]] if done.json["running"] else []
        return [name for name in listed if not name.startswith("local/")]


def echo_named(*models: str) -> str:
    return ECHO.replace('["small", "large"]', json.dumps(models))


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[User, Served, Served]]:
    """One user with two servers, neither of them in the default home."""
    folder = tmp_path_factory.mktemp("two")
    owner = User(folder)
    with (
        serving(folder / "a", echo_named("one"), **owner.environ) as first,
        serving(folder / "b", echo_named("other"), **owner.environ) as second,
    ):
        yield owner, first, second


def test_the_only_server_is_found_from_a_terminal_that_names_no_home(user: User) -> None:
    with serving(user.folder / "elsewhere", echo_named("here"), **user.environ):
        assert user.models() == ["echo/here"]
        asked = user.run("ask", "-m", "echo/here", "hello")
        assert asked.code == 0 and "hello" in asked.out
        assert "echo/here" in user.run("records").out
        kept = next(user.entries.iterdir())
        assert user.entries.stat().st_mode & 0o777 == 0o700 and kept.stat().st_mode & 0o777 == 0o600
        assert "sw-" not in kept.read_text() and "sk-" not in kept.read_text()
        assert not user.default_home.exists()
    assert list(user.entries.iterdir()) == []
    assert user.run("records").hint == "hint: start it: sizewise up"


def test_the_server_of_the_default_home_comes_before_others(user: User) -> None:
    with (
        serving(user.default_home, echo_named("mine"), **user.environ),
        serving(user.folder / "a", echo_named("other"), **user.environ) as other,
    ):
        assert user.models() == ["echo/mine"]
        assert user.models("--home", str(other.home)) == ["echo/other"]
        assert user.models(SIZEWISE_HOME=str(other.home)) == ["echo/other"]


@pytest.mark.long
def test_the_server_of_the_default_home_is_found_without_a_registry_too(user: User) -> None:
    unlisted = {**user.environ, "XDG_STATE_HOME": str(user.folder / "other")}
    with (
        serving(user.default_home, echo_named("mine"), **unlisted),
        serving(user.folder / "a", echo_named("other"), **user.environ),
    ):
        assert user.models() == ["echo/mine"]


@pytest.mark.long
def test_of_several_one_must_be_chosen(two: tuple[User, Served, Served]) -> None:
    user, first, second = two
    for words in (("records",), ("keys", "list"), ("ask", "hello"), ("models", "list"), ("flow", "list"), ("open",)):
        none = user.run(*words)
        assert none.code == 2
        assert "2 servers of yours are running" in none.err
        assert all(each.url in none.err and str(each.home) in none.err for each in (first, second))
        assert f"--home {first.home}" in none.hint and "SIZEWISE_HOME" in none.hint
    assert user.models("--home", str(second.home)) == ["echo/other"]
    assert user.models(SIZEWISE_HOME=str(first.home)) == ["echo/one"]
    assert user.models("--url", second.url) == ["echo/other"]
    assert f"2 run with other homes: {first.url}" in user.run("doctor").out
    assert user.models(SIZEWISE_URL=f"{first.url}/v1/") == ["echo/one"]


def test_a_pulled_model_is_told_to_all_that_share_the_cache(
    two: tuple[User, Served, Served], smollm_gguf: Path
) -> None:
    user, first, second = two
    cache = str(user.folder / "cache")
    words = ("models", "pull", "smollm2-135m", "--from", str(smollm_gguf), "--json")
    told = user.run(*words, SIZEWISE_CACHE=cache).json
    assert [each["url"] for each in told["servers"]] == [first.url, second.url]
    named = user.run(*words, SIZEWISE_CACHE=cache, SIZEWISE_URL=f"{second.url}/v1").json
    assert [each["url"] for each in named["servers"]] == [second.url]
    one = user.run(*words, "--home", str(second.home), SIZEWISE_CACHE=cache).json
    assert one["servers"] == [{"url": second.url, "served": False}], "its embedded models are off"
    shutil.rmtree(cache)


def test_a_home_that_is_named_is_never_replaced_by_another(two: tuple[User, Served, Served]) -> None:
    user, first, _ = two
    empty = user.folder / "empty"
    for done in (user.run("keys", "list", "--home", str(empty)), user.run("keys", "list", SIZEWISE_HOME=str(empty))):
        assert done.code == 3
        assert f"no Sizewise is running in {str(empty)!r}, but there is {first.url}" in done.err
        assert "sizewise up" in done.hint and f"--home {first.home}" in done.hint


def test_a_key_in_the_environment_is_used_for_a_server_that_is_named_by_its_url(
    two: tuple[User, Served, Served],
) -> None:
    user, first, _ = two
    limited = user.run("keys", "create", "reader", "--permissions", "ask", "--home", str(first.home)).out.strip()
    with_key = user.run("keys", "create", "x", "--url", first.url, SIZEWISE_KEY=limited)
    assert with_key.code == 2 and "manage_keys" in with_key.err
    assert user.run("keys", "create", "y", "--url", first.url).code == 0  # with the token of that home


@pytest.mark.long
def test_no_token_goes_to_what_took_the_port_of_a_killed_server(user: User) -> None:
    with serving(user.folder / "a", echo_named("gone"), **user.environ) as server:
        port = int(server.url.rpartition(":")[2])
        server.process.kill()
        server.process.wait(60)
    entry = next(user.entries.iterdir())
    with socket.create_server(("127.0.0.1", port)) as thief:
        thief.settimeout(0.2)
        for words in (("records",), ("records", "--url", server.url), ("records", "--home", str(server.home))):
            assert user.run(*words).code in (2, 3)
        with pytest.raises(TimeoutError):
            thief.accept()
    # The same number is another process now: this one, which runs.
    for note in (entry, server.home / "server.json"):
        note.write_text(json.dumps({**json.loads(note.read_text()), "pid": os.getpid()}))
    assert user.run("records").hint == "hint: start it: sizewise up"
    with serving(user.folder / "b", **user.environ):
        assert not entry.exists()
        assert len(list(user.entries.iterdir())) == 1


@pytest.mark.long
def test_a_process_that_is_a_zombie_runs_no_server(user: User) -> None:
    with serving(user.folder / "a", **user.environ):
        said = json.loads(next(user.entries.iterdir()).read_text())
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = Path(f"/proc/{ended.pid}/stat").read_text().rpartition(")")[2].split()[19]
    process = " ".join([*said["process"].split()[:2], start])
    note = user.entries / "zombie.json"
    note.write_text(json.dumps({**said, "pid": ended.pid, "process": process}))
    note.chmod(0o600)
    try:
        assert "but there is" in user.run("records", "--home", str(user.folder / "x")).err
        ended.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert "but there is" not in user.run("records", "--home", str(user.folder / "x")).err
    finally:
        ended.kill()
        ended.communicate()


def test_a_damaged_entry_is_no_server(user: User) -> None:
    user.entries.mkdir(parents=True, mode=0o700)
    for number, content in enumerate((b"", b"{", b"[]", b'{"home": 3}', b"\xff\xfe", b'{"home": "/x", "url": null}')):
        (user.entries / f"{number}-x.json").write_bytes(content)
    done = user.run("records")
    assert done.code == 3 and done.hint == "hint: start it: sizewise up"
    with serving(user.folder / "a", echo_named("here"), **user.environ):
        assert user.models() == ["echo/here"]


def test_a_registry_that_others_can_write_is_not_believed(user: User) -> None:
    with serving(user.folder / "a", **user.environ) as server:
        user.entries.chmod(0o777)
        assert user.run("records").hint == "hint: start it: sizewise up"
        user.entries.chmod(0o700)
        next(user.entries.iterdir()).chmod(0o666)
        assert user.run("records").hint == "hint: start it: sizewise up"
        assert user.run("records", "--home", str(server.home)).code == 0


@pytest.mark.long
def test_a_server_without_a_registry_starts_and_is_found_by_its_home(user: User) -> None:
    (user.folder / "state").write_text("not a folder")
    with serving(user.folder / "a", echo_named("here"), **user.environ) as server:
        assert user.models("--home", str(server.home)) == ["echo/here"]
        assert user.models() == []


def test_up_never_takes_the_home_of_another_server(user: User) -> None:
    with serving(user.folder / "a", **user.environ):
        (user.default_home).mkdir(parents=True)
        (user.default_home / "sizewise.toml").write_text(ECHO + "[server.tls]\ncert = 'missing'\nkey = 'missing'\n")
        done = user.run("up", "--port", "0")
        assert done.code != 0 and "uses the home folder" not in done.err and "missing" in done.err


@pytest.mark.long
def test_a_server_of_several_processes_is_found_and_leaves_no_entry(user: User) -> None:
    config = echo_named("here").replace("[server]", "[server]\nworkers = 2")
    with serving(user.folder / "a", config, **user.environ):
        assert user.models() == ["echo/here"]
    assert list(user.entries.iterdir()) == []


@pytest.mark.long
def test_the_backup_of_the_running_server_says_its_home(user: User) -> None:
    with serving(user.folder / "a", **user.environ) as server:
        done = user.run("backup", str(user.folder / "saved.tar"))
        assert done.code == 0 and str(server.home) in done.out
