"""Flows that call each other without end are found by every check and stop no server, however many they are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizewise.errors import BadRequest, PathNotFound
from sizewise.flows.executor import CompiledFlows
from sizewise.flows.file_source import FlowFile, load_flow_files
from sizewise.flows.node_registry import NodeRegistry, NodeType
from sizewise.flows.validator import parse_flow_text
from sizewise.flows.versions.published_flow import PublishedFlow
from sizewise.settings.agents import AgentSettings
from tests.cli.terminal import sizewise
from tests.flows.flow_harness import FlowHarness
from tests.flows.in_process import KINDS
from tests.properties import examples
from tests.running_server import ECHO, Served, serving
from tests.timeouts import run_with_timeout

T = TypeVar("T")
Calls = dict[str, list[str]]
"""By flow what its nodes are: `b` for a subflow, `tool b`, or `agent b`, which may end in *."""


def node(call: str) -> str:
    kind, _, name = call.rpartition(" ")
    if kind == "tool":
        return f"{{kind: tool, tool: {name}}}"
    if kind == "agent":
        return f"{{kind: agent, task: go, tools: ['{name}']}}"
    if kind == "named":
        return f"{{kind: agent, task: go, agent: {name}}}"
    return f"{{kind: subflow, flow: '{name}'}}"


def text(name: str, calls: list[str], gives: str = "made") -> str:
    nodes = "".join(f"  c{number}: {node(call)}\n" for number, call in enumerate(calls))
    return f"name: {name}\nnodes:\n  t: {{kind: template, text: hi}}\n{nodes}outputs: {{{gives}: '{{{{ t.text }}}}'}}\n"


def folder(path: Path, calls: Calls) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, called in calls.items():
        (path / f"{name}.yaml").write_text(text(name, called))
    return path


class CountingNodes(NodeRegistry):
    """Counts by type the nodes that are compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.compiled: Counter[str] = Counter()

    def __call__(self, name: str) -> NodeType | None:
        self.compiled[name] += 1
        return super().__call__(name)


class StoredTexts:
    """A store of versions in memory that counts what is read of it."""

    def __init__(self, calls: Calls) -> None:
        self.generation = 0
        self.read: Counter[str] = Counter()
        self._texts: dict[tuple[str, str], str] = {}
        self._live: dict[str, str] = {}
        for name, called in calls.items():
            self.put(text(name, called))

    def put(self, text: str) -> None:
        spec = parse_flow_text(text).spec
        assert spec is not None
        self._texts[spec.name, spec.version] = text
        self._live[spec.name] = spec.version
        self.generation += 1

    def list_published(self, tenant: str = "", project: str = "") -> list[PublishedFlow]:
        return [self.get_published("t", "p", name) for name in sorted(self._live)]

    def get_published(self, tenant: str, project: str, name: str) -> PublishedFlow:
        if name not in self._live:
            raise PathNotFound(name)
        version = self._live[name]
        return PublishedFlow(tenant="t", project="p", name=name, version=version, at=0, key="", user="")

    async def resolve_version(self, tenant: str, project: str, name: str, version: str) -> str:
        return self.resolve_version_blocking(tenant, project, name, version)

    def resolve_version_blocking(self, tenant: str, project: str, name: str, version: str) -> str:
        return version or self.get_published(tenant, project, name).version

    def read_source_blocking(self, tenant: str, project: str, name: str, version: str) -> bytes:
        self.read[name] += 1
        if (name, version) not in self._texts:
            raise PathNotFound(name)
        return self._texts[name, version].encode()

    async def run_in_thread(self, work: Callable[[], T]) -> T:
        return work()


def listed(flows: CompiledFlows, store: StoredTexts) -> dict[str, str]:
    """By flow the error of a listing, as GraphQL, tools and the scheduler make it."""
    return {
        each.name: run_with_timeout(flows.describe("t", "p", each.name, each.version)).error
        for each in store.list_published()
    }


def findings(files: dict[str, FlowFile], kind: str) -> dict[str, list[str]]:
    found = {name: [each for each in file.validation.diagnostics if each.kind == kind] for name, file in files.items()}
    return {name: [each.message for each in its] for name, its in found.items() if its}


# ---- at the terminal, and at a server -------------------------------------------------------------------------------

THREE = {"a": ["b"], "b": ["c"], "c": ["tool a"], "alone": [], "over": ["a"]}
LISTING = "{ flows { name error description outputs { name } sideEffects } }"


def graphql(server: Served, query: str) -> dict[str, object]:
    answer = json.loads(server.ask("/graphql", {"query": query}).body)
    assert "errors" not in answer
    return dict(answer["data"])


def test_check_shows_each_flow_of_a_cycle_how_it_comes_back_to_itself(tmp_path: Path) -> None:
    path = folder(tmp_path / "flows", THREE)
    found = sizewise("flow", "check", home=tmp_path)
    assert found.code == 1
    assert found.out.splitlines() == [
        f"{path}/a.yaml:4:29: c0: these flows call each other without end: a → b → c → a",
        "    Remove one of these calls, or use a loop.",
        f"{path}/b.yaml:4:29: c0: these flows call each other without end: b → c → a → b",
        "    Remove one of these calls, or use a loop.",
        f"{path}/c.yaml:4:26: c0: these flows call each other without end: c → a → b → c",
        "    Remove one of these calls, or use a loop.",
    ]
    folder(path, {"a": ["a"]})
    assert "c0: the flow calls itself: a → a" in sizewise("flow", "check", "a", home=tmp_path).out


@pytest.mark.long
def test_a_server_whose_folder_has_a_cycle_serves_everything_else(tmp_path: Path) -> None:
    folder(tmp_path / "home" / "flows", THREE | {"me": ["me"]})
    for _ in range(2):  # also after a restart
        with serving(tmp_path / "home", ECHO) as server:
            assert graphql(server, "{ flows { name } }") == {"flows": [{"name": "alone"}, {"name": "over"}]}
            assert server.chat("flow:alone", "hi").status == 200
            assert "me → me" in server.ask("/readyz").body.decode()


@pytest.mark.long
def test_a_cycle_that_is_published_already_is_listed_as_broken_and_hangs_nothing(tmp_path: Path) -> None:
    stored = FlowHarness(tmp_path / "home")
    for name, calls in THREE.items():  # as an older version published them
        body = text(name, calls).encode()
        spec = parse_flow_text(body.decode()).spec
        assert spec is not None
        stored.do(stored.versions.save(stored.boss, "default", name, spec.version, body))
        stored.do(stored.versions.publish(stored.boss, "default", name, spec.version))
    stored.close()
    home = tmp_path / "home"
    with serving(home, ECHO) as server:
        flows = graphql(server, LISTING)["flows"]
        assert isinstance(flows, list)
        errors = {each["name"]: each["error"] for each in flows}
        cycle = "these flows call each other without end: a → b → c → a"
        assert errors["alone"] is None
        assert errors["a"] == f"the flow 'a' cannot run: {cycle}"
        assert {name for name, error in errors.items() if error} == {"a", "b", "c", "over"}
        assert server.chat("flow:alone", "hi").status == 200
        refused = server.chat("flow:over", "hi")
        assert refused.status == 400 and "call each other without end" in refused.error["message"]
        tools = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        answer = server.ask("/mcp", tools, accept="application/json, text/event-stream")
        assert '"alone"' in answer.body.decode() and '"over"' not in answer.body.decode()
        seen = sizewise("flow", "list", home=home)
        states = {line.split()[0]: line.split()[1] for line in seen.out.splitlines()[1:]}
        assert states == {"a": "broken", "alone": "not", "b": "broken", "c": "broken", "over": "broken"} | {
            "alone": "live"
        }
        assert "a → b → c → a" in seen.err

        admin = (home / "admin.token").read_text().strip()
        refused = server.ask("/graphql", publishing("c", ["a"]), key=admin)
        assert "c → a → b → c" in refused.body.decode()
        server.ask("/graphql", publishing("c", []), key=admin)  # the cycle is open, and all is well
        assert graphql(server, "{ flows { error } }") == {"flows": [{"error": None}] * 5}
        assert server.chat("flow:over", "hi").status == 200


def publishing(name: str, calls: list[str]) -> dict[str, object]:
    query = "mutation($text: String!) { publishFlow(text: $text) { new } }"
    return {"query": query, "variables": {"text": text(name, calls)}}


# ---- through tools and agents ---------------------------------------------------------------------------------------


def test_a_cycle_through_an_agent_is_a_warning_since_its_model_decides(tmp_path: Path) -> None:
    calls = {
        "plan": ["agent sear*"],
        "search": ["tool plan"],
        "help": ["named friend"],
        "other": ["agent plan", "agent nothing"],
    }
    agents = {"friend": AgentSettings(subagents=("second",)), "second": AgentSettings(tools=("help",))}
    files = load_flow_files(folder(tmp_path, calls), KINDS, agents=agents)
    assert findings(files, "mistake") == {}
    said = "an agent can call the flow that it runs in: "
    assert findings(files, "warning") == {
        "help": [f"{said}help → agent friend → agent second → help"],
        "plan": [f"{said}plan → tools sear* → search → plan"],
        "search": [f"{said}search → plan → tools sear* → search"],
    }
    store = StoredTexts(calls)
    flows = CompiledFlows(store, KINDS)
    assert set(listed(flows, store).values()) == {""}
    checked = run_with_timeout(flows.validate("t", "p", text("help", ["named friend"]), agents))
    assert [each.message for each in checked.diagnostics] == [f"{said}help → agent friend → agent second → help"]


def test_a_tool_that_is_no_flow_is_no_call_of_the_flow_with_its_name(tmp_path: Path) -> None:
    files = load_flow_files(folder(tmp_path, {"clock": ["tool clock"], "run_python": ["tool run_python"]}), KINDS)
    assert findings(files, "mistake") == {}
    checked = run_with_timeout(CompiledFlows(StoredTexts({}), KINDS).validate("t", "p", text("clock", ["tool clock"])))
    assert checked.flow is not None


def test_a_version_that_is_pinned_ends_a_cycle() -> None:
    store = StoredTexts({"a": []})
    version = store.get_published("t", "p", "a").version
    store.put(text("b", [f"a@{version}"]))
    store.put(text("a", ["b"]))
    assert set(listed(CompiledFlows(store, KINDS), store).values()) == {""}


def test_subflows_below_subflows_have_a_limit_that_does_not_depend_on_what_was_loaded_before(tmp_path: Path) -> None:
    chain = {f"f{number:02}": [f"f{number + 1:02}"] for number in range(17)} | {"f17": []}
    files = load_flow_files(folder(tmp_path, chain), KINDS)
    assert findings(files, "mistake") == {"f00": ["subflow calls are nested deeper than 16"]}
    for backwards in (False, True):
        store = StoredTexts(chain)
        flows = CompiledFlows(store, KINDS)
        for each in sorted(store.list_published(), key=lambda each: each.name, reverse=backwards):
            error = run_with_timeout(flows.describe("t", "p", each.name, each.version)).error
            assert ("deeper than 16" in error) is (each.name == "f00")


# ---- in linear time -------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_each_flow_is_read_and_compiled_once_in_chains_fans_cycles_and_ladders(tmp_path: Path) -> None:
    size = 40
    shapes: dict[str, Calls] = {
        "chain": {f"f{number}": [f"f{number + 1}"] for number in range(size)} | {f"f{size}": []},
        "cycle": {f"f{number}": [f"f{(number + 1) % size}"] * 3 for number in range(size)},
        "ladder": {f"f{number}": [f"f{number + 1}", f"f{number + 1}"] for number in range(size)} | {f"f{size}": ["no"]},
        "all": {f"f{number}": [f"f{other}" for other in range(20)] for number in range(20)},
        "agents": {f"f{number}": ["agent f*"] for number in range(size)},
    }
    for shape, calls in shapes.items():
        nodes = CountingNodes()
        load_flow_files(folder(tmp_path / shape, calls), nodes)
        assert nodes.compiled["template"] == len(calls), shape
        store, nodes = StoredTexts(calls), CountingNodes()
        flows = CompiledFlows(store, nodes)
        listed(flows, store)
        assert nodes.compiled["template"] <= len(calls), shape
        assert max(store.read.values()) <= 3, shape  # once to check it; a broken one once more to describe it
        before = nodes.compiled["template"]
        store.put(text("new", []))
        listed(flows, store)
        again = {"ladder": 1}.get(shape, 0)  # what its last flow lacked may be there now
        assert nodes.compiled["template"] == before + 1 + again, f"{shape}: nothing else has changed"


@pytest.mark.long
def test_a_thousand_flows_in_a_chain_are_no_recursion(tmp_path: Path) -> None:
    chain = {f"f{number:03}": [f"f{number + 1:03}"] for number in range(999)} | {"f999": ["f000"]}
    found = findings(load_flow_files(folder(tmp_path, chain), KINDS), "mistake")
    assert len(found) == 1_000
    assert found["f999"] == [
        "these flows call each other without end: "
        + " → ".join(["f999", *(f"f{number:03}" for number in range(9)), "…", "f999"])
    ]


NAMES = "abcdefg"
CALLS = ("", "", "tool ", "agent ")


@st.composite
def graphs(draw: st.DrawFn) -> Calls:
    called = st.lists(st.tuples(st.sampled_from(CALLS), st.sampled_from(NAMES)), max_size=3)
    names = NAMES[: draw(st.integers(1, len(NAMES)))]
    drawn = {name: draw(called) for name in names}
    return {name: [kind + other for kind, other in its if other in names] for name, its in drawn.items()}


def reached(calls: Calls, name: str, kinds: tuple[str, ...]) -> set[str]:
    """What its calls of these kinds lead to, by walking them one by one."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for call in calls[waiting.pop()]:
            kind, _, other = call.rpartition(" ")
            if kind in kinds and other not in found:
                found.add(other)
                waiting.append(other)
    return found


@pytest.mark.long
@examples(300)
@given(graphs())
def test_whatever_calls_whatever_exactly_the_flows_on_cycles_are_found(calls: Calls) -> None:
    certain = {name for name in calls if name in reached(calls, name, ("", "tool"))}
    possible = {name for name in calls if name in reached(calls, name, ("", "tool", "agent"))} - certain
    broken = {name for name in calls if certain & ({name} | reached(calls, name, ("",)))}
    with TemporaryDirectory() as path:
        files = load_flow_files(folder(Path(path), calls), KINDS)
    assert findings(files, "mistake").keys() == certain
    warned = findings(files, "warning")
    assert {name for name in warned if "an agent can call" in " ".join(warned[name])} == possible
    for name in certain:  # the path that is shown is one of calls, and comes back
        (said,) = findings(files, "mistake")[name]
        path_shown = said.rpartition(": ")[2].split(" → ")
        assert path_shown[0] == name and path_shown[-1] in path_shown[:-1]
        for caller, callee in pairwise(path_shown):
            assert callee in calls[caller] or f"tool {callee}" in calls[caller]

    store = StoredTexts(calls)
    flows = CompiledFlows(store, KINDS)
    assert {name for name, error in listed(flows, store).items() if error} == broken
    for name, called in calls.items():
        checked = run_with_timeout(flows.validate("t", "p", text(name, called)))
        assert (checked.flow is None) is (name in broken)


@pytest.mark.long
@examples(200)
@given(graphs(), st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=6))
def test_what_is_published_one_after_another_through_the_check_never_has_a_cycle(
    calls: Calls, changes: list[tuple[str, str]]
) -> None:
    store = StoredTexts({name: [] for name in NAMES})
    flows = CompiledFlows(store, KINDS)
    wanted = [*calls.items(), *((name, [other]) for name, other in changes)]
    for name, called in wanted:
        if run_with_timeout(flows.validate("t", "p", text(name, called))).flow is not None:
            store.put(text(name, called))
        assert set(listed(flows, store).values()) == {""}


def test_a_flow_is_compiled_again_when_one_that_it_calls_has_other_outputs() -> None:
    store = StoredTexts({"inner": []})
    store.put("name: outer\nnodes: {a: {kind: subflow, flow: inner}}\noutputs: {x: '{{ a.made }}'}\n")
    flows = CompiledFlows(store, KINDS)
    outer = store.get_published("t", "p", "outer").version
    load = partial(flows.load, "t", "p", "outer", outer)
    assert run_with_timeout(load()) is run_with_timeout(load())
    store.put(text("inner", [], gives="other"))
    with pytest.raises(BadRequest, match="has no 'made'"):
        run_with_timeout(load())
    store.put(text("inner", [], gives="made"))
    assert run_with_timeout(load()).name == "outer"
