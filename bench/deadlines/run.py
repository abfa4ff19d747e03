"""How many deadlines of a mixed load a server meets, refuses at once or misses; prints the table of README.md.

    python -m bench.deadlines.run            # two echo models with a fixed pace
    python -m bench.deadlines.run --local    # the local models that are downloaded

Each client sends one request after the other, with an answer length and a deadline drawn from the seed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import quantiles

ECHO = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
headers = {cues = "[[slow 0.1]] [[pace 0.01]] [[echo/large: slow 0.3]] [[echo/large: pace 0.04]]"}
models = ["small", "large"]
[models."echo/small"]
parameters = 135_000_000
logprobs = true
slots = 2
price = {input = "0", output = "0"}
[models."echo/large"]
parameters = 1_500_000_000
logprobs = true
slots = 2
price = {input = "0", output = "0"}
[policies.default]
kind = "cascade"
"""
LOCAL = "[server]\ndiscover = false\n"
TARGETS = {False: ("auto", "echo/small", "echo/large"), True: ("auto", "small", "large")}
DEADLINES_MS = {False: (300, 700, 1_500, 3_000, 6_000), True: (2_000, 4_000, 8_000, 16_000, 32_000)}
LENGTHS = (4, 12, 30, 60)  # words of the answer of an echo, `max_tokens` of a local model
DISTRUSTED = 0.3  # share of the small echo's answers that are not trusted, so that the large one has to follow
LATE_MS = 50  # a client's own delay that still counts as met
AT_ONCE_MS = 250  # a refusal within this counts as at once


@dataclass(frozen=True, slots=True)
class Outcome:
    deadline_ms: int
    status: int
    ms: float

    @property
    def kind(self) -> str:
        if self.status == 200:
            return "met" if self.ms <= self.deadline_ms + LATE_MS else "missed"
        return "refused" if self.status in (422, 429) and self.ms <= AT_ONCE_MS else "missed"


@contextmanager
def server(settings: str) -> Iterator[tuple[int, str]]:
    """Port and key of a `sizewise up` with a home of its own."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    key = f"sk-{secrets.token_hex(16)}"
    with tempfile.TemporaryDirectory() as home:
        Path(home, "sizewise.toml").write_text(settings)
        env = {**os.environ, "SIZEWISE_KEY": key}
        words = [sys.executable, "-m", "sizewise.cli.main", "up", "--home", home, "--port", str(port)]
        process = subprocess.Popen(words, env=env, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until_ready(port)
            yield port, key
        finally:
            process.terminate()
            process.wait(60)


def wait_until_ready(port: int) -> None:
    until = time.monotonic() + 600
    while time.monotonic() < until:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    sys.exit("the server did not start")


def ask(connection: HTTPConnection, key: str, target: str, draw: random.Random, local: bool) -> Outcome:
    deadline, length = draw.choice(DEADLINES_MS[local]), draw.choice(LENGTHS)
    if local:
        text = f"Write {length} words about {draw.choice(('rain', 'bread', 'bees', 'chess', 'Rome'))}."
    else:
        text = " ".join(["word"] * length)
        text += " [[echo/small: logprob -9]]" if draw.random() < DISTRUSTED else ""
    body = {"model": target, "messages": [{"role": "user", "content": text}], "max_tokens": length}
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    headers["x-sizewise-max-ms"] = str(deadline)
    began = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    answer.read()
    return Outcome(deadline, answer.status, (time.perf_counter() - began) * 1_000)


def load(port: int, key: str, target: str, options: argparse.Namespace) -> list[Outcome]:
    found: list[Outcome] = []

    def client(number: int) -> None:
        draw, connection = random.Random(f"{options.seed} {target} {number}"), HTTPConnection("127.0.0.1", port)
        for _ in range(options.requests // options.clients):
            found.append(ask(connection, key, target, draw, options.local))

    clients = [threading.Thread(target=client, args=(number,)) for number in range(options.clients)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    return found


def rows(target: str, found: list[Outcome]) -> Iterator[str]:
    for deadline in [*sorted({each.deadline_ms for each in found}), 0]:
        mine = [each for each in found if not deadline or each.deadline_ms == deadline]
        count = {kind: sum(each.kind == kind for each in mine) for kind in ("met", "refused", "missed")}
        refused = [each.ms for each in mine if each.kind == "refused"]
        p95 = f"{quantiles(refused, n=20)[-1]:.0f} ms" if len(refused) > 1 else "-"
        kept = 1 - count["missed"] / len(mine)
        admitted = count["met"] + count["missed"]
        met = f"{count['met'] / admitted:.1%}" if admitted else "-"
        yield (
            f"| {target} | {f'{deadline:,} ms' if deadline else 'all'} | {len(mine)} | {count['met']} | "
            f"{count['refused']} | {count['missed']} | {met} | {kept:.1%} | {p95} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--local", action="store_true", help="the local models that are downloaded")
    parser.add_argument("--requests", type=int, default=400, help="for each target [400]")
    parser.add_argument("--clients", type=int, default=6, help="at once [6]")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("| model | deadline | requests | met | refused | missed | met of admitted | met or refused | refusal p95 |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    with server(LOCAL if options.local else ECHO) as (port, key):
        for target in TARGETS[options.local]:
            for row in rows(target, load(port, key, target, options)):
                print(row, flush=True)


if __name__ == "__main__":
    main()
