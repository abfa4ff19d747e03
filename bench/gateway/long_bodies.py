"""How long a body of megabytes keeps others waiting: the longest stall of /healthz while it is worked through.

`make bench-long`, or `python -m bench.gateway.long_bodies [--megabytes 1 8] [--repeat N] [--only CASE] [--json]`.
One client asks /healthz again and again, another sends one long request to each endpoint; the figure is the slowest
answer of /healthz beside it. On a machine that others use, the least of several repeats is nearest to what the gateway
itself does.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.gateway.peers import KEY, UPSTREAM_KEY
from bench.gateway.process import Program, free_port

UPSTREAM = "bench.gateway.long_upstream"
PROSE = "The quarter went well, and the 14 teams met their goals. Write to anna@example.org, or ask for room 7.\n"
CONFIG = """[server]
embedded = false
discover = false
max_body_bytes = {limit}

[guardrails]
pii = "mask"
secrets = "mask"
injection = "flag"
injection_sources = ["people", "tools"]
leakage = "flag"

[egress]
confidential = "anyone"

[providers.far]
base_url = "http://127.0.0.1:{upstream}/v1"
key = "env:BENCH_UPSTREAM_KEY"
models = ["chat", "embed"]

[models."far/embed"]
task = "embed"
"""
QUIET_S = 0.5
"""Seconds of /healthz alone before each request, for comparison."""


@dataclass(frozen=True, slots=True)
class Stall:
    """The slowest /healthz beside one request, and without one; times in ms."""

    case: str
    megabytes: float
    status: int
    took_ms: float
    stall_ms: float
    stall_p50_ms: float
    quiet_ms: float
    health_checks: int


def long_requests(size: int) -> Iterator[tuple[str, str, bytes]]:
    """(case, path, body) of each request with `size` bytes of text."""
    text = (PROSE * (size // len(PROSE) + 1))[:size]
    asked = [{"role": "user", "content": text}]
    said: Mapping[str, tuple[str, object]] = {
        "chat": ("/v1/chat/completions", {"model": "far/chat", "messages": asked}),
        "chat, stream": ("/v1/chat/completions", {"model": "far/chat", "messages": asked, "stream": True}),
        "messages": ("/v1/messages", {"model": "far/chat", "max_tokens": 100, "messages": asked}),
        "responses": ("/v1/responses", {"model": "far/chat", "input": text, "store": True}),
        "embeddings": ("/v1/embeddings", {"model": "far/embed", "input": [text[:8000]] * max(1, size // 8000)}),
        "chat, many messages": (
            "/v1/chat/completions",
            {"model": "far/chat", "messages": [{"role": "user", "content": PROSE}] * max(1, size // len(PROSE))},
        ),
        "chat, long reply": (
            "/v1/chat/completions",
            {"model": "far/chat", "messages": [{"role": "user", "content": "hi"}], "user": f"reply {size}"},
        ),
        "chat, long stream": (
            "/v1/chat/completions",
            {
                "model": "far/chat",
                "messages": [{"role": "user", "content": "hi"}],
                "user": f"reply {size}",
                "stream": True,
            },
        ),
        "chat, empty objects": (
            "/v1/chat/completions",
            {"model": "far/chat", "messages": [{"role": "user", "content": "hi"}], "extra": [{}] * (size // 4)},
        ),
        "refused": ("/v1/chat/completions", {"model": "far/chat", "messages": [{}] * (size // 4)}),
    }
    for case, (path, body) in said.items():
        yield case, path, json.dumps(body).encode()


class HealthChecks:
    """Asks /healthz on one connection again and again, in a thread."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._stopping = False
        self._thread = threading.Thread(target=self._run)
        self.took_ms: list[float] = []
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping:
            began = time.perf_counter()
            self._connection.request("GET", "/healthz")
            self._connection.getresponse().read()
            self.took_ms.append((time.perf_counter() - began) * 1e3)
            time.sleep(0.001)

    def stop(self) -> list[float]:
        self._stopping = True
        self._thread.join()
        self._connection.close()
        return self.took_ms


def stall(port: int, case: str, path: str, body: bytes) -> Stall:
    checks = HealthChecks(port)
    time.sleep(QUIET_S)
    quiet = checks.stop()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    checks = HealthChecks(port)
    time.sleep(0.05)
    began = time.perf_counter()
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    answer.read()
    took = time.perf_counter() - began
    beside = sorted(checks.stop())
    connection.close()
    return Stall(
        case,
        round(len(body) / 1e6, 1),
        answer.status,
        round(took * 1e3, 1),
        round(beside[-1], 1),
        round(beside[len(beside) // 2], 1),
        round(max(quiet), 1),
        len(beside),
    )


@contextmanager
def gateway(limit: int) -> Iterator[int]:
    """A running server with an upstream, on its port."""
    with tempfile.TemporaryDirectory(prefix="bench-long-", ignore_cleanup_errors=True) as name:
        folder, port, upstream_port = Path(name), free_port(), free_port()
        config = folder / "sizewise.toml"
        config.write_text(CONFIG.format(upstream=upstream_port, limit=limit))
        env = dict(os.environ) | {"SIZEWISE_KEY": KEY, "BENCH_UPSTREAM_KEY": UPSTREAM_KEY}
        cores = sorted(os.sched_getaffinity(0))
        command = (sys.executable, "-m", UPSTREAM, str(upstream_port))
        upstream = Program(command, env, folder / "upstream.log", cores[0])
        up = (sys.executable, "-m", "sizewise.cli.main", "up", "--port", str(port), "--home", str(folder / "home"))
        served = Program((*up, "--config", str(config)), env, folder / "gateway.log", *cores)
        try:
            upstream.ready(upstream_port, "/")
            served.ready(port, "/readyz")
            yield port
        finally:
            served.stop()
            upstream.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[1.0, 8.0])
    parser.add_argument("--repeat", type=int, default=1, help="keep the run with the shortest stall of so many")
    parser.add_argument("--only", nargs="+", default=[], metavar="CASE")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with gateway(int(max(asked.megabytes) * 2e6) + 1_000_000) as port:
        rows = []
        for megabytes in asked.megabytes:
            for case, path, body in long_requests(int(megabytes * 1e6)):
                if not asked.only or case in asked.only:
                    runs = [stall(port, case, path, body) for _ in range(asked.repeat)]
                    rows.append(min(runs, key=lambda run: run.stall_ms))
    if asked.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print("| request | MB | status | took ms | longest stall ms | median ms | without it ms | checks |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print("|", " | ".join(map(str, asdict(row).values())), "|")


if __name__ == "__main__":
    main()
