"""Measures a server whose OTLP collector accepts and never answers; the figures never pass or fail a run.

`make bench-collector`, or `python -m bench.storage.hanging_collector [--seconds N] [--rate R]`. Requests come at a
steady rate while the collector hangs. Then it works again, and the spans of all of them are waited for and counted.
"""

from __future__ import annotations

import argparse
import gzip
import json
import socket
import tempfile
import threading
import time
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from bench.storage.run import resident_mb
from tests.running_server import ECHO, Served, serving

ROWS = 10
"""Of the table."""
SETTLED_S = 10


class Collector(BaseHTTPRequestHandler):
    """Keeps the ids of spans, and how many came twice."""

    seen: set[str] = set()  # one collector a process
    twice = 0

    def do_POST(self) -> None:
        body = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
        for resource in json.loads(body)["resourceSpans"]:
            for span in resource["scopeSpans"][0]["spans"]:
                Collector.twice += span["spanId"] in Collector.seen
                Collector.seen.add(span["spanId"])
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


def ask(server: Served, seconds: float, rate: float) -> list[tuple[float, float, int]]:
    """Seconds, MB and requests, some times."""
    address = urlsplit(server.url)
    connection = HTTPConnection(address.hostname or "", address.port or 0)
    body = json.dumps({"model": "echo/small", "messages": [{"role": "user", "content": "Hello"}]})
    headers = {"authorization": f"Bearer {server.key}", "content-type": "application/json"}
    begun, count, rows = time.monotonic(), 0, list[tuple[float, float, int]]()
    while (now := time.monotonic() - begun) < seconds:
        connection.request("POST", "/v1/chat/completions", body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        count += 1
        if now >= SETTLED_S + len(rows) * (seconds - SETTLED_S) / ROWS:
            rows.append((now, resident_mb(server.process.pid), count))
        time.sleep(max(0.0, count / rate - (time.monotonic() - begun)))
    rows.append((seconds, resident_mb(server.process.pid), count))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rate", type=float, default=50, help="requests a second")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, closing(socket.create_server(("127.0.0.1", 0), backlog=512)) as hung:
        port = hung.getsockname()[1]
        config = f'{ECHO}\n[otlp]\nendpoint = "http://127.0.0.1:{port}"\nplace = "machine"\n'
        with serving(Path(folder), config) as server:
            rows = ask(server, given.seconds, given.rate)
            print("| s | MB | requests |\n|---|---|---|")
            for at, size, count in rows:
                print(f"| {at:.0f} | {size:.1f} | {count:,} |")
            lag = [
                line for line in server.ask("/metrics").body.decode().splitlines() if line.startswith("sizewise_otlp")
            ]
            print("\n".join(lag))
            hung.close()
            working = ThreadingHTTPServer(("127.0.0.1", port), Collector)
            threading.Thread(target=working.serve_forever, daemon=True).start()
            wanted, begun = 2 * rows[-1][2], time.monotonic()
            while len(Collector.seen) < wanted and time.monotonic() - begun < given.seconds:
                time.sleep(0.2)
            took = time.monotonic() - begun
            print(
                f"{len(Collector.seen):,} of {wanted:,} spans after {took:.0f} s, {Collector.twice} of them twice; ",
                end="",
            )
            print(f"{resident_mb(server.process.pid):.1f} MB")
            working.shutdown()


if __name__ == "__main__":
    main()
