"""What running costs a node, without durability and without a model, beside plain Python that does the same.

python -m bench.flows.overhead [--json FILE]
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import msgspec

from sizewise.flows.compiled_flow import CompiledFlow
from sizewise.flows.dag_runner import run_flow
from sizewise.flows.engines.inline import InMemorySteps
from sizewise.flows.node import NodeDependencies
from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.validator import validate_flow
from sizewise.handler import Request, Send, TextDelta
from sizewise.messages import ChatRequest, Choice, Reply, Usage
from sizewise.principal import Principal

NODES = 300
ROUNDS = 7


async def answer(request: Request, send: Send) -> Reply:
    """A model that knows the answer already."""
    await send(TextDelta(0, "yes"))
    return Reply((Choice(0, "yes", "stop"),), Usage(1, 1), "none")


def chain(kind: str) -> str:
    """Each node leans on the one before it."""
    parameter = "text" if kind == "template" else "prompt"
    nodes = [f'  n0: {{kind: {kind}, {parameter}: "{{{{ inputs.q }}}}"}}']
    nodes += [f'  n{n}: {{kind: {kind}, {parameter}: "{{{{ n{n - 1}.text }}}}"}}' for n in range(1, NODES)]
    return (
        "name: x\ninputs: {q: text}\nnodes:\n"
        + "\n".join(nodes)
        + f'\noutputs: {{out: "{{{{ n{NODES - 1}.text }}}}"}}\n'
    )


def wide(kind: str) -> str:
    """No node leans on another."""
    parameter = "text" if kind == "template" else "prompt"
    nodes = [f'  n{n}: {{kind: {kind}, {parameter}: "{{{{ inputs.q }}}}"}}' for n in range(NODES)]
    return "name: x\ninputs: {q: text}\nnodes:\n" + "\n".join(nodes) + '\noutputs: {out: "{{ n0.text }}"}\n'


def many(at_once: int) -> str:
    body = 'nodes: {one: {kind: template, text: "{{ item }}!"}}\n    outputs: "{{ one.text }}"'
    head = 'name: x\ninputs: {q: json}\nnodes:\n  all:\n    kind: each\n    items: "{{ inputs.q }}"\n'
    return f"{head}    at_once: {at_once}\n    {body}\noutputs: {{out: '{{{{ all.results | length }}}}'}}\n"


def checked(text: str) -> CompiledFlow:
    found = validate_flow(text, NodeRegistry())
    assert found.flow is not None, found.diagnostics
    return found.flow


async def once(flow: CompiledFlow, q: Any) -> None:
    request = Request(ChatRequest("", [], {}), Principal(), "0" * 32, time.perf_counter())
    await run_flow(
        flow,
        {"q": q},
        id="r",
        request=request,
        steps=InMemorySteps(),
        dependencies=NodeDependencies(answer),
    )


async def plain(nodes: int) -> None:
    """The same without a flow: awaits, formats, encodes and decodes."""

    async def work(text: str) -> bytes:
        return msgspec.json.encode({"text": f"{text}", "value": None})

    found = {"text": "hi"}
    for _ in range(nodes):
        found = msgspec.json.decode(await work(found["text"]))


def timed(work: Callable[[], Awaitable[None]], nodes: int) -> float:
    """Microseconds of CPU a node, the median of some rounds after one for nothing."""

    async def rounds() -> list[float]:
        await work()
        spent = []
        for _ in range(ROUNDS):
            began = time.process_time()
            await work()
            spent.append(time.process_time() - began)
        return spent

    return median(asyncio.run(rounds())) / nodes * 1e6


def main(arguments: list[str]) -> None:
    items = list(range(10_000))
    templates, requests = checked(chain("template")), checked(chain("ask"))
    beside, each = checked(wide("template")), checked(many(8))
    bare = timed(lambda: plain(NODES), NODES)
    rows = {
        "a chain of templates": timed(lambda: once(templates, "hi"), NODES),
        "templates side by side": timed(lambda: once(beside, "hi"), NODES),
        "a chain of asks": timed(lambda: once(requests, "hi"), NODES),
        "each, 10,000 items of one node": timed(lambda: once(each, items), len(items)),
    }
    began = time.process_time()
    for _ in range(ROUNDS):
        checked(chain("ask"))
    checking = (time.process_time() - began) / ROUNDS * 1e3
    print(f"plain Python: {bare:.1f} us a step")
    for name, us in rows.items():
        print(f"{name}: {us:.1f} us CPU a node, {us / bare:.0f} times plain Python, {1e6 / us:,.0f} nodes/s")
    print(f"checking {NODES} nodes: {checking:.0f} ms")
    if "--json" in arguments:
        with open(arguments[arguments.index("--json") + 1], "w") as file:
            json.dump({"plain_us": bare, "us_a_node": rows, "check_ms": checking}, file, indent=1)


if __name__ == "__main__":
    main(sys.argv[1:])
