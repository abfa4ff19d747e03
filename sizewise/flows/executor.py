"""Carries runs: a version of a flow is checked once, then walked through with what the house offers to its nodes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from time import perf_counter

import msgspec

from sizewise.errors import BadRequest, Forbidden, SizewiseError
from sizewise.flows.compiled_flow import Flow
from sizewise.flows.dag_runner import run
from sizewise.flows.engine import Steps
from sizewise.flows.node import Means, Signature
from sizewise.flows.node_registry import Kinds
from sizewise.flows.run_service import Started
from sizewise.flows.tables import CLASS
from sizewise.flows.validator import Checked, check
from sizewise.flows.versions.store import Shelf
from sizewise.handler import Ask
from sizewise.messages import Chat

DOOR = "flow"
NOBODYS = Chat("", [], {})
HELD = 500
"""Checked flows in memory; the ones longest unused go first."""
DEEPEST = 16
"""Flows that run flows."""


class Library:
    """Versions of flows, checked: by name for whoever runs one within another (nodes' Library). Safe from any thread;
    outlives Houses."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._kinds: Kinds | None = None
        self._held: OrderedDict[tuple[str, str, str, str], Flow] = OrderedDict()
        self._turn = threading.Lock()

    async def version(self, ask: Ask, name: str) -> str:
        flow, _, version = name.partition("@")
        caller = ask.caller
        if caller.scope is not None and caller.scope.flows and flow not in caller.scope.flows:
            raise Forbidden(f"this key may not use the flow {flow[:100]!r}", "ask for one that may")
        return await self._shelf.meant(caller.tenant, caller.project, flow, version)

    async def flow(self, ask: Ask, name: str, version: str) -> Flow:
        return await self.checked(ask.caller.tenant, ask.caller.project, name, version)

    async def checked(self, tenant: str, project: str, name: str, version: str) -> Flow:
        """Raises UnknownPath, BadRequest where it has mistakes by now (a flow it runs, or a kind, is gone)."""
        return await self._shelf.off(partial(self._checked, tenant, project, name, version, 0))

    async def looked(self, tenant: str, project: str, text: str) -> Checked:
        """A text that may become a version: the flow, or all that is wrong with it."""
        return await self._shelf.off(partial(self._looked, tenant, project, text, 0))

    def _looked(self, tenant: str, project: str, text: str, depth: int) -> Checked:
        self._kinds = self._kinds or Kinds()
        return check(text, self._kinds, partial(self._other, tenant, project, depth))

    def _checked(self, tenant: str, project: str, name: str, version: str, depth: int) -> Flow:
        place = (tenant, project, name, version)
        with self._turn:
            if place in self._held:
                self._held.move_to_end(place)
                return self._held[place]
        text = self._shelf.read(tenant, project, name, version).decode()
        found = self._looked(tenant, project, text, depth)
        if found.flow is None:
            first = next(each for each in found.findings if each.kind == "mistake")
            raise BadRequest(f"the flow {name!r} cannot run: {first.message}", first.hint)
        with self._turn:
            self._held[place] = found.flow
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        return found.flow

    def _other(self, tenant: str, project: str, depth: int, name: str) -> Signature | None:
        flow, _, version = name.partition("@")
        if depth >= DEEPEST:
            return None
        try:
            whole = version or self._shelf.live(tenant, project, flow).version
            return self._checked(tenant, project, flow, whole, depth + 1).signature
        except SizewiseError:
            return None


class Carrier:
    """Runs' `carry`, with the means of one house."""

    def __init__(self, library: Library, means: Means) -> None:
        self._library = library
        self._means = replace(means, library=library)

    async def __call__(self, started: Started, steps: Steps) -> bytes:
        its = started.run
        flow = await self._library.checked(its.tenant, its.project, its.flow, its.version)
        ask = Ask(NOBODYS, started.caller, started.trace or its.id, perf_counter(), started.wishes, DOOR)
        inputs = msgspec.json.decode(started.inputs, type=dict)
        means, send, now = self._means, started.send, started.now
        outcome = await run(flow, inputs, id=its.id, ask=ask, steps=steps, means=means, send=send, now=now)
        closely = msgspec.json.encode(outcome.data_class)

        async def told() -> bytes:
            return closely

        if outcome.data_class is not None:  # for whoever called it as a tool, and goes on with what it gave
            await steps.step(CLASS, told)
        return msgspec.json.encode(outcome.outputs)
