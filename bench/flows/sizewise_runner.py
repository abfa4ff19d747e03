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
from bench.gateway.floors import BASE
from sizewise import __version__
from sizewise.app.application import House, build
from sizewise.app.resources import Means
from sizewise.app.services import Keeper
from sizewise.catalog.loader import cards
from sizewise.evals.shadow_traffic import Shadows
from sizewise.flows.compiled_flow import Flow
from sizewise.flows.dag_runner import run
from sizewise.flows.engines.inline import Memory
from sizewise.flows.node import Means as Reach
from sizewise.flows.node_registry import Kinds
from sizewise.flows.validator import check
from sizewise.handler import Ask, quiet
from sizewise.messages import Chat
from sizewise.principal import Caller
from sizewise.providers.local.models import Locals
from sizewise.providers.wires.openai.request_response import read_request
from sizewise.settings.load import load
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

    def __init__(self, keeper: Keeper, house: House) -> None:
        self._runs = keeper.runs
        self._boss: Caller = keeper.accounts.keys.caller(keeper.admin)
        self._answer = house.answer
        self._flows: dict[str, Flow] = {}
        self._question, _ = read_request(msgspec.json.encode(QUESTION))

    async def publish(self) -> None:
        for graph in ("chain", "fan", "each"):
            for kind in graphs.KINDS:
                text = graphs.text(graph, kind)
                found = check(text, Kinds())
                assert found.flow is not None, found.findings
                flow = self._flows[f"{graph}-{kind}"] = found.flow
                await self._runs.shelf.keep(self._boss, "default", flow.name, flow.version, text.encode())
                await self._runs.shelf.publish(self._boss, "default", flow.name, flow.version)

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
            reply = await self._answer(Ask(self._question, self._boss, "0" * 32, time.perf_counter()), quiet)
            assert reply.text == "hi.", reply
            return
        name, inputs = f"{asked.graph}-{asked.kind}", {"q": graphs.inputs(asked.graph)}
        if asked.way == "durable":
            outputs = json.loads(await self._runs.ask(self._boss, name, json.dumps(inputs).encode()))
        else:
            ask = Ask(Chat("", [], {}), self._boss, "0" * 32, time.perf_counter())
            means = Reach(self._answer)
            outputs = (await run(self._flows[name], inputs, id=name, ask=ask, steps=Memory(), means=means)).outputs
        assert outputs["out"] == graphs.right(asked.graph), (asked, outputs)


@asynccontextmanager
async def walker(home: Path) -> AsyncIterator[Walker]:
    home.mkdir(exist_ok=True)
    (home / "sizewise.toml").write_text(BASE)
    settings = load(home / "sizewise.toml", home)
    with Keeper(home, settings.records) as keeper:
        metrics = Metrics(keeper.waiting)
        means = Means(keeper, metrics, Locals(), Shadows(keeper.watch, metrics))
        house = build(settings, means, cards(settings))
        house.apply()
        made = Walker(keeper, house)
        await made.publish()
        yield made
        await keeper.runs.close()


async def main(folder: Path) -> None:
    async with walker(folder / "home") as made:
        names = [f"Sizewise {__version__}", f"DBOS {version('dbos')}", f"Python {platform.python_version()}"]
        print(json.dumps(names), flush=True)
        while line := sys.stdin.readline():
            took = await made.walked(msgspec.json.decode(line, type=Asked))
            print(msgspec.json.encode(took).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
