"""A full disk leaves no empty and no cut file behind: once there is room, all goes on without a person."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.catalog.gguf_file import tiny
from tests.running_server import Answer, Served, environment, serving, until
from tests.small_disk import missing, serving_on_a_small_disk

LACKING = missing()
FULL = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
"""No file may get a byte from now on, as on a full disk."""
MAIN = "from sizewise.cli.main import main; main()"
ADMIN_TOKEN = """
from pathlib import Path
from sizewise.auth.authenticator import load_or_create_admin_token
from sizewise.errors import ExternalFailure
try:
    load_or_create_admin_token(Path(sys.argv[1]))
except ExternalFailure as error:
    print(error.message, error.hint)
"""


def on_a_full_disk(folder: Path, *words: str, program: str = MAIN) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", FULL + program, *words],
        cwd=folder,
        env=environment(PYTHONDONTWRITEBYTECODE="1", SIZEWISE_HOME=str(folder)),
        capture_output=True,
        text=True,
        timeout=60,
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def paid_once(served: Served) -> Answer:
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "Hello"}]}
    return served.ask("/v1/chat/completions", body, idempotency_key="one")


# ---- a disk that is full --------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.skipif(bool(LACKING), reason=LACKING)
def test_the_encryption_key_is_made_once_there_is_room(tmp_path: Path) -> None:
    with serving_on_a_small_disk(tmp_path) as disk:
        before = disk.files()
        assert disk.served.chat("echo/small").status == 200
        disk.fill()
        refused = paid_once(disk.served)
        assert (refused.status, refused.error["code"]) == (503, "vault_locked")
        assert "No space left on device" in refused.error["message"] and "free space" in refused.error["hint"]
        assert disk.files() == before, "no key file, whole or cut"
        disk.free()
        until(lambda: paid_once(disk.served).status == 200)
        assert disk.files()["vault.key"] == 45


def test_commands_find_the_server_after_a_reload_that_could_not_write(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        pid, free = served.process.pid, resource.RLIM_INFINITY
        before = (tmp_path / "server.json").read_bytes()
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, free))
        os.kill(pid, signal.SIGHUP)
        until(lambda: any("server.json" in line and "File too large" in line for line in served.said))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (free, free))
        assert (tmp_path / "server.json").read_bytes() == before
        assert not [path.name for path in tmp_path.iterdir() if path.suffix == ".new"]


@pytest.mark.long
def test_the_server_says_which_file_it_cannot_write_and_starts_once_there_is_room(tmp_path: Path) -> None:
    home = tmp_path / "home"
    refused = on_a_full_disk(tmp_path, "up", "--port", "0", "--home", str(home))
    assert refused.returncode == 3, refused.stderr
    assert str(home / "server.lock") in refused.stderr and "free space" in refused.stderr
    with serving(home) as served:
        assert served.chat("echo/small").status == 200


@pytest.mark.long
def test_the_admin_token_is_made_once_there_is_room(tmp_path: Path) -> None:
    told = on_a_full_disk(tmp_path, str(tmp_path), program=ADMIN_TOKEN).stdout
    assert str(tmp_path / "admin.token") in told and "free space" in told
    assert files(tmp_path) == {}
    with serving(tmp_path) as served:
        assert served.chat("echo/small").status == 200


@pytest.mark.long
def test_a_command_leaves_no_new_file_and_the_old_ones_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    tiny(tmp_path / "mine.gguf")
    (tmp_path / "models.lock").touch()
    (tmp_path / "models.toml").write_text("# none yet\n")
    before = files(tmp_path)
    for words in (("flow", "new", "support"), ("models", "add", "mine.gguf")):
        refused = on_a_full_disk(tmp_path, *words)
        assert refused.returncode == 3 and "cannot be written: File too large" in refused.stderr, refused
        assert files(tmp_path) == before, words


# ---- what an older version left -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "message"), [("", "is empty"), ("SGVsbG8=\n", "does not contain keys of 32 bytes")])
def test_a_key_file_that_was_never_whole_is_named_with_the_next_step(tmp_path: Path, left: str, message: str) -> None:
    key = tmp_path / "vault.key"
    key.write_text(left)
    key.chmod(0o600)
    with serving(tmp_path) as served:
        (impaired,) = served.ask("/readyz", key=None).json["impaired"]  # type: ignore[index]  # an object
        assert message in impaired and str(key) in impaired
        refused = paid_once(served)
        assert refused.status == 503 and message in refused.error["message"]
        assert f"rm {key}" in refused.error["hint"]
        key.unlink()
        assert paid_once(served).status == 200
        assert served.ask("/readyz", key=None).json["impaired"] == []  # type: ignore[index]  # an object


@pytest.mark.long
def test_a_key_file_that_is_needed_is_never_said_to_be_deleted(tmp_path: Path) -> None:
    key = tmp_path / "vault.key"
    with serving(tmp_path) as served:
        assert paid_once(served).status == 200
    whole = key.read_bytes()
    key.write_bytes(b"")
    with serving(tmp_path) as served:
        refused = paid_once(served)
        assert refused.status == 503 and "is empty" in refused.error["message"]
        assert "backup" in refused.error["hint"] and "rm " not in refused.error["hint"]
        key.write_bytes(whole)
        assert paid_once(served).status == 200
