"""Backup and restore by hand: one file while the server writes, all of it or nothing back, and no altered file."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sizewise.storage.backup.staged_restore import COMMITTED, PLAN
from tests.cli.terminal import Done, watched
from tests.cli.terminal import sizewise as run
from tests.graphql.graphql_client import fresh_key
from tests.running_server import ECHO, Served, serving

SAID = "canary-in-a-stored-response"


def sizewise(*words: str, home: Path, **environ: str) -> Done:
    """Also of a home that does not exist yet."""
    return run(*words, "--home", str(home), home=None, **environ)


def remembered(server: Served, words: str = SAID) -> str:
    answer: Any = server.ask("/v1/responses", {"model": "echo/small", "input": words}).json
    return str(answer["id"])


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, str]]:
    """A backup of a server that is busy, a response that it stores, and a key made there."""
    folder = tmp_path_factory.mktemp("backup")
    home = folder / "home"
    with serving(home, ECHO) as server:
        id, key = remembered(server), fresh_key(server, "ask")
        (home / "notes.txt").write_text("not ours")
        enough = threading.Event()

        def chat() -> None:
            while not enough.is_set():
                server.chat("echo/small")

        busy = [threading.Thread(target=chat) for _ in range(4)]
        for each in busy:
            each.start()
        try:
            done = sizewise("backup", str(folder / "sizewise.tar"), "--json", home=home)
        finally:
            enough.set()
            for each in busy:
                each.join()
        assert done.code == 0, done.err
        assert any("notes.txt" in note for note in done.json["notes"])
    yield folder / "sizewise.tar", id, key


def members(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]  # plain files


def test_a_backup_of_a_busy_server_is_whole_and_its_owners_only(backed_up: tuple[Path, str, str]) -> None:
    file, _, _ = backed_up
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = members(file)
    manifest = json.loads(found.pop("manifest.json"))
    assert {"sizewise.db", "vault.key", "sizewise.toml"} <= found.keys()
    assert "admin.token" not in found and "server.json" not in found
    assert {each["name"]: each["sha256"] for each in manifest["files"]} == {
        name: hashlib.sha256(data).hexdigest() for name, data in found.items()
    }
    assert [each.name for each in file.parent.iterdir() if each.name.startswith(".")] == []


@pytest.mark.long
def test_a_restored_home_answers_as_before(backed_up: tuple[Path, str, str], tmp_path: Path) -> None:
    file, id, key = backed_up
    home = tmp_path / "new" / "home"
    (home / ".restore-staged" / "flows").mkdir(parents=True)  # of a restore that was killed before its step
    done = sizewise("restore", str(file), home=home)
    assert done.code == 0 and f"{home} is restored" in done.out, done.err
    assert "the settings file was" not in done.err, "it was in the home, as it is now"
    assert done.err.splitlines()[-1] == f"next: sizewise up --home {home}"
    assert (
        stat.S_IMODE((home / "vault.key").stat().st_mode)
        == stat.S_IMODE((home / "sizewise.db").stat().st_mode)
        == 0o600
    )
    with serving(home, ECHO) as server:
        assert SAID in server.ask(f"/v1/responses/{id}/input_items").body.decode()
        assert server.ask("/v1/models", key=key).status == 200
        assert sizewise("doctor", home=home).code in (0, 1)


@pytest.mark.long
def test_a_running_home_is_not_restored_into(backed_up: tuple[Path, str, str], tmp_path: Path) -> None:
    with serving(tmp_path / "home", ECHO) as server:
        id = remembered(server)
        done = sizewise("restore", str(backed_up[0]), "--force", home=server.home)
        assert done.code == 3 and f"kill {server.process.pid}" in done.err
        assert server.ask(f"/v1/responses/{id}").status == 200


@pytest.mark.long
def test_data_is_replaced_only_by_force_and_then_kept_aside(backed_up: tuple[Path, str, str], tmp_path: Path) -> None:
    file, id, _ = backed_up
    home = tmp_path / "home"
    with serving(home, ECHO) as server:
        mine = remembered(server, "mine")
    before = {each.name: each.stat().st_ino for each in home.iterdir()}
    refused = sizewise("restore", str(file), home=home)
    assert refused.code == 2 and "is not empty" in refused.err and "--force" in refused.hint
    assert {each.name: each.stat().st_ino for each in home.iterdir()} == before
    done = sizewise("restore", str(file), "--force", "--json", home=home).json
    former = Path(done["replaced"])
    assert former.parent == home and {"sizewise.db", "vault.key"} <= set(os.listdir(former))
    with serving(home, ECHO) as server:
        assert server.ask(f"/v1/responses/{id}").status == 200
        assert server.ask(f"/v1/responses/{mine}").status == 404
    # and back: the folder is a home of its own
    with serving(former, ECHO) as server:
        assert server.ask(f"/v1/responses/{mine}").status == 200


@pytest.mark.long
@pytest.mark.parametrize("moved", [0, 1, 3])
def test_a_restore_that_was_killed_half_way_is_finished_by_the_next_start(
    backed_up: tuple[Path, str, str], tmp_path: Path, moved: int
) -> None:
    """As a kill leaves it: the new state is committed, and `moved` entries are in their place."""
    file, id, _ = backed_up
    home = tmp_path / "home"
    with serving(home, ECHO) as server:
        mine = remembered(server, "mine")
    committed = home / COMMITTED
    committed.mkdir()
    found = members(file)
    found.pop("manifest.json")
    for name, data in found.items():
        (committed / name).write_bytes(data)
        (committed / name).chmod(0o600)
    (committed / PLAN).write_text(json.dumps({"entries": list(found), "replaced": "before-restore-x"}))
    (home / "before-restore-x").mkdir()
    for name in ["sizewise.db", "vault.key", "sizewise.toml"][:moved]:
        os.replace(home / name, home / "before-restore-x" / name)
        if moved < 3 or name != "sizewise.toml":  # the last of three: the old one is away, the new one not there yet
            os.replace(committed / name, home / name)
    with serving(home, ECHO) as server:
        assert server.ask(f"/v1/responses/{id}").status == 200
        assert server.ask(f"/v1/responses/{mine}").status == 404
    assert not committed.exists()


def rewritten(file: Path, target: Path, change: Callable[[dict[str, bytes], tarfile.TarFile], None]) -> Path:
    """`change` may alter the members, or add others to the end."""
    found = members(file)
    with tarfile.open(target, "w") as tar:
        extra = io.BytesIO()
        with tarfile.open(fileobj=extra, mode="w") as more:
            change(found, more)
        for name, data in found.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        extra.seek(0)
        with tarfile.open(fileobj=extra) as read:
            for member in read:
                tar.addfile(member, read.extractfile(member) if member.isreg() else None)
    return target


def manifest_with(**changes: object) -> Callable[[dict[str, bytes], tarfile.TarFile], None]:
    def change(found: dict[str, bytes], _: tarfile.TarFile) -> None:
        found["manifest.json"] = json.dumps({**json.loads(found["manifest.json"]), **changes}).encode()

    return change


def file_named(name: str, data: bytes = b"x") -> Callable[[dict[str, bytes], tarfile.TarFile], None]:
    """In the manifest too, as one who means harm would."""

    def change(found: dict[str, bytes], _: tarfile.TarFile) -> None:
        manifest = json.loads(found["manifest.json"])
        line = {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        found["manifest.json"] = json.dumps({**manifest, "files": [*manifest["files"], line]}).encode()
        found[name] = data

    return change


def link_named(name: str, kind: bytes) -> Callable[[dict[str, bytes], tarfile.TarFile], None]:
    def change(found: dict[str, bytes], more: tarfile.TarFile) -> None:
        file_named(name, b"")(found, more)
        found.pop(name)
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        more.addfile(member)

    return change


def one_byte_changed(found: dict[str, bytes], _: tarfile.TarFile) -> None:
    data = bytearray(found["sizewise.db"])
    data[len(data) // 2] ^= 1
    found["sizewise.db"] = bytes(data)


def without_its_database(found: dict[str, bytes], _: tarfile.TarFile) -> None:
    del found["sizewise.db"]


def without_its_manifest(found: dict[str, bytes], _: tarfile.TarFile) -> None:
    del found["manifest.json"]


def with_a_file_more(found: dict[str, bytes], _: tarfile.TarFile) -> None:
    found["models.toml"] = b""


def with_a_file_twice(found: dict[str, bytes], more: tarfile.TarFile) -> None:
    member = tarfile.TarInfo("vault.key")
    member.size = 4
    more.addfile(member, io.BytesIO(b"evil"))


ALTERED: dict[str, Callable[[dict[str, bytes], tarfile.TarFile], None]] = {
    "one byte of the database changed": one_byte_changed,
    "the database is missing": without_its_database,
    "the manifest is missing": without_its_manifest,
    "a file that is not in the manifest": with_a_file_more,
    "a file twice": with_a_file_twice,
    "a path out of the home": file_named("flows/../../evil.yaml"),
    "an absolute path": file_named("/tmp/evil"),
    "a backslash in a path": file_named("flows\\..\\evil"),
    "a file that is no state": file_named("admin.token"),
    "a database as a folder": file_named("sizewise.db/evil"),
    "a name in other letters": file_named("VAULT.KEY"),
    "a symbolic link": link_named("flows/evil.yaml", tarfile.SYMTYPE),
    "a hard link": link_named("flows/evil.yaml", tarfile.LNKTYPE),
    "a device": link_named("flows/evil.yaml", tarfile.CHRTYPE),
    "a manifest of something else": manifest_with(format="other"),
    "a newer format": manifest_with(version=2, sizewise="9.9.9"),
    "a newer database": manifest_with(schemas={"telemetry": 99}, sizewise="9.9.9"),
    "a component of the future": manifest_with(schemas={"dreams": 1}, sizewise="9.9.9"),
    "a manifest without files": manifest_with(files=None),
    "a size below zero": manifest_with(files=[{"name": "vault.key", "bytes": -1, "sha256": ""}]),
}


@pytest.mark.long
@pytest.mark.parametrize("what", ALTERED)
def test_an_altered_backup_changes_nothing(backed_up: tuple[Path, str, str], tmp_path: Path, what: str) -> None:
    file = rewritten(backed_up[0], tmp_path / "altered.tar", ALTERED[what])
    home = tmp_path / "home"
    home.mkdir()
    (home / "vault.key").write_text("mine")
    done = sizewise("restore", str(file), "--force", home=home)
    assert done.code in (2, 3) and "hint: " in done.err, what
    assert {each.name for each in home.iterdir()} <= {"vault.key", "server.lock"}
    assert (home / "vault.key").read_text() == "mine"
    assert {each.name for each in tmp_path.iterdir()} == {"altered.tar", "home"}
    if "newer" in what or "future" in what:
        assert "9.9.9" in done.err and "install" in done.hint


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.6, 0.99])
def test_a_backup_that_was_cut_off_changes_nothing(
    backed_up: tuple[Path, str, str], tmp_path: Path, share: float
) -> None:
    data = backed_up[0].read_bytes().rstrip(b"\0")  # a tar ends with zeros, which may be missing
    file = tmp_path / "cut.tar"
    file.write_bytes(data[: int(len(data) * share)])
    done = sizewise("restore", str(file), home=tmp_path / "home")
    assert done.code == 2 and "hint: " in done.err
    assert not (tmp_path / "home" / "sizewise.db").exists()


@pytest.mark.parametrize("what", ["text", "zip", "folder", "missing", "gzip"])
def test_a_foreign_file_is_named_as_such(backed_up: tuple[Path, str, str], tmp_path: Path, what: str) -> None:
    file = tmp_path / "foreign"
    if what == "folder":
        file.mkdir()
    elif what != "missing":
        file.write_bytes(
            {"text": b"hello " * 500, "zip": b"PK\x03\x04" + bytes(900), "gzip": b"\x1f\x8b" + bytes(900)}[what]
        )
    for words in (["restore", str(file), "--check"], ["restore", str(file)]):
        done = sizewise(*words, home=tmp_path / "home")
        assert done.code == 2 and "sizewise backup" in done.hint and str(file) in done.err
    assert not (tmp_path / "home").exists()


def test_a_check_reads_all_of_it_and_writes_nothing(backed_up: tuple[Path, str, str], tmp_path: Path) -> None:
    done = sizewise("restore", str(backed_up[0]), "--check", "--json", home=tmp_path / "home")
    assert done.code == 0 and done.json["home"] is None and done.json["key"] == "included"
    assert done.json["key_ids"] and not (tmp_path / "home").exists()


def test_a_file_is_not_overwritten_unless_forced(backed_up: tuple[Path, str, str], tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "mine.txt"
    assert sizewise("restore", str(backed_up[0]), home=home).code == 0
    file.write_text("mine")
    file.chmod(0o644)
    refused = sizewise("backup", str(file), home=home)
    assert refused.code == 2 and "--force" in refused.hint and file.read_text() == "mine"
    assert sizewise("backup", str(file), "--force", home=home).code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and "vault.key" in members(file)
    folder = sizewise("backup", str(tmp_path), "--force", home=home)
    assert folder.code == 2 and "is a folder" in folder.err
    nowhere = sizewise("backup", str(tmp_path / "no" / "such.tar"), home=home)
    assert nowhere.code == 3 and "No such file" in nowhere.err


@pytest.mark.long
def test_without_its_key_a_backup_says_what_it_needs(backed_up: tuple[Path, str, str], tmp_path: Path) -> None:
    file, id, _ = backed_up
    home, again = tmp_path / "home", tmp_path / "again"
    assert sizewise("restore", str(file), home=home).code == 0
    done = sizewise("backup", str(tmp_path / "keyless.tar"), "--without-key", home=home)
    assert done.code == 0 and f"without {home / 'vault.key'}" in done.err
    assert "vault.key" not in members(tmp_path / "keyless.tar")
    restored = sizewise("restore", str(tmp_path / "keyless.tar"), home=again)
    assert restored.code == 0 and f"copy it to {again / 'vault.key'}" in restored.err
    with serving(again, ECHO) as server:
        assert server.ask(f"/v1/responses/{id}").error["code"] == "vault_locked"
    (again / "vault.key").write_bytes((home / "vault.key").read_bytes())
    (again / "vault.key").chmod(0o600)
    with serving(again, ECHO) as server:
        assert server.ask(f"/v1/responses/{id}").status == 200


def test_what_stands_beside_the_home_comes_into_it(backed_up: tuple[Path, str, str], tmp_path: Path) -> None:
    home, etc = tmp_path / "home", tmp_path / "etc"
    assert sizewise("restore", str(backed_up[0]), home=home).code == 0
    (etc / "flows").mkdir(parents=True)
    (etc / "sizewise.toml").write_text(ECHO)
    (etc / "flows" / "one.yaml").write_text("name: one")
    (etc / "prompts").mkdir()
    (etc / "prompts" / "greet.md").write_text("Say hello.")
    (etc / "evals" / "smoke").mkdir(parents=True)
    (etc / "evals" / "smoke" / "suite.yaml").write_text("name: smoke")
    tuned = home / "tuning" / "intents"
    tuned.mkdir(parents=True)
    for name in ("run.json", "adapter.gguf", "checkpoint.pt", "examples.jsonl"):
        (tuned / name).write_text(name)
    (home / "offered-models.json").write_text("{}")
    done = sizewise("backup", str(tmp_path / "x.tar"), "--config", str(etc / "sizewise.toml"), home=home)
    assert done.code == 0 and "offered-models" not in done.err
    back = sizewise("restore", str(tmp_path / "x.tar"), home=tmp_path / "again")
    assert (tmp_path / "again" / "offered-models.json").read_text() == "{}"
    assert f"the settings file was {etc / 'sizewise.toml'}" in back.err
    assert (tmp_path / "again" / "sizewise.toml").read_text() == ECHO
    assert (tmp_path / "again" / "flows" / "one.yaml").read_text() == "name: one"
    assert (tmp_path / "again" / "prompts" / "greet.md").read_text() == "Say hello."
    assert (tmp_path / "again" / "evals" / "smoke" / "suite.yaml").read_text() == "name: smoke"
    kept = sorted(each.name for each in (tmp_path / "again" / "tuning" / "intents").iterdir())
    assert kept == ["adapter.gguf", "run.json"]


def test_a_damaged_database_is_not_backed_up(backed_up: tuple[Path, str, str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert sizewise("restore", str(backed_up[0]), home=home).code == 0
    with (home / "sizewise.db").open("r+b") as file:
        file.seek(8_192)
        file.write(b"\xff" * 20_000)
    done = sizewise("backup", str(tmp_path / "bad.tar"), home=home)
    assert done.code == 3 and "hint: " in done.err and not (tmp_path / "bad.tar").exists()
    assert [each.name for each in tmp_path.iterdir()] == ["home"]


def test_an_empty_home_has_nothing_to_back_up(tmp_path: Path) -> None:
    done = sizewise("backup", str(tmp_path / "x.tar"), home=tmp_path / "none")
    assert done.code == 2 and "nothing to back up" in done.err and "--home" in done.hint


def test_in_postgres_the_backup_says_what_it_lacks(backed_up: tuple[Path, str, str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "vault.key").write_text("x")
    (home / "models.toml").write_bytes(b"#" * 12_000)
    (home / "sizewise.toml").write_text('[database]\nurl = "env:PG"\n')
    done = sizewise("backup", str(tmp_path / "x.tar"), home=home, PG="postgresql+psycopg://u:secret@h/db")
    assert done.code == 0 and "pg_dump" in done.err and "+psycopg" not in done.err
    assert "secret" not in done.err + done.out
    assert "holds 3 files, 12 KB" in done.out
    back = sizewise("restore", str(tmp_path / "x.tar"), home=tmp_path / "again")
    assert back.code == 0 and "pg_restore" in back.err


@pytest.mark.long
def test_passages_are_in_it_when_no_server_runs(backed_up: tuple[Path, str, str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert sizewise("restore", str(backed_up[0]), home=home).code == 0
    (home / "passages" / "b1").mkdir(parents=True)
    (home / "passages" / "b1" / "segment").write_bytes(os.urandom(3_000_000))
    (home / "passages" / "link").symlink_to("/etc/passwd")
    done = sizewise("backup", str(tmp_path / "x.tar"), home=home)
    assert "passages/b1/segment" in members(tmp_path / "x.tar") and "passages/link" not in members(tmp_path / "x.tar")
    assert "vectors" not in done.err
    assert sizewise("restore", str(tmp_path / "x.tar"), home=tmp_path / "again").code == 0
    assert (tmp_path / "again" / "passages" / "b1" / "segment").stat().st_size == 3_000_000
    with serving(home, ECHO):
        running = sizewise("backup", str(tmp_path / "y.tar"), "--json", home=home).json
    assert running["passages"] == "left out" and any("vectors" in note for note in running["notes"])


@pytest.mark.long
def test_at_a_terminal_a_backup_says_what_it_holds(backed_up: tuple[Path, str, str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert sizewise("restore", str(backed_up[0]), home=home).code == 0
    assert "holds" in watched("backup", str(tmp_path / "x.tar"), home=home)
    with closing(sqlite3.connect(home / "sizewise.db")) as read:
        assert read.execute("SELECT count(*) FROM records").fetchone()[0] > 0
