"""`sizewise edge build`: the files of a Worker, without Node; what cannot run at an edge is refused by its name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.running_server import environment

ROOT = Path(__file__).parents[2]
BASE = """
[server]
discover = false
embedded = false
[providers.up]
base_url = "https://api.example.com/v1"
key = "env:UP_KEY"
models = ["one", "two"]
"""


def build(folder: Path, config: str, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "sizewise.toml").write_text(config)
    argv = [sys.executable, "-m", "sizewise.cli.main", "edge", "build", "--home", str(folder / "home"), *words]
    env = environment(PYTHONPATH=str(ROOT), UP_KEY="sk-very-secret")
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=60)


def test_it_writes_a_folder_that_holds_no_secret_and_names_those_it_needs(tmp_path: Path) -> None:
    done = build(tmp_path, BASE, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["secrets"], told["models"]) == (0, ["UP_KEY"], ["up/one", "up/two"])
    content = {path.name: path.read_text() for path in (tmp_path / "build/edge").iterdir()}
    assert set(content) == {"runtime.mjs", "release.mjs", "wrangler.json", "metadata.json"}
    assert not any("sk-very-secret" in each for each in content.values())
    assert json.loads(content["wrangler.json"])["no_bundle"] is True
    assert told["bytes_gzipped"] < 60_000


def test_the_worker_that_is_run_here_says_where_it_listens_as_json(tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text(BASE)
    words = ("edge", "dev", "--port", "8788", "--workerd", shutil.which("true") or "", "--json")
    done = sizewise(*words, home=tmp_path, UP_KEY="sk-x")
    assert done.code == 0, done.err
    assert done.json["url"] == "http://127.0.0.1:8788" and done.json["key"].startswith("sk-edge-")


@pytest.mark.long
@pytest.mark.parametrize(
    ("more", "subject", "why"),
    [
        ('[policies.p]\nkind = "cascade"\nvotes = 3\nmodels = ["up/one", "up/two"]\n', "policies.p", "votes"),
        ('[policies.p]\nkind = "fixed"\nhedge_delay_s = 1.0\nmodels = ["up/one", "up/two"]\n', "policies.p", "hedges"),
        ('[policies.p.guardrails]\ninjection = "block"\n', "guardrails.injection", "gateway alone"),
        ('[providers.home]\nwire = "echo"\nmodels = ["x"]\n[router]\nsmall = "home/x"\n', "router.small", "gateway"),
    ],
)
def test_what_cannot_run_at_an_edge_is_refused_by_name(tmp_path: Path, more: str, subject: str, why: str) -> None:
    done = build(tmp_path, BASE + more)
    assert done.returncode == 2
    assert subject in done.stderr and why in done.stderr
    assert "hint:" in done.stderr
    assert not (tmp_path / "build").exists()


def test_a_policy_that_cannot_run_there_is_forwarded_if_the_settings_say_so(tmp_path: Path) -> None:
    edge = '[edge]\norigin = "https://home.example.com"\nunsupported = "forward"\n'
    votes = '[policies.p]\nkind = "cascade"\nvotes = 3\nmodels = ["up/one", "up/two"]\n'
    told = json.loads(build(tmp_path, BASE + edge + votes, "--json").stdout)
    assert [each.partition(" ")[0] for each in told["forwarded"]] == ["auto:p"]


def test_a_model_of_workers_ai_is_asked_by_its_binding(tmp_path: Path) -> None:
    assert build(tmp_path, BASE + '[models."up/one"]\nedge = true\n').returncode == 0
    assert json.loads((tmp_path / "build/edge/wrangler.json").read_text())["ai"] == {"binding": "AI"}


def test_what_is_learned_of_decisions_stays_at_the_gateway_and_the_build_says_so(tmp_path: Path) -> None:
    alone = build(tmp_path, BASE + '[learn]\nkeep = "vectors"\n')
    assert "learn.keep: what is learned of decisions lies in the gateway's database" in alone.stdout
    home = build(tmp_path, BASE + '[learn]\nkeep = "vectors"\n[edge]\norigin = "https://llm.example.com"\n')
    assert "/v1/decisions (what is learned of decisions" in home.stdout
