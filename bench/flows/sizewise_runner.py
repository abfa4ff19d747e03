"""Runs the flow bench's graphs on Sizewise: one line in, one line out; `FOLDER` is its home.

A line names a graph, the kind of its nodes, the way (`memory`, or `durable`: a run of the keeper's), how many runs are
under way at once and for how long. The answer: how many runs ended, each with the right outputs, and what they took.
"""

from __future__ import annotations

import asyncio
import json
import platform
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.flows import graphs
from bench.gateway.feature_cost import BASE
from sizewise import __version__
from sizewise.app.application import Application, build_application
from sizewise.app.resources import Resources
from sizewise.app.services import Services, open_services
from sizewise.catalog.loader import load_cards
from sizewise.evals.shadow_traffic import ShadowComparisons
from sizewise.flows.compiled_flow import CompiledFlow
from sizewise.flows.dag_runner import run_flow
from sizewise.flows.engines.inline import InMemorySteps
from sizewise.flows.node import NodeDependencies
from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.validator import validate_flow
from sizewise.handler import Request, discard_events
from sizewise.messages import ChatRequest
from sizewise.principal import Principal
from sizewise.providers.local.models import LocalModels
from sizewise.providers.wires.openai.request_response import read_request
from sizewise.settings.load import load_settings
from sizewise.telemetry.metrics import Metrics

QUESTION = {"model": "echo/tiny", "messages": [{"role": "user", "content": "hi."}]}


class Asked(Struct, frozen=True):
    """`seconds`: no run begins after them; those under way are waited for."""

    graph: str
    kind: str
    way: str
    at_once: int
    seconds: float


class Took(Struct, frozen=True):
    """`cpu_s`: of the whole process, all its threads."""

    runs: int
    wall_s: float
    cpu_s: float


class Walker:
    """A house with everything on, and the flows of the bench."""

    def __init__(self, services: Services, app: Application) -> None:
        self._runs, self._versions = services.runs, services.flow_versions
        self._boss: Principal = services.api_keys.authenticator.authenticate(services.admin_token)
        self._answer = app.handler
        self._flows: dict[str, CompiledFlow] = {}
        self._question, _ = read_request(msgspec.json.encode(QUESTION))

    async def publish(self) -> None:
        for graph in ("chain", "fan", "each"):
            for kind in graphs.KINDS:
                text = graphs.text(graph, kind)
                found = validate_flow(text, NodeRegistry())
                assert found.flow is not None, found.diagnostics
                flow = self._flows[f"{graph}-{kind}"] = found.flow
                await self._versions.save(self._boss, "default", flow.name, flow.version, text.encode())
                await self._versions.publish(self._boss, "default", flow.name, flow.version)

    async def walked(self, asked: Asked) -> Took:
        runs = 0
        began, spent = time.perf_counter(), time.process_time()

        async def runner() -> None:
            nonlocal runs
            while True:
                await self._once(asked)
                runs += 1
                if time.perf_counter() - began >= asked.seconds:
                    return

        await asyncio.gather(*(runner() for _ in range(asked.at_once)))
        return Took(runs, time.perf_counter() - began, time.process_time() - spent)

    async def _once(self, asked: Asked) -> None:
        if asked.graph == "none":
            reply = await self._answer(
                Request(self._question, self._boss, "0" * 32, time.perf_counter()),
                discard_events,
            )
            assert reply.text == "hi.", reply
            return
        name, inputs = f"{asked.graph}-{asked.kind}", {"q": graphs.inputs(asked.graph)}
        if asked.way == "durable":
            outputs = json.loads(
                await self._runs.starter.run_to_completion(self._boss, name, json.dumps(inputs).encode())
            )
        else:
            request = Request(ChatRequest("", [], {}), self._boss, "0" * 32, time.perf_counter())
            resources = NodeDependencies(self._answer)
            outputs = (
                await run_flow(
                    self._flows[name],
                    inputs,
                    id=name,
                    request=request,
                    steps=InMemorySteps(),
                    dependencies=resources,
                )
            ).outputs
        assert outputs["out"] == graphs.right(asked.graph), (asked, outputs)


@asynccontextmanager
async def walker(home: Path) -> AsyncIterator[Walker]:
    home.mkdir(exist_ok=True)
    (home / "sizewise.toml").write_text(BASE)
    settings = load_settings(home / "sizewise.toml", home)
    with open_services(home, settings) as services:
        metrics = Metrics(services.records.queue_counts)
        resources = Resources(
            services=services,
            metrics=metrics,
            local_models=LocalModels(),
            shadow_tasks=ShadowComparisons(services.quality_monitor, metrics),
        )
        app = build_application(settings, resources, load_cards(settings))
        app.apply()
        made = Walker(services, app)
        await made.publish()
        yield made
        await services.runs.recovery.close()


async def main(folder: Path) -> None:
    async with walker(folder / "home") as made:
        names = [f"Sizewise {__version__}", f"DBOS {version('dbos')}", f"Python {platform.python_version()}"]
        print(json.dumps(names), flush=True)
        while line := sys.stdin.readline():
            took = await made.walked(msgspec.json.decode(line, type=Asked))
            print(msgspec.json.encode(took).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
