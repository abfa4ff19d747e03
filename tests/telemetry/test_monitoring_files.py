"""Rules for Prometheus, dashboard for Grafana: every metric in them is served, and promtool accepts the rules."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.running_server import Served

RULES, DASHBOARD = "sizewise.rules.yml", "sizewise-dashboard.json"
NO_PROMTOOL = "promtool is not here; on Debian: apt install prometheus"
SUFFIXES = ("_bucket", "_sum", "_count", "_total")
NAME = re.compile(r"(?<![\w:])(sizewise_\w+|process_\w+)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found: Path = tmp_path_factory.mktemp("monitoring") / "files"
    assert sizewise("alerts", "files", str(found), home=found.parent).code == 0
    return found


def expressions(folder: Path) -> list[str]:
    panels = json.loads((folder / DASHBOARD).read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def promtool(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip(NO_PROMTOOL)
    return subprocess.run([program, *words], cwd=folder, capture_output=True, text=True)


def test_every_metric_of_rules_and_dashboard_is_one_that_a_server_shows(folder: Path, echo: Served) -> None:
    text = echo.ask("/metrics").body.decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    shown = {*kinds, *(f"{name}{end}" for name, kind in kinds.items() if kind == "histogram" for end in SUFFIXES)}
    used = set(NAME.findall((folder / RULES).read_text() + "\n".join(expressions(folder))))
    assert len(used) > 20 and used - shown == set()


@pytest.mark.long
def test_promtool_accepts_the_rules_and_each_expression_of_the_dashboard(folder: Path) -> None:
    done = promtool("check", "rules", RULES, folder=folder)
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout + done.stderr
    plain = [each.replace("$__rate_interval", "5m").replace("$job", ".*") for each in expressions(folder)]
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(plain)]
    (folder / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = promtool("check", "rules", "panels.yml", folder=folder)
    assert done.returncode == 0 and len(rules) > 25, done.stdout + done.stderr


@pytest.mark.long
def test_alerts_fire_and_keep_silent_as_promtools_unit_tests_say(folder: Path) -> None:
    shutil.copy(Path(__file__).parent / "alert_rules_test.yml", folder)
    done = promtool("test", "rules", "alert_rules_test.yml", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_files_that_were_changed_are_replaced_only_with_force(tmp_path: Path) -> None:
    made = sizewise("alerts", "files", str(tmp_path / "m"), "--json", home=tmp_path)
    assert [Path(each).name for each in made.json["files"]] == [RULES, DASHBOARD]
    assert sizewise("alerts", "files", str(tmp_path / "m"), home=tmp_path).code == 0, "the same files are no matter"
    (tmp_path / "m" / RULES).write_text("mine")
    refused = sizewise("alerts", "files", str(tmp_path / "m"), home=tmp_path)
    assert refused.code == 2 and "--force" in refused.err and (tmp_path / "m" / RULES).read_text() == "mine"
    assert sizewise("alerts", "files", str(tmp_path / "m"), "--force", home=tmp_path).code == 0
    assert (tmp_path / "m" / RULES).read_text() != "mine"
    (tmp_path / "file").write_text("")
    assert sizewise("alerts", "files", str(tmp_path / "file" / "m"), home=tmp_path).code == 3
