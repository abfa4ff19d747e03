"""Measures a Worker in raw workerd: size, cold start, what it adds to a request, and many streams at once.

`make bench-edge`, or `python -m bench.edge.run [--requests N] [--streams N]`. Needs workerd (make check-edge). The
provider is a double on this machine. Requests go in turns through the Worker, through a Worker that only passes them
on, and to the double alone; what is added is the median of the differences of such a round. Never measured through
`wrangler dev`, which is thirty times slower.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from urllib.request import urlopen

from sizewise.edge.worker_folder import RELEASE, RUNTIME
from tests.edge.running_worker import WORKERD, free_port, upstream, wait_for, worker
from tests.running_server import KEY

SETTINGS = """
[server]
discover = false
embedded = false
[providers.up]
base_url = "{url}"
models = ["plain", "counted"]
[models."up/plain".price]
input = "0.1"
output = "0.2"
[models."up/counted".price]
input = "1"
output = "2"
[policies.default]
kind = "cheapest"
"""
EMPTY = """
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main)],
  sockets = [(name = "http", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "empty.mjs", esModule = embed "empty.mjs")],
  compatibilityDate = "2026-11-01",
);
"""
BARE = """
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "internet", network = (allow = ["public", "private", "local"])),
  ],
  sockets = [(name = "http", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "bare.mjs", esModule = embed "bare.mjs")],
  compatibilityDate = "2026-11-01",
  globalOutbound = "internet",
);
"""
PASS_ON = "export default {{ fetch: (request) => fetch('{url}/chat/completions', request) }};"
WORDS = "Please write to ada@example.org about the order of last week. " * 3


async def ask(port: int, path: str, model: str, *, stream: bool = False) -> float:
    """Seconds until the last byte, on a connection of its own."""
    body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": WORDS}]}).encode()
    begun = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n"
    writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    answered = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in answered.partition(b"\r\n")[0], answered
    if stream:
        await reader.readuntil(b"[DONE]")
    else:
        length = answered.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
    writer.close()
    return time.perf_counter() - begun


async def rounds(port: int, bare: int, up: int, count: int) -> list[tuple[float, float, float]]:
    """Milliseconds through the Worker, through the one that passes on, and to the double alone."""
    path, found = "/v1/chat/completions", list[tuple[float, float, float]]()
    for _ in range(count):
        mine = await ask(port, path, "auto")
        passed = await ask(bare, path, "plain")
        found.append((mine * 1e3, passed * 1e3, await ask(up, path, "plain") * 1e3))
    return found


async def streams(port: int, count: int) -> float:
    """Seconds until as many streams as that, begun at once, are complete."""
    begun = time.perf_counter()
    await asyncio.gather(*(ask(port, "/v1/chat/completions", "auto", stream=True) for _ in range(count)))
    return time.perf_counter() - begun


@contextlib.contextmanager
def passing_on(folder: Path, url: str) -> Iterator[int]:
    """The port of a Worker that knows nothing but the double."""
    folder.mkdir()
    (folder / "config.capnp").write_text(BARE)
    (folder / "bare.mjs").write_text(PASS_ON.format(url=url))
    port = free_port()
    argv = [str(WORKERD), "serve", "--experimental", f"--socket-addr=http=127.0.0.1:{port}", "config.capnp"]
    process = subprocess.Popen(argv, cwd=folder)
    try:
        wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def first_answer(folder: Path) -> tuple[float, float]:
    """Milliseconds from the start of workerd to its first answer, and of that first request alone."""
    port = free_port()
    argv = [str(WORKERD), "serve", "--experimental", f"--socket-addr=http=127.0.0.1:{port}", "config.capnp"]
    begun = time.perf_counter()
    process = subprocess.Popen(argv, cwd=folder)
    try:
        while not _listens(port):
            time.sleep(0.001)
        asked = time.perf_counter()
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as answer:
            answer.read()
        end = time.perf_counter()
        return (end - begun) * 1e3, (end - asked) * 1e3
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def cold_start(folder: Path, empty: Path, times: int) -> list[tuple[float, float, float]]:
    """Milliseconds, the medians and the fastest: of the process with the Worker until its first answer; what the Worker
    adds there to a process with an empty Worker, which is its isolate's own cold start; and of its first request. In
    turns.
    """
    empty.mkdir()
    (empty / "config.capnp").write_text(EMPTY)
    (empty / "empty.mjs").write_text("export default { fetch: () => new Response('ok') };")
    pairs = [(first_answer(folder), first_answer(empty)) for _ in range(times)]
    mine, others, first = zip(*((one, other, its) for (one, its), (other, _) in pairs), strict=True)
    usual = (median(mine), median(one - other for one, other in zip(mine, others, strict=True)), median(first))
    return [usual, (min(mine), min(mine) - min(others), min(first))]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--streams", type=int, default=1_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, upstream() as url:
        folder = Path(place)
        up = int(url.rsplit(":", 1)[1].partition("/")[0])
        with worker(folder, SETTINGS.format(url=url)) as edge, passing_on(folder / "bare", url) as bare:
            port = int(edge.url.rsplit(":", 1)[1])
            asyncio.run(rounds(port, bare, up, 50))
            found = asyncio.run(rounds(port, bare, up, asked.requests))
            load = os.getloadavg()[0]
            seconds = asyncio.run(streams(port, asked.streams))
        built = folder / "build/edge"
        size = sum(len(gzip.compress((built / name).read_bytes())) for name in (RUNTIME, RELEASE))
        starts = cold_start(built, folder / "empty", 15)
    print(f"runtime and release: {size / 1000:.1f} kB, gzipped")
    for what, (start, own, first) in zip(("in the median", "at the fastest"), starts, strict=True):
        print(f"start of workerd until its first answer: {start:.0f} ms {what}, {own:.0f} of them the isolate's own")
        print(f"first request of a fresh isolate: {first:.1f} ms {what}")
    through, passed, alone = (median(each) for each in zip(*found, strict=True))
    over, more = median(one - other for one, _, other in found), median(one - other for one, other, _ in found)
    print(f"load {load:.1f}; medians of {len(found)}: {through:.2f} ms, {passed:.2f} passed on, {alone:.2f} alone")
    print(f"added: {over:.2f} ms to a request, of which {over - more:.2f} by any Worker and {more:.2f} by this one")
    print(f"{asked.streams} streams at once: all complete in {seconds:.1f} s")


if __name__ == "__main__":
    main()
