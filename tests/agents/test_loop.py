"""What an agent does: its tools, its limits, its helpers; and what becomes of it when something goes wrong."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from sizewise.agents.conversation import ANSWER_NOW, MAX_CONTEXT_CHARS, truncate_messages
from sizewise.agents.loop import CONCURRENCY
from sizewise.agents.step_results import agent_runs, cut_short
from sizewise.errors import BadRequest, BudgetExceeded, ConfigError, EgressDenied, UpstreamRejected
from sizewise.handler import AttemptFinished, Request, RequestOptions, Send
from sizewise.messages import Reply
from sizewise.routing.agent_turn import agent_turn, loop_key
from sizewise.settings.agents import AgentSettings
from sizewise.tools.function_tool import function_tool
from sizewise.tools.tool import ToolInvocation, ToolOutput
from tests.agents.scripted_model import ME, Client, Died, MemorySteps, Script, Turn, agents, worked


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


ADD = function_tool(add)


def test_it_asks_calls_and_asks_again_until_it_is_done() -> None:
    script, client = Script([("add", {"a": 1, "b": 2})], "It is 3."), Client()
    done = worked(agents(script, [ADD]), {"system": "Be brief.", "tools": ["add"]}, "What is 1 + 2?", client=client)
    assert (done["text"], done["stop_reason"], done["steps"], done["cost"]) == ("It is 3.", "done", 2, 2_000)
    assert done["calls"] == [{"agent": "agent", "tool": "add", "failed": False}]
    system, task, called, result = script.bodies()
    assert system == {"role": "system", "content": "Be brief."} and task["content"] == "What is 1 + 2?"
    assert called["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a":1,"b":2}'}
    assert result == {"role": "tool", "tool_call_id": "c0", "content": "3"}
    assert client.text == "It is 3."  # what it said beside the call is not its answer
    assert len([each for each in client.events if isinstance(each, AttemptFinished)]) == 2  # all of it is booked


def test_every_question_is_the_callers_with_their_wishes_and_no_idempotency_key_of_theirs() -> None:
    script = Script([("add", {"a": 1, "b": 2})], "3")
    options = RequestOptions(data_class="confidential", online="deny", idempotency_key="mine")
    worked(agents(script, [ADD]), {"tools": ["add"], "policy": "answers"}, options=options)
    for request in script.asked:
        assert request.principal == ME and request.options == RequestOptions(
            policy="answers",
            data_class="confidential",
            online="deny",
        )


def test_calls_are_made_side_by_side_but_those_that_stand_alone() -> None:
    running: list[str] = []
    most: list[int] = []

    async def work(name: str) -> str:
        running.append(name)
        most.append(len(running))
        await asyncio.sleep(0.01)
        running.remove(name)
        return name

    tools = [function_tool(work, "many"), function_tool(work, "single", exclusive=True)]
    calls = [(tool, {"name": f"{tool}{n}"}) for n in range(3) for tool in ("many", "single")]
    script = Script(calls, "done")
    worked(agents(script, tools), {"tools": ["*"]})
    assert most == [1, 2, 3, 1, 1, 1]
    assert [each["content"] for each in script.bodies() if each["role"] == "tool"] == [
        "many0", "single0", "many1", "single1", "many2", "single2",
    ]  # fmt: skip


def test_an_error_of_a_tool_goes_back_to_the_model() -> None:
    def broken(x: int) -> str:
        """Breaks."""
        raise BadRequest("x is too odd", "make it even")

    def denied() -> str:
        """Denied."""
        raise EgressDenied("nothing may go there")

    script = Script(
        [("broken", {"x": 1}), ("broken", {"y": 1}), ("broken", "{not json"), ("nosuch", {}), ("denied", {})],
        "I see.",
    )
    done = worked(agents(script, [function_tool(broken), function_tool(denied)]), {"tools": ["*"]})
    assert done["text"] == "I see." and all(each["failed"] for each in done["calls"])
    told = [each["content"] for each in script.bodies() if each["role"] == "tool"]
    assert told[0] == "Error: x is too odd: make it even"
    assert "invalid arguments" in told[1] and "not a JSON object" in told[2]
    assert "no tool 'nosuch'; there are: broken, denied" in told[3] and "nothing may go there" in told[4]


@pytest.mark.parametrize(
    ("written", "content"),
    [
        ('```json\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n```', "3"),
        ('I add them.\n<tool_call>{{"name": "add", "arguments": {"a": 1, "b": 2}}}</tool_call>', "3"),
        ("[add(a=1, b=2)]", "3"),
        ('{"name": "sum", "arguments": {"a": 1}}', "Error: there is no tool 'sum'; there are: add"),
        ('{"name": "add", "arguments": {"a": "x", "b": 2}}', "Error: invalid arguments"),
    ],
)
def test_a_call_written_as_words_is_a_call_and_no_answer(written: str, content: str) -> None:
    script, client = Script(written, "It is 3."), Client()
    done = worked(agents(script, [ADD]), {"tools": ["add"]}, client=client)
    assert (done["text"], done["steps"], client.text) == ("It is 3.", 2, "It is 3.")
    _, called, result = script.bodies()
    assert called["tool_calls"][0]["id"] == result["tool_call_id"] and result["content"].startswith(content)


@pytest.mark.parametrize("words", ['{"total": {"eur": 7}}', "Call `add(a=1, b=2)` for that.", '{"name": "Ulm"}', "[1]"])
def test_an_answer_that_resembles_a_call_is_an_answer(words: str) -> None:
    assert worked(agents(Script(words), [ADD]), {"tools": ["add"]})["text"] == words
    alone = '{"name": "add", "arguments": {}}'
    assert worked(agents(Script(alone), [ADD]), {})["text"] == alone  # an agent without tools


def test_money_that_is_spent_ends_it_for_the_tool_too() -> None:
    def dear() -> str:
        """Dear."""
        raise BudgetExceeded("the budget is spent")

    with pytest.raises(BudgetExceeded):
        worked(agents(Script([("dear", {})]), [function_tool(dear)]), {"tools": ["dear"]})


def test_it_stops_at_its_steps_its_money_and_its_time_and_says_so() -> None:
    def different() -> list[tuple[str, dict[str, int]]]:
        return [("add", {"a": len(script.asked), "b": 0})]

    class Endless(Script):
        async def __call__(self, request: Request, send: object) -> object:  # type: ignore[override]  # a script that goes on
            self.turns[""] = [different()]
            return await super().__call__(request, send)  # type: ignore[arg-type]  # the same

    script = Endless("")
    assert (
        worked(agents(script, [ADD]), {"tools": ["add"], "max_steps": 3})["stop_reason"] == "step_limit"
        and len(script.asked) == 3
    )
    script = Endless("", cost=400)
    done = worked(agents(script, [ADD]), {"tools": ["add"], "max_cost": 1_000})
    assert (done["stop_reason"], done["cost"], done["text"]) == ("cost_limit", 1_200, "")
    assert [ask.options.max_cost for ask in script.asked] == [1_000, 600, 200]  # no question may take more than is left
    script = Endless("")
    script.hang = asyncio.Event()
    assert worked(agents(script, [ADD]), {"timeout_s": 0.05})["stop_reason"] == "time_limit"


def test_at_its_step_limit_it_answers_from_what_it_has_and_is_told_to() -> None:
    calls: list[Turn] = [[("add", {"a": n, "b": 1})] for n in range(2)]
    script, client = Script(*calls, "So far 1 and 2."), Client()
    spec: dict[str, object] = {"system": "Be brief.", "tools": ["add"], "max_steps": 3}
    done = worked(agents(script, [ADD]), spec, client=client)
    assert (done["text"], done["stop_reason"], done["steps"]) == ("So far 1 and 2.", "step_limit", 3)
    assert client.text == "So far 1 and 2." and len(done["calls"]) == 2
    assert {script.bodies(place)[0]["content"] for place in range(3)} == {"Be brief."}
    choices = [bytes(request.payload.fields.get("tool_choice", b"")) for request in script.asked]
    assert choices == [b"", b"", b'"none"'] and script.offered() == ["add"]
    assert script.bodies()[-1] == {"role": "user", "content": ANSWER_NOW}
    turn = agent_turn(script.asked[-1].payload)  # type: ignore[arg-type]  # a chat
    assert turn is not None and (turn.stage, turn.number) == ("final", 3)
    assert len({loop_key(request.payload) for request in script.asked}) == 1  # type: ignore[arg-type]  # chats


def test_where_an_api_refuses_a_message_behind_results_the_system_prompt_says_it() -> None:
    class Strict(Script):
        async def __call__(self, request: Request, send: Send) -> Reply:
            roles = [each.role for each in request.payload.messages]  # type: ignore[union-attr]  # a chat
            if roles[-2:] == ["tool", "user"]:
                raise UpstreamRejected("unexpected role 'user' after role 'tool'", "")
            return await super().__call__(request, send)

    script = Strict([("add", {"a": 1, "b": 1})], "I have 2.")
    done = worked(agents(script, [ADD]), {"system": "Be brief.", "tools": ["add"], "max_steps": 2})
    assert (done["text"], done["stop_reason"], done["steps"]) == ("I have 2.", "step_limit", 2)
    assert script.bodies()[0]["content"] == f"Be brief.\n\n{ANSWER_NOW}"
    assert script.bodies()[-1]["role"] == "tool"


@pytest.mark.parametrize("written", ['\n<tool_call>{"name": "add", "arguments": {"a": 3, "b": 1}}</tool_call>', ""])
def test_a_call_in_the_last_step_is_neither_made_nor_shown(written: str) -> None:
    script = Script([("add", {"a": 1, "b": 1})], f"I have 2.{written}")
    done = worked(agents(script, [ADD]), {"tools": ["add"], "max_steps": 2})
    assert (done["text"].strip(), done["stop_reason"], len(done["calls"])) == ("I have 2.", "step_limit", 1)


def test_an_agent_without_tools_is_not_cut_short_at_its_last_step() -> None:
    script = Script("It is 3.")
    done = worked(agents(script, []), {"max_steps": 1})
    assert (done["stop_reason"], script.bodies()[0]["role"]) == ("done", "user")


def test_a_worker_leaves_the_last_step_to_its_supervisor() -> None:
    plan: list[Turn] = [[("ask_reader", {"task": "count"})], "It was cut short."]
    script = Script("?", large=plan, small=["two so far"])
    boss = AgentSettings(model="large", subagents=("reader",), max_steps=3)
    done = worked(agents(script, [ADD], boss=boss, reader=READER), {"name": "boss"})
    assert (done["text"], done["stop_reason"], done["steps"]) == ("It was cut short.", "step_limit", 3)
    assert script.bodies()[-2]["content"] == "two so far It stopped before it was done (step_limit)."
    boss = AgentSettings(model="large", subagents=("reader",), max_steps=2)
    script = Script("?", large=[[("ask_reader", {"task": "count"})], "No count."], small=["never"])
    done = worked(agents(script, [ADD], boss=boss, reader=READER), {"name": "boss"})
    assert (done["text"], len(script.asked)) == ("No count.", 2)
    assert script.bodies()[-2]["content"] == "Error: It stopped before it was done (step_limit)."


def test_a_call_that_comes_again_and_again_is_made_three_times_and_then_it_ends() -> None:
    made: list[int] = []

    def poll(x: int, y: int) -> str:
        """Polls."""
        made.append(x)
        return "not yet"

    script = Script([("poll", '{"x": 1, "y": 2}')], [("poll", '{"y": 2, "x": 1}')], [("poll", {"x": 1, "y": 2})])
    done = worked(agents(script, [function_tool(poll)]), {"tools": ["poll"], "max_steps": 50})
    assert done["stop_reason"] == "repeated_calls" and len(made) == 3 and done["steps"] == 7
    assert "was made 3 times" in script.bodies()[-2]["content"]


def test_an_agent_that_repeats_its_call_answers_from_what_it_brought() -> None:
    again = [("add", {"a": 1, "b": 2})]
    script, client = Script(again, again, again, again, again, again, "It is 3."), Client()
    done = worked(agents(script, [ADD]), {"tools": ["add"]}, client=client)
    assert (done["text"], done["stop_reason"], done["steps"], client.text) == (
        "It is 3.",
        "repeated_calls",
        7,
        "It is 3.",
    )
    *before, last = (request.payload.fields.get("tool_choice") for request in script.asked)
    assert set(before) == {None} and last is not None and bytes(last) == b'"none"'
    stopped = worked(agents(Script(*[again] * 6, "3"), [ADD]), {"tools": ["add"], "max_steps": 6})
    assert (stopped["text"], stopped["stop_reason"], stopped["steps"]) == ("let me see", "step_limit", 6)


def test_a_run_that_dies_goes_on_where_it_died_and_makes_no_call_twice() -> None:
    made: list[str] = []

    def send(call: ToolInvocation, to: str) -> str:
        """Sends."""
        made.append(call.idempotency_key)
        return "sent"

    def turns() -> Script:
        return Script([("send", {"to": "a"}), ("send", {"to": "b"})], [("send", {"to": "c"})], "All sent.")

    whole = MemorySteps()
    assert worked(agents(turns(), [function_tool(send)]), {"tools": ["send"]}, steps=whole)["text"] == "All sent."
    assert sorted(whole.done) == ["agent.0", "agent.0.0", "agent.0.1", "agent.1", "agent.1.0", "agent.2"]
    assert sorted(made) == ["run/agent.0.0", "run/agent.0.1", "run/agent.1.0"]
    for dies in range(len(whole.done)):
        kept, script = MemorySteps(), turns()
        made.clear()
        kept.die = dies
        with pytest.raises(Died):
            worked(agents(script, [function_tool(send)]), {"tools": ["send"]}, steps=kept)
        kept.die = None
        done = worked(agents(script, [function_tool(send)]), {"tools": ["send"]}, steps=kept)
        assert done["text"] == "All sent." and len(made) == len(set(made)) == 3 and len(script.asked) == 3
        assert done["cost"] == 3_000


def test_a_run_that_dies_at_its_limit_answers_as_it_would_have() -> None:
    made: list[int] = []

    def look(x: int) -> str:
        """Looks."""
        made.append(x)
        return f"saw {x}"

    def turns() -> Script:
        return Script([("look", {"x": 1})], [("look", {"x": 2})], "I saw 1 and 2.")

    spec: dict[str, object] = {"tools": ["look"], "max_steps": 3}
    for dies in range(5):
        kept, script = MemorySteps(), turns()
        made.clear()
        kept.die = dies
        with pytest.raises(Died):
            worked(agents(script, [function_tool(look)]), spec, steps=kept)
        kept.die = None
        done = worked(agents(script, [function_tool(look)]), spec, steps=kept)
        assert (done["text"], done["stop_reason"], made) == ("I saw 1 and 2.", "step_limit", [1, 2])
        assert len(script.asked) == 3
        again = worked(agents(Script("never asked"), [function_tool(look)]), spec, steps=kept)
        assert again == done


def test_a_limit_without_a_step_is_stored_as_one() -> None:
    kept = MemorySteps()
    script = Script([("add", {"a": 1, "b": 1})], cost=600)
    done = worked(agents(script, [ADD]), {"tools": ["add"], "max_cost": 500}, steps=kept)
    assert (done["stop_reason"], list(kept.done)) == ("cost_limit", ["agent.0", "agent.0.0", "agent.1"])
    (found,) = agent_runs(kept.done)
    assert (found.stop_reason, cut_short([found])) == ("cost_limit", "cost_limit")


@pytest.mark.parametrize(("word", "reason"), [("money", "cost_limit"), ("time", "time_limit")])
def test_a_turn_that_an_older_version_stored_is_read(word: str, reason: str) -> None:
    kept = MemorySteps()
    kept.done["agent.0"] = msgspec.json.encode(
        {"text": "", "calls": [], "model": "m", "cost": 1, "duration_s": 0.1, "stop_reason": word}
    )
    assert worked(agents(Script("never"), [ADD]), {"tools": ["add"]}, steps=kept)["stop_reason"] == reason


def test_a_dangerous_tool_is_called_when_a_person_says_yes_and_only_then() -> None:
    made: list[str] = []

    def wipe(what: str) -> str:
        """Wipes."""
        made.append(what)
        return "wiped"

    tool = function_tool(wipe, needs_approval=True)

    def call_result(steps: MemorySteps | None, **row: object) -> str:
        script = Script([("wipe", {"what": "disk"})], "ok")
        desk = agents(script, [tool], cleaner=AgentSettings(tools=("wipe",), **row))  # type: ignore[arg-type]  # of its fields
        worked(desk, {"name": "cleaner"}, steps=steps)
        return str(script.bodies()[-1]["content"])

    assert "no way to ask for it" in call_result(None) and made == []
    assert "in time" in call_result(MemorySteps(None)) and "a person denied this call. never" in call_result(
        MemorySteps(b'{"note": "never"}'),
    )
    assert "denied" in call_result(MemorySteps(b"garbage")) and made == []
    kept = MemorySteps(b'{"approved": true}')
    assert call_result(kept) == "wiped" and made == ["disk"]
    key, asked = kept.waits[0]
    shown = msgspec.json.decode(asked)
    assert key == "agent.0.0.approve" and shown["show"] == {"what": "disk"} and "'wipe'" in shown["question"]
    assert call_result(None, auto_approve=("wi*",)) == "wiped"
    with pytest.raises(BadRequest, match="cannot approve"):
        worked(agents(Script("x"), [tool]), {"tools": ["wipe"], "auto_approve": ["wipe"]})


BOSS = AgentSettings(model="large", subagents=("reader", "writer"), system="Plan.")
READER = AgentSettings(model="small", description="Reads.", tools=("add",))
WRITER = AgentSettings(model="small", description="Writes.")


def test_a_supervisor_gives_tasks_to_its_workers_each_by_the_model_of_its_role() -> None:
    plan: list[Turn] = [[("ask_reader", {"task": "count"}), ("ask_writer", {"task": "write"})], "All is done."]
    script = Script("?", large=plan, small=[[("add", {"a": 1, "b": 1})], "written", "two"])
    client = Client()
    desk = agents(script, [ADD], boss=BOSS, reader=READER, writer=WRITER)
    kept = MemorySteps()
    done = worked(desk, {"name": "boss"}, "Do all.", client=client, steps=kept)
    assert done["text"] == client.text == "All is done." and done["agent"] == "boss"
    assert done["steps"] == 5 and done["cost"] == 5_000  # its workers' are its own too
    assert [ask.payload.model for ask in script.asked if hasattr(ask.payload, "model")].count("small") == 3
    assert script.offered(0) == ["ask_reader", "ask_writer"]
    assert {each["agent"] for each in done["calls"]} == {"boss", "reader"}
    results = [each["content"] for each in script.bodies() if each["role"] == "tool"]
    assert sorted(results) == ["two", "written"]
    assert {"agent.0.0.0", "agent.0.1.0"} <= kept.done.keys()


def test_workers_cannot_spend_more_than_their_supervisor_has() -> None:
    plan: list[Turn] = [[("ask_reader", {"task": "count"})], "never"]
    script = Script("?", large=plan, small=[[("add", {"a": n, "b": 1})] for n in range(50)])
    boss = AgentSettings(model="large", subagents=("reader",), max_steps=4)
    done = worked(agents(script, [ADD], boss=boss, reader=READER), {"name": "boss"})
    assert (done["text"], done["stop_reason"], len(script.asked)) == ("never", "step_limit", 4)


class SlowReader(Script):
    """Its small model never answers."""

    async def __call__(self, request: Request, send: Send) -> Reply:
        if request.payload.model == "small":
            self.asked.append(request)
            await asyncio.Event().wait()
        return await super().__call__(request, send)


def test_workers_cannot_take_more_time_than_their_supervisor_has() -> None:
    script = SlowReader("?", large=[[("ask_reader", {"task": f"count {n}"}) for n in range(20)], "never"])
    boss = AgentSettings(model="large", subagents=("reader",), max_steps=100, timeout_s=0.3)
    reader = AgentSettings(model="small", timeout_s=3_600)
    done = worked(agents(script, [], boss=boss, reader=reader), {"name": "boss"})
    assert done["stop_reason"] == "time_limit"
    assert len(script.asked) <= 1 + CONCURRENCY, "no time was left for those in the queue"


@pytest.mark.long
def test_the_time_that_a_worker_waits_for_a_person_is_not_its_supervisors() -> None:
    class Slow(MemorySteps):
        async def wait(self, key: str, asked: bytes = b"", timeout_s: float | None = None) -> bytes | None:
            await asyncio.sleep(1.5)
            return await super().wait(key, asked, timeout_s)

    tool = function_tool(add, needs_approval=True)
    script = Script(
        "?", large=[[("ask_reader", {"task": "count"})], "All is done."], small=[[("add", {"a": 1, "b": 1})], "two"]
    )
    boss = AgentSettings(model="large", subagents=("reader",), timeout_s=1.0)
    done = worked(agents(script, [tool], boss=boss, reader=READER), {"name": "boss"}, steps=Slow(b'{"approved": true}'))
    assert done["stop_reason"] == "done" and {each["failed"] for each in done["calls"]} == {False}


def test_an_agent_hands_the_conversation_to_another_that_goes_on() -> None:
    front = AgentSettings(model="small", system="You greet.", handoffs=("expert",))
    expert = AgentSettings(model="large", system="You know.", tools=("add",))
    script = Script("?", small=[[("hand_to_expert", {"why": "sums"})]], large=[[("add", {"a": 2, "b": 2})], "Four."])
    done = worked(agents(script, [ADD], front=front, expert=expert), {"name": "front"}, "2 + 2?")
    assert done["text"] == "Four." and done["agent"] == "expert" and done["steps"] == 3
    said = script.bodies()
    assert said[0]["content"] == "You know." and said[1]["content"] == "2 + 2?"
    assert script.offered(0) == ["hand_to_expert"] and script.offered(-1) == ["add"]


def test_rows_that_contradict_each_other_are_refused_when_the_house_is_built() -> None:
    for rows, words in (
        ({"a": AgentSettings(subagents=("b",))}, "no agent 'b'"),
        ({"a": AgentSettings(subagents=("b",)), "b": AgentSettings(subagents=("a",))}, "is its own subagent"),
        ({"a": AgentSettings(handoffs=("nobody",))}, "no agent 'nobody'"),
    ):
        with pytest.raises(ConfigError, match=words):
            agents(Script("x"), [], **rows)
    agents(
        Script("x"),
        [],
        a=AgentSettings(handoffs=("b",)),
        b=AgentSettings(handoffs=("a",)),
    )  # these may go to and fro


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"name": "nobody"}, "no agent 'nobody'"),
        ({"name": "boss", "system": "else"}, "which set `system`"),
        ({"model": ""}, "the agent is not valid"),
        ({"max_steps": 0}, "the agent is not valid"),
        ({"code": "import os"}, "the agent is not valid"),
        ({"tools": ["nosuch"]}, "no tool 'nosuch'"),
    ],
)
def test_what_is_no_agent_is_refused_in_words(said: dict[str, object], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        worked(agents(Script("x"), [], boss=AgentSettings()), said)


def test_a_flow_can_narrow_an_agent_and_not_widen_it() -> None:
    script = Script([("add", {"a": 1, "b": 1})])
    desk = agents(script, [ADD], boss=AgentSettings(tools=("add",), max_steps=3))
    assert worked(desk, {"name": "boss", "max_steps": 2})["steps"] == 2
    assert worked(desk, {"name": "boss", "max_steps": 900})["steps"] == 3


def test_a_long_conversation_leaves_out_what_tools_brought_first_and_says_so() -> None:
    talk = [{"role": "user", "content": "task"}]
    talk += [{"role": "tool", "content": str(n) + "x" * 60_000} for n in range(10)]
    short = truncate_messages(talk)
    assert sum(len(str(each["content"])) for each in short) <= MAX_CONTEXT_CHARS
    assert short[0] == talk[0] and short[-1] == talk[-1] and "were left out" in str(short[1]["content"])


def test_a_tool_is_told_how_far_its_data_may_go() -> None:
    seen: list[ToolInvocation] = []

    def look(call: ToolInvocation) -> str:
        """Looks."""
        seen.append(call)
        return "ok"

    worked(agents(Script([("look", {})], "ok"), [function_tool(look)]), {"tools": ["look"]})
    assert (seen[0].data_class, seen[0].limit, seen[0].principal) == ("internal", "anyone", ME)


def test_what_a_tool_found_is_kept_as_closely_from_then_on_by_its_worker_and_by_itself() -> None:
    def find() -> ToolOutput:
        """Finds."""
        return ToolOutput("a secret", data_class="confidential")

    script = Script("?", large=[[("ask_reader", {"task": "find"})], "done"], small=[[("find", {})], "found", "never"])
    boss, reader = AgentSettings(model="large", subagents=("reader",)), AgentSettings(model="small", tools=("find",))
    worked(agents(script, [function_tool(find)], boss=boss, reader=reader), {"name": "boss"})
    assert [ask.options.data_class for ask in script.asked] == [None, None, "confidential", "confidential"]


def test_an_empty_task_is_none() -> None:
    with pytest.raises(BadRequest, match="a task has"):
        worked(agents(Script("x"), []), {}, "  ")
