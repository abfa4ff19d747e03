"""A process that runs flows of ten steps, to be killed and paused: told what to do by lines of JSON, and answers so.

What is carried is a list of steps and no flow, so that what is tested is the engine alone. Every step that is asked
leaves a line in `asked`; one that is to be held waits until the file `gate` is there.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sizewise.app.services import Services, open_services
from sizewise.flows.engine import Steps
from sizewise.flows.run_worker import RunExecution
from sizewise.flows.step_store import retry_until_stored
from sizewise.jobs.periodic_tasks import PeriodicTasks
from sizewise.principal import Principal
from sizewise.settings.load import Settings
from sizewise.settings.storage import EncryptionSettings, FlowsSettings
from tests.running_server import until

STEPS = 10
VERSION = "a" * 64


class Work:
    """The carrier. `folder` holds `asked` and `gate`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __call__(self, started: RunExecution, steps: Steps) -> bytes:
        wanted = json.loads(started.inputs)
        gave = [await self._step(started.run.id, wanted, steps, number) for number in range(STEPS)]
        if "wait" in wanted:
            told = await steps.wait("wait", json.dumps({"asks": wanted["wait"]}).encode(), wanted.get("timeout"))
            gave.append(None if told is None else json.loads(told))
        if "sleep" in wanted:
            await steps.sleep("sleep", wanted["sleep"])
        return json.dumps({"gave": gave}).encode()

    async def _step(self, run: str, wanted: dict[str, Any], steps: Steps, number: int) -> Any:
        async def work() -> bytes:
            with (self._folder / "asked").open("a") as file:
                file.write(f"{run} {number} {os.getpid()}\n")
            while number == wanted.get("hold") and not (self._folder / "gate").exists():
                await asyncio.sleep(0.01)
            if number == wanted.get("fail") and not (self._folder / "gate").exists():
                raise ValueError("as asked")
            return json.dumps(os.getpid()).encode()

        return json.loads(await steps.step(f"step{number}", work))


async def serve(home: Path, folder: Path, url: str) -> None:
    encryption, flows = EncryptionSettings(key="env:WORKING_VAULT"), FlowsSettings(allow_self_approval=True)
    settings = Settings(encryption=encryption, flows=flows)
    services = open_services(home, settings, url=url)
    services.runs.worker.configure(Work(folder))
    boss = services.api_keys.authenticator.authenticate(services.admin_token)
    principal = Principal(key_id=boss.key_id, permissions=boss.permissions, all_projects=True)
    tending = asyncio.create_task(PeriodicTasks().run(services.runs.recovery.periodic_tasks()))
    loop = asyncio.get_running_loop()
    print("ready", flush=True)  # noqa: T201 - its parent reads it
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        said = json.loads(line)
        done = await retry_until_stored(partial(handle_command, services, principal, said.pop("do"), said))
        print(json.dumps(done), flush=True)  # noqa: T201 - its parent reads it
    tending.cancel()
    await services.runs.recovery.close()
    services.close()


async def handle_command(services: Services, principal: Principal, what: str, said: dict[str, Any]) -> Any:
    runs = services.runs
    match what:
        case "publish":
            await services.flow_versions.save(principal, "default", "ten", VERSION, b"name: ten")
            await services.flow_versions.publish(principal, "default", "ten", VERSION)
            return None
        case "start":
            return (await runs.starter.start(principal, "ten", json.dumps(said).encode())).id
        case "look":
            await services.flow_versions.refresh()
            return bool(services.flow_versions.list_published())
        case "going":
            return len(runs.active.runs)
        case "steps":
            return [
                json.loads(await runs.queries.get_value(principal, said["run"], step.key) or b"0")
                for step in await runs.queries.list_steps(principal, said["run"])
            ]
        case "states":
            return {run.id: run.state for _, run in await runs.queries.list_runs(principal, limit=1_000)}
        case "value":
            found = await runs.queries.get_value(principal, said["run"])
            return None if found is None else json.loads(found)
        case "decide":
            await runs.approval.decide(principal, said["run"], "wait", True, said["word"])
            return None
        case other:
            raise ValueError(other)


class Worker:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._reading = threading.Thread(target=lambda: self.said.extend(process.stderr or ()), daemon=True)
        self._reading.start()

    def do(self, what: str, **how: object) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": what, **how}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "".join(self.said)
        return json.loads(line)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def working(home: Path, folder: Path, url: str = "") -> Iterator[Worker]:
    command = [sys.executable, "-m", "tests.flows.worker_process", str(home), str(folder), url]
    pipe = subprocess.PIPE
    env = {**os.environ, "WORKING_VAULT": base64.b64encode(b"k" * 32).decode()}
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env)
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    worker = Worker(process)
    try:
        assert process.stdout.readline(), "".join(worker.said)
        yield worker
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        worker._reading.join(60)
        process.stdout.close()
        process.stderr.close()


def asked(folder: Path) -> Counter[tuple[str, int]]:
    """How often each step of each run was asked."""
    lines = (folder / "asked").read_text().splitlines() if (folder / "asked").exists() else []
    return Counter((run, int(number)) for run, number, _ in map(str.split, lines))


def done(worker: Worker, ids: list[str], seconds: float = 20) -> None:
    until(lambda: all(worker.do("states")[id] == "done" for id in ids), seconds, 0.1)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
