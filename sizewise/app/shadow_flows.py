"""Flows of a canary's shadow run: which are left out, since a node of theirs may act; runs none."""

from __future__ import annotations

from sizewise.app.application import Application
from sizewise.app.environments import Environments
from sizewise.errors import SizewiseError
from sizewise.flows.acting_nodes import first_acting_node
from sizewise.releases.environments.environment_store import Place

MAX_NAMED = 10


async def acting_node_of(environments: Environments[Application], place: Place, hash: str, flow: str) -> str:
    """Of a release's flow: the first node that may act; empty: none. Raises SizewiseError if it has no such flow."""
    app = await environments.application(place[0], place[1], hash)
    parts = app.resources.release
    assert parts is not None
    return await first_acting_node(parts.flows, parts.compiled, place[0], place[1], flow)


async def left_out(environments: Environments[Application], place: Place, hash: str) -> list[str]:
    """A sentence for each flow that the shadow run leaves out. Raises SizewiseError if the release cannot be built."""
    app = await environments.application(place[0], place[1], hash)
    parts, found = app.resources.release, list[str]()
    for each in parts.flows.list_published(place[0], place[1]) if parts is not None else ():
        try:
            node = await acting_node_of(environments, place, hash, each.name)
        except SizewiseError:  # it can no longer run, and its answers say so
            continue
        if node:
            found.append(f"The shadow run leaves out the flow {each.name!r}: its node {node} may act.")
    more = len(found) - MAX_NAMED
    return [*found[:MAX_NAMED], *([f"It leaves out {more} more flows."] if more > 0 else [])]
