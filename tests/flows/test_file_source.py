"""The folder of flow files over restarts: what was deleted meanwhile is withdrawn, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.running_server import ECHO, serving, until

FLOW = """
name: kept
inputs: {question: text}
nodes:
  answer: {kind: ask, model: echo/small, prompt: "{{ inputs.question }}"}
outputs: {answer: "{{ answer.text }}"}
"""


def flow(name: str) -> str:
    return FLOW.replace("kept", name)


@pytest.mark.long
def test_a_file_that_was_deleted_while_no_server_ran_is_withdrawn(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere.yaml"
    folder = home / "flows"
    folder.mkdir(parents=True)
    for name in ("kept", "deleted"):
        (folder / f"{name}.yaml").write_text(flow(name))
    elsewhere.write_text(flow("elsewhere"))
    with serving(home, ECHO) as server:
        until(lambda: server.chat("flow:deleted", "hi").status == server.chat("flow:kept", "hi").status == 200)
        assert sizewise("flow", "publish", str(elsewhere), home=home).code == 0
    (folder / "deleted.yaml").unlink()
    with serving(home, ECHO) as server:
        until(lambda: server.chat("flow:deleted", "hi").status == 404)
        assert server.chat("flow:kept", "hi").status == server.chat("flow:elsewhere", "hi").status == 200
    (folder / "kept.yaml").unlink()  # the last one
    with serving(home, ECHO) as server:
        until(lambda: server.chat("flow:kept", "hi").status == 404)
        assert server.chat("flow:elsewhere", "hi").status == 200


@pytest.mark.long
def test_another_folder_does_not_withdraw_what_this_one_published(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "flows").mkdir(parents=True)
    (home / "flows" / "kept.yaml").write_text(flow("kept"))
    with serving(home, ECHO) as server:
        until(lambda: server.chat("flow:kept", "hi").status == 200)
    other = tmp_path / "other"
    (other / "flows").mkdir(parents=True)
    (other / "flows" / "more.yaml").write_text(flow("more"))
    (other / "sizewise.toml").write_text(ECHO)
    with serving(home, ECHO, "--config", str(other / "sizewise.toml")) as server:
        until(lambda: server.chat("flow:more", "hi").status == 200)
        assert server.chat("flow:kept", "hi").status == 200


WITHOUT_PRIVILEGES = """
import ctypes, os, sys
for capability in (1, 2):  # to read what the mode forbids: so root is refused too
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "sizewise.cli.main", *sys.argv[1:]])
"""


@pytest.mark.long
def test_a_folder_that_cannot_be_read_ends_no_server_and_is_read_later(tmp_path: Path) -> None:
    home, program = tmp_path / "home", tmp_path / "program.py"
    (home / "flows").mkdir(parents=True)
    (home / "flows" / "kept.yaml").write_text(flow("kept"))
    (home / "flows").chmod(0)
    program.write_text(WITHOUT_PRIVILEGES)
    try:
        with serving(home, ECHO, program=str(program)) as server:
            ready: Any = server.ask("/readyz").json
            assert "the flows folder cannot be read: Permission denied" in ready["impaired"]
            (home / "flows").chmod(0o700)
            until(lambda: server.chat("flow:kept", "hi").status == 200)
            mended: Any = server.ask("/readyz").json
            assert "impaired" not in mended or not mended["impaired"]
            assert sum("flows folder cannot be read" in line for line in server.said) == 1
    finally:
        (home / "flows").chmod(0o700)


@pytest.mark.long
def test_what_is_no_file_among_the_flows_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "flows"
    folder.mkdir()
    os.mkfifo(folder / "pipe.yaml")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "gone.yaml").symlink_to("nowhere")
    (folder / "folder.yaml").mkdir()
    (folder / "kept.yaml").write_text(flow("kept"))
    with serving(tmp_path, ECHO) as server:
        until(lambda: server.chat("flow:kept", "hi").status == 200)


def test_a_file_that_is_no_utf_8_is_an_error_with_its_place_and_is_not_changed_unseen(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    text = flow("kept").replace("inputs.question }}", "inputs.question }} in Köln")
    (tmp_path / "flows" / "kept.yaml").write_bytes(text.encode("latin-1"))
    told = sizewise("flow", "check", home=tmp_path)
    line = text[: text.index("ö")].count("\n") + 1
    assert told.code == 1 and f":{line}:" in told.err + told.out
    assert "this is not UTF-8: the byte 0xf6" in told.err + told.out and "Save the file as UTF-8" in told.err + told.out
    (tmp_path / "flows" / "kept.yaml").write_text(text, encoding="utf-8")
    assert sizewise("flow", "check", home=tmp_path).code == 0


@pytest.mark.parametrize("name", ["kept.flow", ".kept.yaml", "kept"])
def test_a_file_of_another_name_is_refused_in_words(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(flow("kept"))
    told = sizewise("flow", "check", str(tmp_path / name), home=tmp_path)
    assert told.code == 2 and "is not read as a flow" in told.err and "NAME.yaml" in told.err
