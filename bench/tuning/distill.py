"""`sizewise tune distill` with a real training: from a server's own answers to a tuned rung of a ladder, end to end.

    python -m bench.tuning.distill [--home DIR] [--answers 800]

The task is depots.py, and a double that knows it is the large model. It needs `sizewise tune setup` and the packaged
models. Run it again to go on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.tuning import depots
from sizewise.testing.upstream import FakeOpenAI, FaultResponder
from tests.cli.terminal import sizewise
from tests.gateway.server_harness import beside
from tests.running_server import Served, serving, until

CONFIG = """
[server]
discover = false
[learn]
keep = "text"
[local]
slots = 1
context = 2048
[providers.up]
base_url = "{url}"
place = "machine"
models = ["large"]
"""
QUESTION: Any = {
    "type": "choice",
    "instructions": depots.INSTRUCTIONS,
    "choices": [{"value": name} for name in depots.TOWNS],
}
SEED = 1
ASKED_AFTERWARDS = 100


class Knows(FakeOpenAI):
    """Answers by the truth."""

    truth = dict([*depots.rows(4_000, SEED, test=False), *depots.rows(400, SEED, test=True)])

    def fault(self, model: str) -> FaultResponder:
        return self._answer

    async def _answer(self, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        ((name, _),) = body["response_format"]["json_schema"]["schema"]["properties"].items()
        said = json.dumps({name: self.truth[body["messages"][-1]["content"]]})
        message = {"role": "assistant", "content": said}
        usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
        shown = {"id": "up", "object": "chat.completion", "created": 1, "model": "large", "usage": usage}
        raw = json.dumps(shown | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(raw)
        writer.write(head + raw)
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path("distill-bench"))
    parser.add_argument("--answers", type=int, default=800)
    parser.add_argument("--preset", default="standard")
    given = parser.parse_args()
    environ = {"SIZEWISE_CACHE": os.environ["SIZEWISE_CACHE"]} if "SIZEWISE_CACHE" in os.environ else {}
    with (
        beside(lambda: Knows(port_of(given.home))) as up,
        serving(given.home.absolute(), CONFIG.format(url=up.url), **environ) as server,
    ):
        learn(server, given.answers)
        words = [sys.executable, "-m", "sizewise", "tune", "distill", "up/large", "--preset", given.preset]
        env = {**os.environ, "SIZEWISE_URL": server.url, "SIZEWISE_KEY": server.key}
        done = subprocess.run([*words, "--home", str(server.home)], env=env, check=False)
        print(f"ended with {done.returncode}", flush=True)
        if done.returncode == 0:
            ask(server)


def port_of(home: Path) -> int:
    """The double's of the run before: another address is another reference, and ends a certificate. 0: any."""
    settings = home / "sizewise.toml"
    found = re.search(r'base_url = "http://127.0.0.1:(\d+)', settings.read_text()) if settings.exists() else None
    return 0 if found is None else int(found[1])


def decision(server: Served) -> Any:
    found = sizewise("decisions", "--json", home=server.home).json["decisions"]
    return found[0] if found else {"answers": 0}


def learn(server: Served, count: int) -> None:
    for text, _ in depots.rows(count, SEED, test=False)[decision(server)["answers"] :]:
        answer = server.ask("/v1/decisions", {"model": "up/large", "input": text, "questions": [QUESTION]})
        assert answer.status == 200, answer.body
    until(lambda: decision(server)["answers"] >= count)


def ask(server: Served) -> None:
    """Messages with towns in pairs that were never seen, by the rung that answered."""
    rungs, right = list[str](), 0
    for text, depot in depots.rows(ASKED_AFTERWARDS, SEED, test=True):
        answer: Any = server.ask("/v1/decisions", {"model": "up/large", "input": text, "questions": [QUESTION]}).json
        rungs.append(answer["sizewise"]["rungs"][0])
        right += answer["answers"][0]["choice"] == depot
    told = ", ".join(f"{name} {rungs.count(name)}" for name in sorted(set(rungs)))
    print(f"{len(rungs)} new messages: {told}; {right} right")


if __name__ == "__main__":
    main()
