"""The folder of flow files over restarts: what was deleted meanwhile is withdrawn, and nothing else."""

from __future__ import annotations

from pathlib import Path

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
