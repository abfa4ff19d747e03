"""What durability costs a step and a run, beside the same flow with steps in memory; SQLite in a home of its own.

python -m bench.flows.durable [--url postgresql+psycopg://...]
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from sizewise.app.services import Services, open_services
from sizewise.flows.engine import Steps
from sizewise.flows.engines.inline import InMemorySteps
from sizewise.flows.run_worker import RunExecution
from sizewise.principal import Principal

VERSION = "a" * 64
ROUNDS = 20
AT_ONCE = 100


async def walk(count: int, steps: Steps) -> bytes:
    async def work() -> bytes:
        return b'{"text": "forty characters, as a short answer has"}'

    for number in range(count):
        await steps.step(f"step{number}", work)
    return b"{}"


async def carry(started: RunExecution, steps: Steps) -> bytes:
    return await walk(json.loads(started.inputs)["steps"], steps)


async def plain(count: int) -> float:
    """Milliseconds of a run with its steps in memory."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await walk(count, InMemorySteps())
        times.append(time.perf_counter() - began)
    return median(times) * 1_000


async def durable(services: Services, principal: Principal, count: int) -> float:
    """The same, from `start` to its outputs."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await services.runs.starter.run_to_completion(principal, "bench", json.dumps({"steps": count}).encode())
        times.append(time.perf_counter() - began)
    return median(times) * 1_000


async def main(url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        services = open_services(Path(folder) / "home", url=url)
        runs, boss = services.runs, services.api_keys.authenticator.authenticate(services.admin_token)
        runs.worker.configure(carry)
        await services.flow_versions.save(boss, "default", "bench", VERSION, b"name: bench")
        await services.flow_versions.publish(boss, "default", "bench", VERSION)
        began = time.perf_counter()
        await runs.starter.run_to_completion(boss, "bench", b'{"steps": 1}')
        print(f"first run, with loading the engine   {(time.perf_counter() - began) * 1_000:8.0f} ms")
        none, ten, hundred = [await durable(services, boss, count) for count in (0, 10, 100)]
        free = await plain(100)
        print(f"a run without steps                  {none:8.1f} ms")
        print(f"a run of 10 steps                    {ten:8.1f} ms")
        print(f"a step more                          {(hundred - ten) / 90:8.2f} ms   (in memory {free / 100:.4f})")
        began = time.perf_counter()
        await asyncio.gather(*(runs.starter.run_to_completion(boss, "bench", b'{"steps": 10}') for _ in range(AT_ONCE)))
        took = time.perf_counter() - began
        print(f"{AT_ONCE} runs of 10 steps at once         {AT_ONCE / took:8.0f} runs/s")
        await runs.recovery.close()
        services.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[sys.argv.index("--url") + 1] if "--url" in sys.argv else ""))
