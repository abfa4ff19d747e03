"""`sizewise doctor` on installations that are well, and on some that are not."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from sizewise.app.services import open_services
from sizewise.cache.stored_responses import StoredResponse
from tests.cli.terminal import sizewise
from tests.gateway.vector_store_client import SETTINGS, sdk, uploaded
from tests.running_server import ECHO, Served, serving

ROOT = Path(__file__).resolve().parents[2]


def checks(home: Path, **environ: str) -> dict[str, tuple[bool, str, str]]:
    done = sizewise("doctor", "--json", home=home, **environ)
    assert done.code == (0 if done.json["ok"] else 1)
    return {each["check"]: (each["ok"], each["found"], each["next"]) for each in done.json["checks"]}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home where all is well, without a server."""
    tmp_path.chmod(0o700)
    (tmp_path / "sizewise.toml").write_text(ECHO.replace("[server]", "[server]\nport = 0"))
    return tmp_path


def test_all_is_well(home: Path) -> None:
    done = sizewise("doctor", home=home)
    assert "wrong" not in done.out
    assert done.code == 0


def test_its_findings_stand_in_one_column(home: Path) -> None:
    lines = sizewise("doctor", home=home).out.splitlines()
    (column,) = [line.index("personal data") for line in lines if "personal data" in line]
    assert any(line.startswith("well   encryption  ") for line in lines)
    assert all(line[column - 2 : column] == "  " and line[column] != " " for line in lines)


def test_it_says_which_personal_data_is_looked_for_and_by_what(home: Path) -> None:
    well, found, _ = checks(home)["pii"]
    assert well and "by its format: mask" in found and "names and addresses are not looked for" in found
    file = home / "sizewise.toml"
    file.write_text(file.read_text() + '[guardrails.custom]\nnames = "mask"\n')
    assert "names and addresses by the bundled tagger" in checks(home)["pii"][1]


def test_a_running_server_is_asked(echo: Served) -> None:
    assert echo.url in checks(echo.home)["server"][1]


def test_the_port_is_taken_by_another_program(home: Path, echo: Served) -> None:
    port = echo.url.rpartition(":")[2]
    (home / "sizewise.toml").write_text(ECHO.replace("[server]", f"[server]\nport = {port}"))
    well, found, then = checks(home)["server"]
    assert not well
    assert port in found
    assert then.startswith("sizewise up --port")


def test_no_model_is_there(home: Path) -> None:
    (home / "sizewise.toml").write_text("[server]\nport = 0\n")
    well, _, then = checks(home, SIZEWISE_CACHE=str(home / "cache"))["settings"]
    assert not well
    assert then == "sizewise models pull smollm2-135m"


@pytest.mark.long
async def test_the_key_to_what_is_kept_is_gone(home: Path) -> None:
    with open_services(home) as services:
        await services.stored_responses.save(
            StoredResponse("r", "local", "default", time.time_ns() // 1_000_000, b"", b"")
        )
    assert checks(home)["encryption"][0]
    (home / "vault.key").unlink()
    well, found, then = checks(home)["encryption"]
    assert not well and "vault.key" in found and "restore the file" in then


@pytest.mark.long
def test_the_key_service_does_not_answer(home: Path) -> None:
    with open_services(home):
        pass
    program = home / "kms"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o700)
    settings = home / "sizewise.toml"
    settings.write_text(settings.read_text() + f'\n[encryption]\nkms = "command:{program}"\n')
    well, found, _ = checks(home)["encryption"]
    assert not well and "exited with 7" in found
    program.write_text("#!/bin/sh\nread line; echo QUJD$line\n")
    assert checks(home)["encryption"][0]


def test_the_settings_are_wrong(home: Path) -> None:
    (home / "sizewise.toml").write_text("[server]\nprot = 0\n")
    well, found, _ = checks(home)["settings"]
    assert not well
    assert "'port'" in found


def test_a_key_is_missing(home: Path) -> None:
    cloud = '\n[providers.cloud]\nbase_url = "https://cloud.example/v1"\nkey = "env:CLOUD_KEY"\nmodels = ["a"]\n'
    (home / "sizewise.toml").write_text((home / "sizewise.toml").read_text() + cloud)
    well, found, then = checks(home)["key"]
    assert not well
    assert "CLOUD_KEY" in found + then
    well, found, _ = checks(home, CLOUD_KEY="secret-of-mine")["key"]
    assert well
    assert "secret-of-mine" not in found


@pytest.mark.parametrize(
    ("trigger", "environ", "said"),
    [
        ('flow = "orders"\nsecret = "env:MY_HOOK"', {}, "MY_HOOK"),
        ('flow = "orders"\nsecret = "env:MY_HOOK"', {"MY_HOOK": "hunter2"}, "24 to 64 bytes"),
        ('flow = "orders"', {}, "has no secret"),
        ('secret = "env:MY_HOOK"', {}, "starts no flow"),
    ],
)
def test_an_inbound_webhook_that_cannot_start_its_flow_is_named(
    home: Path, trigger: str, environ: dict[str, str], said: str
) -> None:
    file = home / "sizewise.toml"
    file.write_text(f"{file.read_text()}\n[triggers.shop]\n{trigger}\n")
    well, found, then = checks(home, **environ)["triggers"]
    assert not well and then
    assert "/hooks/flows/shop" in found and said in found and "hunter2" not in found + then
    file.write_text(
        file.read_text().partition("[triggers")[0] + '[triggers.shop]\nflow = "orders"\nsecret = "env:MY_HOOK"\n'
    )
    well, found, _ = checks(home, MY_HOOK="whsec_" + "AAAA" * 8)["triggers"]
    assert well and found == "/hooks/flows/shop starts orders of the project 'default'"


def test_the_home_is_open_to_others(home: Path) -> None:
    home.chmod(0o755)
    well, _, then = checks(home)["home"]
    assert not well
    assert then == f"chmod 700 {home}"


def test_a_file_of_weights_was_cut_short(home: Path) -> None:
    models = home / "cache" / "models"
    models.mkdir(parents=True)
    (models / "b179c9523d0e-SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF")
    well, found, then = checks(home, SIZEWISE_CACHE=str(home / "cache"))["weights"]
    assert not well
    assert "4 bytes instead of 98,362,432" in found
    assert "models pull smollm2-135m" in then


def test_the_database_is_of_a_newer_version(home: Path) -> None:
    with sqlite3.connect(home / "sizewise.db") as database:
        database.execute("CREATE TABLE schema_version (room TEXT, version INTEGER, at INTEGER)")
        database.execute("INSERT INTO schema_version VALUES ('telemetry', 99, 0)")
    database.close()
    well, found, _ = checks(home)["database"]
    assert not well
    assert "newer" in found


def test_the_database_is_none(home: Path) -> None:
    (home / "sizewise.db").write_bytes(b"this is no database, and never was one" * 100)
    assert not checks(home)["database"][0]


MEDIA = """
[providers.media]
base_url = "http://127.0.0.1:9"
place = "machine"
[models."media/ear"]
task = "transcribe"
[models."media/voice"]
task = "speak"
price = { character = "0.00001" }
"""


@pytest.mark.long
def test_a_model_for_audio_has_no_price(home: Path) -> None:
    file = home / "sizewise.toml"
    file.write_text(file.read_text() + MEDIA)
    assert checks(home)["price"][:2] == (True, "media/ear has no price, so its costs are unknown")
    file.write_text(file.read_text() + '[limits.organization]\nusd_per_day = "5"\n')
    well, found, then = checks(home)["price"]
    assert not well and found == "media/ear has no price, so the budget of organization refuses it"
    assert then == '[models."media/ear"] price = { second = "DOLLARS" } in sizewise.toml'


@pytest.mark.long
def test_a_vector_store_has_a_file_that_it_could_not_read_and_another_one_has_expired(tmp_path: Path) -> None:
    with serving(tmp_path, SETTINGS) as server, sdk(server) as client:
        assert "files" not in checks(tmp_path)
        store = client.vector_stores.create(name="bad")
        file = uploaded(client, "image.png", b"\x89PNG\r\n\x1a\n" + bytes(50))
        client.vector_stores.files.create_and_poll(file, vector_store_id=store.id, poll_interval_ms=20)
        well, found, then = checks(tmp_path)["files"]
        assert not well and f"1 of {store.id}" in found
        assert f"/v1/vector_stores/{store.id}/files?filter=failed" in then
        client.vector_stores.files.delete(file, vector_store_id=store.id)
        assert "files" not in checks(tmp_path)
        with contextlib.closing(sqlite3.connect(tmp_path / "sizewise.db", timeout=30)) as connection, connection:
            connection.execute("UPDATE vector_stores SET expires = 1")
        assert checks(tmp_path)["files"][:2] == (True, f"1 vector store has expired and cannot be searched: {store.id}")


OWN: Mapping[str, object] = {
    "CONFIG_ARGS": "'--prefix=/home/me/3.13'",
    "PGO_PROF_USE_FLAG": "-fprofile-use",
    "PY_CORE_CFLAGS": "-g -O3",
}
"""Flags that CPython's Makefile states when nobody asked for optimizations."""
FLAGS: Mapping[str, tuple[Mapping[str, object], str]] = {
    "pyenv": (OWN, "built without --enable-optimizations"),
    "a debug build": ({**OWN, "Py_DEBUG": 1}, "built for debugging"),
    "no optimization at all": ({**OWN, "PY_CORE_CFLAGS": "-O3 -O0"}, "compiled with -O0"),
    "pyenv with optimizations": ({**OWN, "CONFIG_ARGS": "'--enable-optimizations' '--with-lto'"}, ""),
    "profiled by hand": ({**OWN, "PY_CORE_CFLAGS": "-O3 -fprofile-use"}, ""),
    "Debian": ({**OWN, "CONFIG_ARGS": "'--prefix=/usr'", "PGO_PROF_USE_FLAG": "", "PY_CORE_CFLAGS": "-g -O2"}, ""),
    "another distribution": ({**OWN, "CONFIG_ARGS": "'--prefix=/usr' '--enable-shared'"}, ""),
    "says nothing": ({}, ""),
}


def stated(folder: Path, flags: Mapping[str, object]) -> dict[str, str]:
    """Environment in which a Python states these build flags: a double of the module that its build writes."""
    (folder / "_sysconfigdata_double.py").write_text(f"build_time_vars = {dict(flags)!r}")
    return {"PYTHONPATH": str(folder), "_PYTHON_SYSCONFIGDATA_NAME": "_sysconfigdata_double"}


@pytest.mark.long
@pytest.mark.parametrize("build", FLAGS)
def test_a_python_that_was_built_slow_is_named_and_is_no_error(home: Path, tmp_path: Path, build: str) -> None:
    flags, flaw = FLAGS[build]
    ask = [sys.executable, "-m", "sizewise.cli.main", "doctor", "--json", "--home", str(home)]
    ask += ["--config", str(home / "sizewise.toml")]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("SIZEWISE")}
    done = subprocess.run(ask, env=environ | stated(tmp_path, flags), capture_output=True, text=True, check=False)
    (python,) = [each for each in json.loads(done.stdout)["checks"] if each["check"] == "python"]
    assert python["ok"]
    assert flaw in python["found"] if flaw else "built" not in python["found"] and "compiled" not in python["found"]


@pytest.mark.long
def test_make_up_prefers_a_python_that_was_not_built_slow(tmp_path: Path) -> None:
    def python(folder: str, name: str, build: str) -> str:
        place = tmp_path / folder
        (double := place / f"double-{name}").mkdir(parents=True)
        environ = " ".join(f"{key}={value}" for key, value in stated(double, FLAGS[build][0]).items())
        (program := place / name).write_text(f'#!/bin/sh\nexec env {environ} {sys.executable} "$@"\n')
        program.chmod(0o755)
        return str(program)

    def chosen() -> str:
        ask = ["make", "-s", "--eval", "chosen: ; @echo $(PYTHON)", "chosen"]
        path = f"{tmp_path / 'shims'}:{tmp_path / 'bin'}:{tmp_path / 'tools'}"
        return subprocess.run(
            ask, cwd=ROOT, env={"PATH": path}, capture_output=True, text=True, check=True
        ).stdout.strip()

    (tools := tmp_path / "tools").mkdir()
    for tool in ("make", "sh", "env", "echo", "getconf", "expr"):
        (tools / tool).symlink_to(shutil.which(tool) or "")
    slow = python("shims", "python3.13", "pyenv")
    assert chosen() == slow  # nothing better is there
    older = python("bin", "python3.12", "Debian")
    assert chosen() == older
    newer = python("bin", "python3.13", "pyenv with optimizations")
    assert chosen() == newer  # behind the slow one of the same version
