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

from sizewise.flows.compiled_flow import Flow
from sizewise.flows.dag_runner import run
from sizewise.flows.engines.inline import Memory
from sizewise.flows.node import Means
from sizewise.flows.node_registry import Kinds
from sizewise.flows.validator import check
from sizewise.handler import Ask, Send, Text
from sizewise.messages import Chat, Choice, Reply, Usage
from sizewise.principal import Caller

NODES = 300
ROUNDS = 7


async def answer(ask: Ask, send: Send) -> Reply:
    """A model that knows the answer already."""
    await send(Text(0, "yes"))
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


def checked(text: str) -> Flow:
    found = check(text, Kinds())
    assert found.flow is not None, found.findings
    return found.flow


async def once(flow: Flow, q: Any) -> None:
    ask = Ask(Chat("", [], {}), Caller(), "0" * 32, time.perf_counter())
    await run(flow, {"q": q}, id="r", ask=ask, steps=Memory(), means=Means(answer))


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
    templates, asks = checked(chain("template")), checked(chain("ask"))
    beside, each = checked(wide("template")), checked(many(8))
    bare = timed(lambda: plain(NODES), NODES)
    rows = {
        "a chain of templates": timed(lambda: once(templates, "hi"), NODES),
        "templates side by side": timed(lambda: once(beside, "hi"), NODES),
        "a chain of asks": timed(lambda: once(asks, "hi"), NODES),
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
