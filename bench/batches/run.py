"""Has a batch of 100,000 requests answered by an echo model, and kills its server three times; prints the pace.

`make bench-batches`, or `python -m bench.batches.run [--requests N] [--kills N] [--concurrency N]`. Ends with 1 if a
request has no result or two.
"""

from __future__ import annotations

import argparse
import json
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from openai import OpenAI

from tests.running_server import Served, serving

CONFIG = """
[server]
embedded = false
discover = false
[batches]
concurrency = {concurrency}
[providers.echo]
wire = "echo"
place = "process"
models = ["small"]
[models."echo/small"]
price = {{input = "1", output = "5"}}
"""
PICO_PER_DOLLAR = 1_000_000_000_000
ENDED = ("completed", "failed", "expired", "cancelled")


def asked(requests: int) -> Iterator[bytes]:
    for number in range(requests):
        body = {"model": "echo/small", "messages": [{"role": "user", "content": f"question {number} of many"}]}
        line = {"custom_id": f"q{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        yield json.dumps(line).encode() + b"\n"


def client_of(served: Served) -> OpenAI:
    return OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=2, timeout=120)


def done(client: OpenAI, id: str) -> tuple[str, int]:
    batch = client.batches.retrieve(id)
    counts = batch.request_counts
    return batch.status, 0 if counts is None else counts.completed + counts.failed


def run(requests: int, kills: int, concurrency: int, home: Path) -> dict[str, Any]:
    config, id, began, busy, backwards, last = CONFIG.format(concurrency=concurrency), "", perf_counter(), 0.0, 0, 0
    for kill in range(kills + 1):
        goal = requests * (kill + 1) // (kills + 1)
        with serving(home, config) as served, client_of(served) as client:
            if not id:
                file = client.files.create(file=("asked.jsonl", b"".join(asked(requests))), purpose="batch").id
                id = client.batches.create(
                    input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h"
                ).id
            since = perf_counter()
            while True:
                status, count = done(client, id)
                backwards += count < last
                last = count
                if status in ENDED or (kill < kills and count >= goal):
                    break
                sleep(0.25)
            busy += perf_counter() - since
            if kill < kills:
                served.process.send_signal(signal.SIGKILL)
                served.process.wait(30)
                continue
            batch: Any = client.batches.retrieve(id)
            text = client.files.content(batch.output_file_id).text
    ids = [json.loads(line)["custom_id"] for line in text.splitlines()]
    with closing(sqlite3.connect(home / "sizewise.db")) as database:
        records, cost = database.execute(
            "SELECT count(*), sum(cost) FROM records WHERE tags LIKE ? AND status = 200", (f"%{id}%",)
        ).fetchone()
    return {
        "requests": requests,
        "kills": kills,
        "status": batch.status,
        "results": len(ids),
        "twice": len(ids) - len(set(ids)),
        "missing": requests - len(set(ids)),
        "bar_went_back": backwards,
        "seconds": perf_counter() - began,
        "per_second": requests / busy,
        "batch_cost_usd": batch.sizewise["cost_usd"],
        "records": records,
        "records_cost_usd": f"{cost / PICO_PER_DOLLAR:.6f}",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=32)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-batches-", ignore_cleanup_errors=True) as folder:
        found = run(chosen.requests, chosen.kills, chosen.concurrency, Path(folder))
    for name, value in found.items():
        print(f"{name:18} {value:,.1f}" if isinstance(value, float) else f"{name:18} {value}")
    return int(bool(found["twice"] or found["missing"]))


if __name__ == "__main__":
    sys.exit(main())
