"""Measures rollbacks in which a server that serves is killed; the figures never pass or fail a run.

`make bench-releases-killed`, or `python -m bench.releases.killed [--rollbacks N] [--rate R] [--json]`. Two servers and
one Postgres, as bench/releases/run.py. Each round applies a release, asks for the rollback, and kills one of the
servers (`kill -9`) up to half a second later: the one that was asked, or the other, in turns. A rollback that was not
answered is asked for again at the server that lives, unless it was done. Then the dead server starts again. What it had
in hand is lost to its clients, and counted as cut. Ends with 1 if a request was lost at the server that lives, or if
the dead one came back with the release that was taken back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

from bench.releases.run import BODY, CONFIG, change, load, saved_releases, shared_database, until_settled
from tests.running_server import Served, serving

LATEST_KILL_S = 0.5
ROLLBACK = 'mutation { rollbackRelease(environment: "prod") { name } }'
LIVE = "{ environments { name live { release } } }"


class KillableServer:
    """A server that is started again on its home."""

    served: Served

    def __init__(self, home: Path, environ: dict[str, str]) -> None:
        self._home, self._environ = home, environ
        self._running = ExitStack()

    def start(self) -> None:
        self.served = self._running.enter_context(serving(self._home, CONFIG, **self._environ))

    def kill(self) -> None:
        self.served.process.kill()
        self.served.process.wait()

    def close(self) -> None:
        self._running.close()

    def release(self) -> str:
        """Which one answers a request."""
        return self.served.ask("/v1/chat/completions", json.loads(BODY)).headers.get("x-sizewise-release", "")


@dataclass
class Result:
    """`repeated`: rollbacks that were asked for again. `wrong_starts`: dead servers that came back with what was taken
    back. Milliseconds.
    """

    rollbacks: int
    requests: int = 0
    lost: int = 0
    cut: int = 0
    repeated: int = 0
    wrong_starts: int = 0
    p50_ms: float = 0.0
    max_ms: float = 0.0


async def roll_back(asked: Served, living: Served, bad: str, result: Result) -> None:
    with suppress(OSError, HTTPException):
        await change(asked, ROLLBACK)
        return
    key = (living.home / "admin.token").read_text().strip()
    answer: Any = (await asyncio.to_thread(lambda: living.ask("/graphql", {"query": LIVE}, key=key))).json
    if answer["data"]["environments"][0]["live"]["release"] == bad:
        result.repeated += 1
        await change(living, ROLLBACK)


async def measure(servers: list[KillableServer], good: str, bad: str, rollbacks: int, rate: float) -> Result:
    result, took, chance = Result(rollbacks), list[float](), Random(1)
    apply = f'mutation {{ applyRelease(environment: "prod", release: "{bad}") {{ name }} }}'
    for number in range(rollbacks):
        dying = number % 2
        dead, living = servers[dying], servers[1 - dying].served
        asked = (dead.served, living)[number // 2 % 2]
        async with load([each.served for each in servers], living.key, rate) as seen:
            await until_settled(seen, good)
            await change(living, apply)
            await until_settled(seen, bad)
            begun = perf_counter()
            rolling = asyncio.create_task(roll_back(asked, living, bad, result))
            await asyncio.sleep(chance.uniform(0.0, LATEST_KILL_S) * (0.1 if asked is dead.served else 1.0))
            await asyncio.to_thread(dead.kill)
            await rolling
            await until_settled(seen, good)
        took.append(1e3 * max(0.0, max(sent for sent, _, release in seen.answers if release == bad) - begun))
        result.requests += len(seen.answers) + len(seen.lost)
        result.lost += sum(server != dying for server, _ in seen.lost)
        result.cut += sum(server == dying for server, _ in seen.lost)
        await asyncio.to_thread(dead.close)
        await asyncio.to_thread(dead.start)
        result.wrong_starts += await asyncio.to_thread(dead.release) != good
        print(f"{number + 1} of {rollbacks}: {took[-1]:.0f} ms", file=sys.stderr, flush=True)
    took.sort()
    result.p50_ms, result.max_ms = took[len(took) // 2], took[-1]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollbacks", type=int, default=20)
    parser.add_argument("--rate", type=float, default=100.0, help="Requests a second, of both servers together.")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    homes = ("one", "other")
    with shared_database(homes) as (folder, environ), ExitStack() as stack:
        servers = [KillableServer(folder / each, environ) for each in homes]
        for each in servers:
            stack.callback(each.close)
            each.start()
        good, bad = saved_releases(servers[0].served)
        result = asyncio.run(measure(servers, good, bad, asked.rollbacks, asked.rate))
    shown = {name: round(getattr(result, name), 1) for name in Result.__dataclass_fields__}
    print(json.dumps(shown) if asked.json else "\n".join(f"{name:12} {value}" for name, value in shown.items()))
    sys.exit(1 if result.lost or result.wrong_starts else 0)


if __name__ == "__main__":
    main()
