"""A real Prometheus, set up as `alerts files` says, scrapes a real server: alerts fire for a cause and end."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import textwrap
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from tests.cli.terminal import sizewise
from tests.running_server import ECHO, Served, serving, until

NO_PROMETHEUS = "prometheus is not here; on Debian: apt install prometheus"
BROKEN = 'sizewise_requests_total{status=~"5.."}'
CONFIG = f"""{ECHO}
[models."echo/small"]
price = {{input = "100", output = "100"}}
[models."echo/large"]
price = {{input = "0", output = "0"}}
"""


class Prometheus:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def answer(self, path: str, **query: str) -> Any:
        """Of its HTTP API; an empty object while it starts."""
        with contextlib.suppress(URLError, ConnectionError):
            address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
            with urllib.request.urlopen(address, timeout=30) as answer:
                return json.load(answer)["data"]
        return {}

    def alert(self, name: str, **labels: str) -> dict[str, Any]:
        """That one with these labels, or an empty object."""
        for each in self.answer("alerts").get("alerts", []):
            if each["labels"]["alertname"] == name and labels.items() <= each["labels"].items():
                return dict(each)
        return {}

    def value(self, query: str) -> float:
        """Sum of an instant vector, 0 if it is empty."""
        return sum(float(each["value"][1]) for each in self.answer("query", query=query).get("result", []))


def run(server: Served, *words: str) -> Any:
    done = sizewise(*words, "--json", "--home", str(server.home), "--config", str(server.home / "sizewise.toml"))
    assert done.code == 0, done.err
    return done.json


@contextlib.contextmanager
def scraping(server: Served, folder: Path) -> Iterator[Prometheus]:
    """Configured with the lines that `alerts files` shows; only the pace is ours."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip(NO_PROMETHEUS)
    shown = sizewise("alerts", "files", str(folder / "monitoring"), home=folder).out
    lines = shown.partition("prometheus.yml: ")[2].partition("the key:")[0]
    lines = textwrap.dedent(" " * len("  prometheus.yml: ") + lines)
    made = run(server, "keys", "create", "prometheus", "--permissions", "read_metrics")
    (folder / "key").write_text(made["secret"])
    lines = lines.replace("KEY_FILE", str(folder / "key"))
    lines = lines.replace("localhost:8080", server.url.removeprefix("http://"))
    (folder / "prometheus.yml").write_text(f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n{lines}")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    words = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    words += [f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("w") as log, subprocess.Popen(words, stdout=log, stderr=log) as process:
        try:
            yield Prometheus(port)
        finally:
            process.kill()


@pytest.mark.long
def test_a_real_prometheus_loads_the_rules_and_their_alerts_fire_for_a_cause_and_end(tmp_path: Path) -> None:
    with serving(tmp_path / "home", CONFIG) as server, scraping(server, tmp_path) as prometheus:
        until(lambda: [each["health"] for each in prometheus.answer("targets").get("activeTargets", [])] == ["up"])
        until(lambda: all(each["health"] == "ok" for each in rules(prometheus)) and rules(prometheus) != [])
        assert sum(each["type"] == "alerting" for each in rules(prometheus)) == 20
        assert not prometheus.alert("SizewiseErrorBudgetBurnsFast")

        server.chat("echo/small", "[[fail upstream]]")
        until(lambda: prometheus.value(BROKEN) == 1)  # a rate needs a first value
        server.chat("echo/small", "[[fail upstream]]")
        until(lambda: prometheus.alert("SizewiseErrorBudgetBurnsFast").get("state") == "firing")
        labels = {"alertname": "SizewiseErrorBudgetBurnsFast", "job": "sizewise", "severity": "page"}
        assert prometheus.alert("SizewiseErrorBudgetBurnsFast")["labels"] == labels

        run(server, "budgets", "set", "organization", "--usd-day", "0.1")
        spent = {"alertname": "SizewiseBudgetNearlySpent", "job": "sizewise", "severity": "ticket"}
        spent |= {"organization": "local", "scope": "organization", "window": "day"}
        while server.chat("echo/small", max_tokens=2).status == 200:  # until what is left is less than one more
            pass
        until(lambda: prometheus.alert("SizewiseBudgetNearlySpent").get("state") == "firing")
        found = prometheus.alert("SizewiseBudgetNearlySpent")
        assert found["labels"] == spent and "of organization for the day is spent" in found["annotations"]["summary"]

        def ended(name: str) -> bool:
            assert server.chat("echo/large").status == 200  # free, and dilutes the errors
            return not prometheus.alert(name)

        until(lambda: ended("SizewiseErrorBudgetBurnsFast"))
        run(server, "budgets", "set", "organization", "--usd-day", "1")
        until(lambda: ended("SizewiseBudgetNearlySpent"))

        server.process.terminate()
        until(lambda: prometheus.alert("SizewiseDown").get("state") == "pending")
        assert prometheus.alert("SizewiseDown")["labels"]["instance"] == server.url.removeprefix("http://")


def rules(prometheus: Prometheus) -> list[dict[str, Any]]:
    return [rule for group in prometheus.answer("rules").get("groups", []) for rule in group["rules"]]
