"""`PYTHON walk.py FOLDER`: the bench's graphs by LangGraph; its checkpoints lie in FOLDER. One line in, one line out.

The graphs, what they must come to and what the lines say are those of ../ours.py.
"""

import asyncio
import json
import operator
import os
import platform
import sys
import time
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypedDict

os.environ["LANGSMITH_TRACING"] = "false"  # whatever the machine says: nothing is sent anywhere

from langchain_core.language_models import SimpleChatModel
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

CHAIN, WIDE, ITEMS = 10, 10, 100


class Echo(SimpleChatModel):
    """Says the last message again, without a thread of the pool."""

    @property
    def _llm_type(self):
        return "echo"

    def _call(self, messages, stop=None, run_manager=None, **kwargs):
        return messages[-1].content

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        return self._generate(messages, stop, run_manager, **kwargs)


class State(TypedDict, total=False):
    q: Any
    text: str
    parts: Annotated[list, operator.add]


model = Echo()


async def worked(kind, text):
    return text if kind == "template" else (await model.ainvoke(text)).content


def chain(kind):
    async def one(state):
        return {"text": await worked(kind, f"{state['text']}.")}

    async def first(state):
        return {"text": await worked(kind, f"{state['q']}.")}

    graph = StateGraph(State)
    for number in range(CHAIN):
        graph.add_node(f"n{number}", one if number else first)
        graph.add_edge(f"n{number - 1}" if number else START, f"n{number}")
    graph.add_edge(f"n{CHAIN - 1}", END)
    return graph


def fan(kind):
    async def first(state):
        return {"text": f"{state['q']}."}

    async def one(state):
        return {"parts": [await worked(kind, f"{state['text']}.")]}

    async def last(state):
        return {"text": "".join(state["parts"])}

    graph = StateGraph(State)
    graph.add_node("first", first)
    graph.add_node("last", last)
    graph.add_edge(START, "first")
    for number in range(WIDE):
        graph.add_node(f"n{number}", one)
        graph.add_edge("first", f"n{number}")
    graph.add_edge([f"n{number}" for number in range(WIDE)], "last")
    graph.add_edge("last", END)
    return graph


def each(kind):
    async def one(state):
        return {"parts": [await worked(kind, f"{state['item']}.")]}

    graph = StateGraph(State)
    graph.add_node("one", one)
    graph.add_conditional_edges(START, lambda state: [Send("one", {"item": item}) for item in state["q"]], ["one"])
    graph.add_edge("one", END)
    return graph


GRAPHS = {"chain": chain, "fan": fan, "each": each}
ITEM_LIST = [f"item{number}" for number in range(ITEMS)]
RIGHT = {
    "chain": ("hi", lambda state: state["text"] == "hi" + "." * CHAIN),
    "fan": ("hi", lambda state: state["text"] == "hi.." * WIDE),
    "each": (ITEM_LIST, lambda state: state["parts"] == [f"{item}." for item in ITEM_LIST]),
}


async def once(said, made):
    graph, kind, way = said["graph"], said["kind"], said["way"]
    if graph == "none":
        assert (await model.ainvoke("hi.")).content == "hi."
        return
    inputs, right = RIGHT[graph]
    its = made[graph, kind, way != "memory"]
    how = {} if way == "memory" else {"durability": way, "config": {"configurable": {"thread_id": uuid.uuid4().hex}}}
    assert right(await its.ainvoke({"q": inputs}, **how)), said


async def walked(said, made):
    runs = 0
    began, spent = time.perf_counter(), time.process_time()
    until = began + said["seconds"]

    async def runner():
        nonlocal runs
        while True:
            await once(said, made)
            runs += 1
            if time.perf_counter() >= until:
                return

    await asyncio.gather(*(runner() for _ in range(said["at_once"])))
    return {"runs": runs, "wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - spent}


async def main(folder):
    async with AsyncSqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        await saver.setup()
        await saver.conn.execute(f"PRAGMA synchronous = {os.environ.get('BENCH_SYNCHRONOUS', 'NORMAL')}")  # as ours
        made = {
            (name, kind, kept): graph(kind).compile(checkpointer=saver if kept else None)
            for name, graph in GRAPHS.items()
            for kind in ("template", "ask")
            for kept in (False, True)
        }
        names = [
            f"LangGraph {version('langgraph')}",
            f"its SQLite checkpointer {version('langgraph-checkpoint-sqlite')}",
        ]
        print(json.dumps([*names, f"Python {platform.python_version()}"]), flush=True)
        while line := sys.stdin.readline():
            print(json.dumps(await walked(json.loads(line), made)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
