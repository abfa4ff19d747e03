"""A checked flow runs: side by side where it can, skipped where a branch said so, its words streaming as they come."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sizewise.errors import BadRequest, BudgetExceeded, SizewiseError, UpstreamTimeout, UpstreamUnreachable
from sizewise.flows.compiled_flow import CompiledFlow
from sizewise.flows.engines.inline import InMemorySteps
from sizewise.flows.language.types import TEXT
from sizewise.flows.node import FlowSignature, NodeDependencies
from sizewise.handler import AttemptFinished, ModelSelected, Request, RequestOptions, Send, TextDelta
from sizewise.messages import Reply
from tests import virtual_time
from tests.flows.in_process import KINDS, Ran, checked, flow, going, ran
from tests.growth import check_linear
from tests.timeouts import HANG_S, run_with_timeout

SUPPORT = """
name: support
inputs: {question: text, steps: {type: {list: text}, default: [a, b, c]}}
nodes:
  kind_of: {kind: classify, text: "{{ inputs.question }}", labels: [refund, other]}
  route: {kind: branch, value: "{{ kind_of.label }}", cases: [refund]}
  refund: {kind: ask, after: route.refund, prompt: "refund {{ inputs.question }}"}
  note: {kind: template, text: "of {{ refund.text }}"}
  normal: {kind: ask, after: route.else, prompt: "normal {{ inputs.question }}"}
outputs:
  answer: "{{ refund.text or normal.text }}"
  note: "{{ note.text }}"
"""


def test_a_branch_chooses_and_what_leans_on_the_other_way_is_skipped() -> None:
    chosen = ran(SUPPORT, {"question": "hello there"})
    assert chosen.outputs == {"answer": "refund hello there", "note": "of refund hello there"}
    assert chosen.states("skipped") == {"normal": "skipped"}
    other = ran(SUPPORT.replace("cases: [refund]", "cases: [other]").replace("route.refund", "route.other"),
                {"question": "hello there"})  # fmt: skip
    assert other.outputs == {"answer": "normal hello there", "note": None}
    assert other.states("skipped") == {"refund": "skipped", "note": "skipped"}


def test_the_words_of_the_node_that_answers_stream_as_they_come() -> None:
    seen = ran(SUPPORT, {"question": "hello there"})
    assert seen.words == ["refund", " hello", " there"]
    kinds = [type(each) for each in seen.events]
    assert kinds.index(ModelSelected) < kinds.index(TextDelta) < len(kinds) - 1 - kinds[::-1].index(AttemptFinished)
    assert [each.model[:13] for each in seen.events if isinstance(each, ModelSelected)] == ["flow:support@"]
    assert sum(isinstance(each, AttemptFinished) for each in seen.events) == 2 == seen.outcome.model_calls
    assert seen.outcome.usage.input == sum(trace.usage.input for trace in seen.traces if trace.state == "done")


def test_an_answer_that_no_model_says_comes_in_one_piece() -> None:
    text = SUPPORT.replace('"{{ refund.text or normal.text }}"', '"Dear you: {{ refund.text or normal.text }}"')
    assert ran(text, {"question": "hello"}).words == ["Dear you: refund hello"]


def test_what_stands_behind_the_words_of_a_model_is_said_when_they_have_ended() -> None:
    text = SUPPORT.replace('"{{ refund.text or normal.text }}"', '"{{ refund.text or normal.text }}\\n\\nNo advice."')
    seen = ran(text, {"question": "hello there"})
    assert seen.words == ["refund", " hello", " there", "\n\nNo advice."]
    assert "".join(seen.words) == seen.outputs["answer"]


def test_of_two_that_may_answer_the_first_that_says_anything_is_heard_whoever_is_faster() -> None:
    text = """
name: x
inputs: {q: text}
nodes:
  slow: {kind: ask, prompt: "[[slow 0.05]] slow {{ inputs.q }}"}
  fast: {kind: ask, prompt: "fast {{ inputs.q }}"}
outputs: {answer: "{{ slow.text or fast.text }}"}
"""
    seen = ran(text, {"q": "x"})
    assert "".join(seen.words) == "slow x" == seen.outputs["answer"]
    second = ran(text.replace("slow {{ inputs.q }}", "[[say ]]"), {"q": "x"})
    assert "".join(second.words) == "fast x" == second.outputs["answer"]


def test_the_model_that_answered_is_named_as_it_is_named_here() -> None:
    text = """
name: x
nodes: {a: {kind: ask, prompt: hello}}
outputs: {model: "{{ a.model }}"}
"""
    assert ran(text).outputs == {"model": "echo/small"}


def test_nodes_without_an_edge_between_them_go_side_by_side() -> None:
    nodes = "".join(f'  n{n}: {{kind: ask, prompt: "[[slow 0.2]] {n}"}}\n' for n in range(8))
    joined = " ".join(f"{{{{ n{n}.text }}}}" for n in range(8))
    made = flow(f"name: x\nnodes:\n{nodes}outputs: {{answer: '{joined}'}}\n")

    async def run() -> Ran:
        here = Ran()
        await going(made, {}, here, RequestOptions(), NodeDependencies(here.asked))
        assert virtual_time.now() == pytest.approx(0.2)
        return here

    assert virtual_time.run(run()).outputs["answer"] == "0 1 2 3 4 5 6 7"


EACH = """
name: x
inputs: {items: json, at_once: {type: integer, default: 8}}
nodes:
  all:
    kind: each
    items: "{{ inputs.items }}"
    name: outer
    at_once: "{{ inputs.at_once }}"
    nodes:
      inner:
        kind: each
        items: "{{ outer }}"
        nodes:
          one: {kind: template, text: "{{ outer | length }}:{{ item }}:{{ index }}"}
        outputs: "{{ one.text }}"
    outputs: {texts: "{{ inner.results }}", first: "{{ inner.results[0] }}"}
outputs: {texts: "{{ all.results | pluck('first') }}", all: "{{ all.results }}"}
"""


def test_each_nests_and_keeps_the_order_of_its_items() -> None:
    seen = ran(EACH, {"items": [["a", "b"], ["c"], []]})
    assert seen.outputs["all"] == [
        {"texts": ["2:a:0", "2:b:1"], "first": "2:a:0"},
        {"texts": ["1:c:0"], "first": "1:c:0"},
        {"texts": [], "first": None},
    ]
    assert "all[0].inner[1].one" in seen.steps.results


@pytest.mark.long
def test_each_works_on_ten_thousand_items_in_bounds_and_refuses_more() -> None:
    text = """
name: x
inputs: {items: json}
nodes:
  all:
    kind: each
    items: "{{ inputs.items }}"
    nodes: {one: {kind: template, text: "{{ item }}!"}}
    outputs: "{{ one.text }}"
outputs: {n: "{{ all.results | length }}", last: "{{ all.results | last }}"}
"""
    made = flow(text)

    def run(n: int) -> None:
        assert ran(made, {"items": list(range(n))}).outputs == {"n": n, "last": f"{n - 1}!"}

    check_linear(run, 1_250)
    with pytest.raises(BadRequest, match="all: there are 10001 items; the maximum is 10000"):
        ran(made, {"items": list(range(10_001))})


def test_no_more_items_are_worked_on_at_once_than_was_said() -> None:
    busy, most = 0, 0

    def watched(resources: NodeDependencies) -> NodeDependencies:
        answer = resources.handler

        async def counting(request: Request, send: Send) -> Reply:
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            try:
                return await answer(request, send)
            finally:
                busy -= 1

        return replace(resources, handler=counting)

    text = """
name: x
nodes:
  all:
    kind: each
    items: [1, 2, 3, 4, 5, 6, 7, 8, 9]
    at_once: 3
    nodes: {one: {kind: ask, prompt: "[[slow 0.01]] {{ item }}"}}
    outputs: "{{ one.text }}"
outputs: {all: "{{ all.results }}"}
"""
    assert ran(text, dependencies=watched).outputs["all"] == [str(n) for n in range(1, 10)]
    assert most == 3


def test_an_item_that_fails_fails_the_flow_or_is_told_of() -> None:
    text = """
name: x
nodes:
  all:
    kind: each
    items: ["one", "[[fail down]]", "three"]
    nodes: {one: {kind: ask, prompt: "{{ item }}"}}
    outputs: "{{ one.text }}"
outputs: {all: "{{ all.results }}", errors: "{{ all.errors }}"}
"""
    with pytest.raises(UpstreamUnreachable, match=r"^all\[1\]\.one: ") as failed:
        ran(text)
    assert failed.value.flow_node == "all[1].one"
    told = ran(text.replace("items:", "on_error: skip\n    items:"))
    assert told.outputs["all"] == ["one", None, "three"]
    assert [(each["index"], each["error"]) for each in told.outputs["errors"]] == [(1, "upstream_unreachable")]


def test_a_loop_goes_on_until_something_holds_or_its_rounds_are_over() -> None:
    text = """
name: x
nodes:
  grow:
    kind: loop
    times: 5
    start: {draft: a}
    until: "{{ loop.draft | length >= 5 }}"
    nodes: {more: {kind: template, text: "{{ loop.draft }}{{ loop.round }}"}}
    outputs: {draft: "{{ more.text }}"}
outputs: {answer: "{{ grow.draft }}", rounds: "{{ grow.rounds }}", held: "{{ grow.held }}"}
"""
    assert ran(text).outputs == {"answer": "a1234", "rounds": 4, "held": True}
    assert ran(text.replace("times: 5", "times: 2")).outputs == {"answer": "a12", "rounds": 2, "held": False}


def test_a_node_is_tried_again_after_a_pause_but_not_where_that_is_in_vain() -> None:
    text = """
name: x
nodes:
  a: {kind: ask, prompt: "[[fail down]] hi", retry: {times: 3, wait_s: 0}}
outputs: {answer: "{{ a.text }}"}
"""
    here = Ran()
    with pytest.raises(UpstreamUnreachable, match=r"^a: "):
        run_with_timeout(going(flow(text), {}, here, RequestOptions(), NodeDependencies(here.asked)))
    assert len(here.asked.asks) == 3
    refused = Ran()
    with pytest.raises(SizewiseError, match=r"^a: "):
        run_with_timeout(
            going(
                flow(text.replace("down", "toolong")), {}, refused, RequestOptions(), NodeDependencies(refused.asked)
            ),
        )
    assert len(refused.asked.asks) == 1
    assert [trace.error for trace in refused.traces if trace.state == "failed"] == ["context_length_exceeded"]


def test_what_was_said_already_is_not_said_again() -> None:
    text = """
name: x
nodes:
  a: {kind: ask, prompt: "[[fail down after=1]] one two three", retry: {times: 3, wait_s: 0}}
outputs: {answer: "{{ a.text }}"}
"""
    here = Ran()
    with pytest.raises(SizewiseError, match=r"^a: "):
        run_with_timeout(going(flow(text), {}, here, RequestOptions(), NodeDependencies(here.asked)))
    assert here.words == ["one"]
    assert len(here.asked.asks) == 1


def test_a_node_that_hangs_is_stopped_in_its_time() -> None:
    text = """
name: x
nodes:
  a: {kind: ask, prompt: "[[hang]] hi", timeout_s: 0.05}
outputs: {answer: "{{ a.text }}"}
"""
    with pytest.raises(UpstreamTimeout, match=r"a: timed out after 0\.05 s"):
        ran(text)


def test_when_one_fails_the_others_are_stopped() -> None:
    text = """
name: x
nodes:
  hangs: {kind: ask, prompt: "[[hang]] hi"}
  fails: {kind: ask, prompt: "[[slow 0.02]][[fail refused]] hi"}
outputs: {answer: "{{ hangs.text }} {{ fails.text }}"}
"""
    here = Ran()
    with pytest.raises(SizewiseError, match=r"^fails: "):
        run_with_timeout(going(flow(text), {}, here, RequestOptions(), NodeDependencies(here.asked)))
    assert here.states() == {"hangs": "failed", "fails": "failed"}


def test_what_was_done_before_a_crash_is_not_asked_again() -> None:
    text = SUPPORT.replace("normal {{", "normal {{").replace("of {{ refund.text }}", "of {{ refund.text }}")
    made = flow(text)
    first = ran(made, {"question": "hello there"})
    second = ran(made, {"question": "hello there"}, again=first)
    assert second.outputs == first.outputs
    assert second.asked.asks == []
    assert "".join(second.words) == "refund hello there"
    assert set(second.states("kept")) == {"kind_of", "route", "refund", "note"}


def test_a_node_can_tighten_what_the_caller_wished_and_loosen_nothing() -> None:
    text = """
name: x
nodes:
  a: {kind: ask, prompt: hi, data_class: public, max_cost_usd: "5", min_quality: 0.2}
  b: {kind: ask, prompt: ho, data_class: confidential, online: deny, max_cost_usd: "0.001", max_ms: 10}
outputs: {answer: "{{ a.text }} {{ b.text }}"}
"""
    options = RequestOptions(max_cost=10**12, data_class="internal", min_quality=0.1, idempotency_key="k", session="s")
    seen = ran(text, options=options)
    a, b = sorted((ask.options for ask in seen.asked.asks), key=lambda each: each.data_class == "confidential")
    assert (a.data_class, a.max_cost, a.min_quality, a.online) == ("internal", 10**12, 0.2, None)
    assert (b.data_class, b.max_cost, b.max_latency_ms, b.online) == ("confidential", 10**9, 10, "deny")
    assert {each.idempotency_key for each in (a, b)} == {None}


def test_what_a_run_may_cost_is_for_all_of_its_nodes() -> None:
    text = """
name: x
nodes:
  a: {kind: ask, prompt: hi}
  b: {kind: ask, prompt: "{{ a.text }}"}
outputs: {answer: "{{ b.text }}"}
"""
    seen = ran(text, options=RequestOptions(max_cost=10**9))
    costs = [ask.options.max_cost for ask in seen.asked.asks]
    assert costs == [10**9, 10**9 - 3_000]  # one word read at 1,000 pico-dollars, one said at 2,000
    assert seen.outcome.cost == 6_000


def test_inputs_are_held_to_their_types() -> None:
    made = flow("name: x\ninputs: {q: text, n: integer, l: {type: {list: text}, default: []}}\nnodes: {}\noutputs: {}")
    with pytest.raises(BadRequest) as wrong:
        ran(made, {"qq": "x", "n": "3", "l": ["a", 1]})
    assert wrong.value.message == (
        "there is no input 'qq'; the input 'q' (text) is missing; n is a text, not an integer; "
        "l[1] is an integer, not a text"
    )
    assert wrong.value.hint == "Did you mean 'q'?"


def linked(**texts: str) -> dict[str, CompiledFlow]:
    """Flows that call each other."""
    made: dict[str, CompiledFlow] = {}
    for name, text in texts.items():
        found = checked(text, lambda other: made[other].signature if other in made else None)
        assert found.flow is not None, found.diagnostics
        made[name] = found.flow
    return made


class Library:
    def __init__(self, flows: dict[str, CompiledFlow]) -> None:
        self.flows = flows
        self.asked: list[str] = []

    async def resolve_version(self, request: object, name: str) -> str:
        self.asked.append(name)
        return self.flows[name].version

    async def load_flow(self, request: object, name: str, version: str) -> CompiledFlow:
        return self.flows[name]


def test_a_flow_runs_another_one_whose_words_stream_through() -> None:
    flows = linked(
        inner='name: inner\ninputs: {q: text}\nnodes: {a: {kind: ask, prompt: "in {{ inputs.q }}"}}\n'
        'outputs: {answer: "{{ a.text }}"}',
        outer="name: outer\ninputs: {q: text}\n"
        "nodes: {s: {kind: subflow, flow: inner, inputs: {q: '{{ inputs.q }}'}}}\n"
        'outputs: {answer: "{{ s.answer }}"}',
    )
    library = Library(flows)
    seen = ran(flows["outer"], {"q": "deep"}, dependencies=lambda means: replace(means, flows=library))
    assert seen.words == ["in", " deep"]
    assert seen.outputs == {"answer": "in deep"}
    assert set(seen.steps.results) == {"s@", "s.a"}
    again = ran(flows["outer"], {"q": "deep"}, again=seen, dependencies=lambda means: replace(means, flows=library))
    assert library.asked == ["inner"]  # the version stays what it was at the first
    assert again.asked.asks == []


def test_flows_that_call_themselves_end() -> None:
    text = 'name: me\nnodes: {s: {kind: subflow, flow: me}}\noutputs: {answer: "{{ s.answer }}"}'
    made = checked(text, lambda name: FlowSignature({}, frozenset(), {"answer": TEXT}, "answer")).flow
    assert made is not None
    with pytest.raises(BadRequest, match="deeper than 16"):
        ran(made, dependencies=lambda means: replace(means, flows=Library({"me": made})))


def test_a_person_is_waited_for() -> None:
    text = """
name: x
nodes:
  ok: {kind: approve, question: "Send it?", show: {n: 1}, wait_s: 5}
  send: {kind: template, text: "sent, {{ ok.note }}", after: ok.approved}
  stop: {kind: template, text: "not sent", after: [ok.refused, ok.late]}
outputs: {answer: "{{ send.text or stop.text }}"}
"""
    shown: list[tuple[str, bytes]] = []

    def decides(told: bytes) -> Ran:
        async def decide(key: str, asked: bytes) -> bytes:
            shown.append((key, asked))
            return told

        return Ran(steps=InMemorySteps(decide))

    assert ran(text, again=decides(b'{"approved": true, "note": "go"}')).outputs["answer"] == "sent, go"
    assert ran(text, again=decides(b'{"approved": false}')).outputs["answer"] == "not sent"
    assert shown[0] == ("ok", b'{"question":"Send it?","show":{"n":1},"approvers":[]}')
    with pytest.raises(BadRequest, match="waits for approval"):
        ran(text)


async def test_a_run_that_is_cancelled_stops_its_models() -> None:
    made = flow('name: x\nnodes: {a: {kind: ask, prompt: "[[hang]] hi"}}\noutputs: {answer: "{{ a.text }}"}')

    here = Ran()
    async with asyncio.timeout(HANG_S):
        running = asyncio.create_task(going(made, {}, here, RequestOptions(), NodeDependencies(here.asked)))
        while not here.asked.asks:
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert [event.result for event in here.events if isinstance(event, AttemptFinished)] == ["cancelled"]
    assert here.states() == {"a": "failed"}


def test_every_kind_is_installed_and_says_what_it_does() -> None:
    assert len(KINDS.names) >= 19
    for name in KINDS.names:
        kind = KINDS(name)
        assert kind is not None
        assert kind.description.endswith("."), name


def test_over_budget_names_the_node() -> None:
    async def refuses(request: Request, send: Send) -> Reply:
        raise BudgetExceeded("the month is spent", "wait")

    text = 'name: x\nnodes: {a: {kind: ask, prompt: hi}}\noutputs: {answer: "{{ a.text }}"}'
    with pytest.raises(BudgetExceeded, match="a: the month is spent") as refused:
        ran(text, dependencies=lambda means: replace(means, handler=refuses))
    assert refused.value.status == 402
