"""The log: levels by area, text or JSON, a rotated file, settings by reload; never a prompt and never a secret."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sizewise.settings.logs import LOG_AREAS
from sizewise.testing.upstream import FAULTS, FakeOpenAI
from tests.cli.terminal import sizewise
from tests.gateway.server_harness import CHAT, SECRET, misbehaving
from tests.gateway.server_harness import settings as faulty
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, KEY, Served, serving, until
from tests.walls.source import ROOT

PROMPT = "canary-prompt-9d41c7"
WRONG = "sk-canary-wrong-key-7b20"
LOGS = '\n[logs]\nlevel = "{level}"\nformat = "json"\nfile = "sizewise.log"\n'


def lines(server: Served) -> list[dict[str, Any]]:
    file = server.home / "sizewise.log"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def requests(server: Served) -> list[dict[str, Any]]:
    return [each for each in lines(server) if each["message"] == "request"]


def reloads(server: Served) -> int:
    return [each["message"] for each in lines(server)].count("the settings were reloaded")


def reload(server: Served, config: str) -> None:
    (server.home / "sizewise.toml").write_text(config)
    server.process.send_signal(signal.SIGHUP)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("logs"), ECHO + LOGS.format(level="info")) as served:
        yield served


def test_a_line_is_json_and_says_what_a_request_was_and_a_reload_changes_the_level(server: Served) -> None:
    answer = server.chat("echo/small", PROMPT)
    until(lambda: requests(server) != [])
    (line,) = requests(server)
    assert line["time"].endswith("Z") and (line["level"], line["area"]) == ("info", "gateway")
    assert (line["endpoint"], line["status"], line["model"]) == ("chat", 200, "echo/small")
    assert line["trace"] == answer.headers["x-sizewise-trace"] and line["input"] > 0
    reload(server, ECHO + LOGS.format(level="info") + '[logs.areas]\ngateway = "error"\n')
    until(lambda: "the settings were reloaded" in [each["message"] for each in lines(server)])
    server.chat("echo/small", PROMPT)
    graphql(server, "{ records(last: 1) { rows { trace } } }")
    assert requests(server) == [line]
    assert PROMPT not in (server.home / "sizewise.log").read_text()
    assert (server.home / "sizewise.log").stat().st_mode & 0o777 == 0o600


def test_each_logger_belongs_to_an_area_that_the_settings_know() -> None:
    texts = [file.read_text() for file in (ROOT / "sizewise").rglob("*.py")]
    packages = {name for text in texts for name in re.findall(r'getLogger\("sizewise\.(\w+)', text)}
    assert packages - {package for area in LOG_AREAS.values() for package in area} == set()


@pytest.mark.long
def test_settings_that_cannot_be_used_are_refused_and_the_old_ones_stay(server: Served) -> None:
    reload(server, ECHO + LOGS.format(level="info").replace("sizewise.log", "no/such/folder.log"))
    until(lambda: any("its folder does not exist" in each["message"] for each in lines(server)))
    seen, before = len(requests(server)), reloads(server)
    reload(server, ECHO + LOGS.format(level="info"))
    until(lambda: reloads(server) > before)
    server.chat("echo/small")
    until(lambda: len(requests(server)) == seen + 1)


@pytest.mark.long
def test_text_goes_to_stderr_and_an_area_has_a_level_of_its_own(tmp_path: Path) -> None:
    areas = '\n[logs]\nlevel = "error"\n[logs.areas]\n{area} = "info"\n'
    with misbehaving() as upstream:
        settings = faulty(upstream.url)
        with serving(tmp_path, settings + areas.format(area="gateway"), UPSTREAM_KEY=SECRET) as server:

            def seen(line: str) -> int:
                return sum(re.search(line, each) is not None for each in server.said)

            request, failure = r"^20\S+Z INFO gateway: request .*status=200 model=whole/well ", r"Z \w+ models: "
            server.chat("whole/broken", PROMPT)
            trace = server.chat("whole/well", PROMPT).headers["x-sizewise-trace"]
            until(lambda: seen(f"{request}.* trace={trace}") == 1)
            assert seen(failure) == 0
            reload(server, settings + areas.format(area="models"))
            until(lambda: server.chat("whole/broken", PROMPT).status != 200 and seen(failure) > 0)
            known = seen(request)
            server.chat("whole/well", PROMPT)
        assert seen(request) == known and seen(PROMPT) == seen(SECRET) == 0


@pytest.mark.long
def test_lines_of_a_file_on_a_full_disk_go_to_stderr_with_the_reason(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO + LOGS.format(level="info").replace("sizewise.log", "/dev/full")) as server:
        trace = server.chat("echo/small", PROMPT).headers["x-sizewise-trace"]
        until(lambda: trace in "".join(server.said))
        assert "cannot write the log '/dev/full': No space left on device\n" in server.said


@pytest.mark.long
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('[logs.areas]\nroutng = "debug"', "routing"),
        ('[logs]\nlevel = "loud"', "'debug', 'info', 'warning', 'error'"),
        ('[logs]\nfile = "no/such/folder.log"', "its folder does not exist"),
        ('[logs]\nfile = "."', "it is a folder"),
    ],
)
def test_a_mistake_in_the_settings_is_named_at_the_start(wrong: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text(f"{ECHO}\n{wrong}\n")
    done = sizewise("up", "--port", "0", home=tmp_path)
    assert done.code == 2 and said in done.err, done.err


@pytest.mark.long
def test_workers_write_whole_lines_into_one_file_that_is_rotated(tmp_path: Path) -> None:
    config = ECHO.replace("[server]", "[server]\nworkers = 2") + LOGS.format(level="info")
    with serving(tmp_path, f"{config}max_bytes = 3000\nkeep_files = 100\n") as server:
        with ThreadPoolExecutor(8) as pool:
            traces = {
                each.headers["x-sizewise-trace"] for each in pool.map(lambda _: server.chat("echo/small"), range(80))
            }
        files = list(server.home.glob("sizewise.log*"))
        lines = [line for file in files for line in file.read_text().splitlines()]
    logged = [json.loads(line) for line in lines]
    line_of_another = max(map(len, lines)) + 1  # may come between a look at the size and the line that still fits
    assert len(files) > 5 and all(file.stat().st_size <= 3000 + line_of_another for file in files)
    assert {each["trace"] for each in logged if each["message"] == "request"} == traces and len(traces) == 80
    assert len({each["pid"] for each in logged if each["message"] == "request"}) == 2


@pytest.mark.long
def test_a_file_that_logrotate_moved_away_is_made_anew_and_only_the_newest_are_kept(tmp_path: Path) -> None:
    with serving(tmp_path, f"{ECHO}{LOGS.format(level='info')}max_bytes = 1000\nkeep_files = 2\n") as server:
        for _ in range(20):
            server.chat("echo/small")
        assert sorted(file.name for file in tmp_path.glob("sizewise.log*")) == [
            f"sizewise.log{n}" for n in ("", ".1", ".2")
        ]
        (tmp_path / "sizewise.log").rename(tmp_path / "moved")
        server.chat("echo/small")
        assert len(requests(server)) == 1


@pytest.mark.long
def test_at_no_level_is_a_prompt_a_key_or_a_secret_in_the_log(tmp_path: Path) -> None:
    with misbehaving() as upstream:
        logged = at_every_front_door(upstream, tmp_path)
    for canary in (PROMPT, KEY, WRONG, SECRET):
        assert canary not in logged
    assert "request" in logged and "upstream" in logged


def at_every_front_door(upstream: FakeOpenAI, home: Path) -> str:
    """What is logged of requests that succeed, fail and are refused, on each API."""
    with serving(home, faulty(upstream.url) + LOGS.format(level="debug"), UPSTREAM_KEY=SECRET) as server:
        said = [{"role": "user", "content": PROMPT}]
        for fault in ("well", *(each for each in FAULTS if "hang" not in each and "slow" not in each)):
            server.ask(CHAT, {"model": f"whole/{fault}", "messages": said, "user": PROMPT})
        for cue in ("[[fail]]", "[[fail garbled]]", "[[nonsense]]"):
            server.chat("echo/small", f"{PROMPT} {cue}", stream=True)
        for path in (CHAT, "/v1/messages", "/v1/responses", "/v1/embeddings", "/v1/completions", "/graphql", "/mcp"):
            server.ask(path, PROMPT.encode())
            server.ask(path, {"model": "echo/small", "messages": said}, key=WRONG)
            server.ask(f"{path}?q={PROMPT}", {"model": PROMPT, "input": PROMPT, "messages": said, "max_tokens": 3})
        graphql(server, f'{{ explain(prompt: "{PROMPT}") {{ why }} nonsense }}')
        server.ask("/v1/responses", {"model": "echo/small", "input": PROMPT})
        file = "\n".join(json.dumps(line) for line in lines(server))
    return file + "".join(server.said)
