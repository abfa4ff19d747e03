"""A flow as a tool: a run that calls it waits as long as its person takes; another program waits ten minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sizewise.flows.as_tools import FlowTools
from sizewise.flows.engine import Steps
from sizewise.flows.toolsets import CLIENT_TIMEOUT_S, exported_toolset
from sizewise.handler import Request
from sizewise.knowledge.base_summary import BaseSummary
from sizewise.knowledge.results import SearchResponse
from sizewise.principal import Principal
from sizewise.settings.load import Settings
from sizewise.settings.storage import FlowsSettings
from sizewise.tools.tool import ToolInvocation, ToolOutput
from tests.flows.flow_harness import FlowHarness
from tests.flows.test_triggers import published
from tests.running_server import until

FLOW = """
name: asks
nodes: {asked: {kind: approve, question: "Go on?"}}
outputs: {note: "{{ asked.note }}"}
"""


class NoKnowledge:
    """A KnowledgeSearch without bases."""

    async def bases(self, principal: Principal) -> list[BaseSummary]:
        return []

    async def search(self, request: Request, name: str, query: str, *, limit: int = 5) -> SearchResponse:
        return SearchResponse(())


async def waits(steps: Steps, floor: FlowHarness) -> bytes:
    return await steps.wait("asked") or b"{}"


async def calls(steps: Steps, floor: FlowHarness) -> bytes:
    run = next(each.run.id for each in floor.started if each.run.flow == "calls")

    async def work() -> bytes:
        result = await called(floor, flow_tools(floor), f"{run}:call")
        return msgspec.json.encode(result.text)

    return b'{"said": %b}' % await steps.step("call", work)


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[FlowHarness]:
    made = FlowHarness(tmp_path / "home", FlowsSettings(allow_self_approval=True))
    try:
        made.plays["asks"] = waits
        made.do(published(made.services, FLOW))
        yield made
    finally:
        made.close()


def flow_tools(floor: FlowHarness, timeout_s: float | None = None) -> FlowTools:
    return FlowTools(floor.versions, floor.services.compiled_flows, floor.runs.starter, timeout_s=timeout_s)


async def called(floor: FlowHarness, tools: FlowTools, key: str = "") -> ToolOutput:
    (tool,) = [each for each in await tools.tools(floor.boss) if each.name == "asks"]
    return await tool.call(ToolInvocation({}, floor.boss, key))


async def decided(floor: FlowHarness, tools: FlowTools) -> ToolOutput:
    """The result of a call that a person decides."""
    calling = asyncio.ensure_future(called(floor, tools))
    while not (waiting := await floor.runs.approval.list_waiting(floor.boss)):
        await asyncio.sleep(0.01)
    assert not calling.done()
    await floor.runs.approval.decide(floor.boss, waiting[0].run.id, "asked", True, "go on")
    return await calling


def test_a_call_waits_for_the_person_that_its_run_asks(floor: FlowHarness) -> None:
    result = floor.do(decided(floor, flow_tools(floor)))
    assert not result.failed and "go on" in result.text


def test_a_call_that_takes_longer_than_its_timeout_is_stopped_with_its_run(floor: FlowHarness) -> None:
    result = floor.do(called(floor, flow_tools(floor, 0.5)))
    assert result.failed and result.text == "the tool did not respond within 0.5 s and was stopped"
    runs = floor.do(floor.runs.queries.list_runs(floor.boss, flow="asks"))
    assert {run.state for _, run in runs} <= {"cancelled"}


@pytest.mark.long
def test_a_call_goes_on_waiting_after_a_restart_of_the_server(floor: FlowHarness) -> None:
    floor.play("calls", calls)
    run = floor.start("calls")
    until(lambda: floor.do(floor.runs.approval.list_waiting(floor.boss)))
    floor.again()
    until(lambda: len(floor.runs.active.runs) == 2)
    [waiting] = floor.do(floor.runs.approval.list_waiting(floor.boss))
    floor.do(floor.runs.approval.decide(floor.boss, waiting.run.id, "asked", True, "go on"))
    assert floor.ended(run).state == "done"
    assert b"go on" in (floor.do(floor.runs.queries.get_value(floor.boss, run.id)) or b"")


def test_only_other_programs_have_a_timeout(floor: FlowHarness) -> None:
    async def timeout(internal: bool) -> float | None:
        flows, knowledge = floor.services.compiled_flows, NoKnowledge()
        tools = exported_toolset(Settings(), floor.versions, flows, floor.runs.starter, knowledge, internal=internal)
        (tool,) = await tools.select(["asks"], floor.boss)
        return tool.timeout_s

    assert floor.do(timeout(internal=True)) is None
    assert floor.do(timeout(internal=False)) == CLIENT_TIMEOUT_S
