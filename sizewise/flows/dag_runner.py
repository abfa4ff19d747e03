"""Runs a checked flow over Steps: what is ready goes at once, side by side; each node is a step with its own key.

A run is called anew after a crash, and what was done comes back from its steps; so all that is decided here follows
from the inputs and from what steps gave. Tables, engines and doors are nobody's business here: whoever wants to know
how a run goes hands in a `watch`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import time
from typing import Literal, cast

import msgspec
from msgspec import Struct

from sizewise.data_class import CLASSES, DataClass
from sizewise.errors import BadRequest, Busy, ConfigError, SizewiseError, StreamCut, UpstreamSlow
from sizewise.flows.compiled_flow import Flow, Graph, Ready, Voice
from sizewise.flows.concurrency import beside
from sizewise.flows.engine import Steps
from sizewise.flows.language import types
from sizewise.flows.language.diagnostics import known
from sizewise.flows.language.expression import Room, Wrong, filled
from sizewise.flows.language.filters import shown
from sizewise.flows.language.types import Json
from sizewise.flows.node import Job, Kind, Means, Runnable, tightened
from sizewise.handler import Ask, Chosen, Event, Guarded, Send, Text, Thought, Tried, Wishes, quiet
from sizewise.messages import Usage
from sizewise.principal import Caller

DEEPEST = 16
"""Flows within flows."""
OUTPUT = 16 * 1024 * 1024
"""Bytes of what one node gives."""
ALL = 512 * 1024 * 1024
"""Bytes of what all nodes of a run give together, and the graphs within others: they are held, and kept."""
NODES = 1_000_000
"""Nodes of a run, each as often as it runs."""
PAUSE_MOST_S = 300.0
FOUND = "what was found"

State = Literal["running", "done", "kept", "failed", "skipped"]
"""kept: done before, in a run that was interrupted or is run again; its result came from there."""


class Trace(Struct, frozen=True):
    """A node as it goes. `began`, `ended`: seconds since 1970; `cost`: pico-dollars, None where a price is unknown."""

    place: str
    kind: str
    state: State
    began: float
    ended: float = 0.0
    model: str = ""
    usage: Usage = Usage()
    cost: int | None = 0
    error: str = ""  # a code of errors.py


Watch = Callable[[Trace], None]


class Outcome(Struct, frozen=True):
    """What a run came to. `usage`, `cost` and `asked` are of this process: what came back from steps is not in them."""

    outputs: Mapping[str, Json]
    usage: Usage = Usage()
    cost: int | None = 0
    asked: int = 0
    data_class: DataClass | None = None  # how closely it must be kept, by what was wished and found


def unwatched(trace: Trace) -> None:
    """Nobody looks."""


async def run(
    flow: Flow,
    inputs: Mapping[str, Json],
    *,
    id: str,
    ask: Ask,
    steps: Steps,
    means: Means,
    send: Send = quiet,
    watch: Watch = unwatched,
    now: Callable[[], Caller] | None = None,
) -> Outcome:
    """All of a run. `ask` is whose it is, with what it wishes; its `what` is not read.

    `send` gets the words of the output that the flow speaks by, while they come, and what was spent. `now` tells what
    whoever asked may by now, for runs that last; it raises where that is nothing. Raises BadRequest for inputs that do
    not fit; whatever a node raises, with the node's place in front.
    """
    whole = _Run(id, ask, steps, means, watch, send, now)
    names = {"inputs": accepted(flow, inputs)}
    speech = Speech(send, flow.voice, Chosen(model_name(flow), f"the flow {flow.name!r}", 0))
    outputs = cast(dict[str, Json], await _Level(whole, flow.graph, names, "", speech, 0, None)())
    await speech.end(outputs)
    return Outcome(outputs, whole.usage, whole.cost, whole.asked, whole.ask.wishes.data_class)


def model_name(flow: Flow) -> str:
    return f"flow:{flow.name}@{flow.version[:12]}"


def accepted(flow: Flow, inputs: Mapping[str, Json]) -> dict[str, Json]:
    """The inputs with what was left out. Raises BadRequest, with all that is wrong."""
    spec = flow.spec
    wrong = [f"there is no input {name[:60]!r}" for name in inputs if name not in spec.inputs]
    made: dict[str, Json] = {}
    for name, each in spec.inputs.items():
        if inputs.get(name) is None and not (name in inputs and each.type.name == "json"):
            made[name] = each.default
            if each.required:
                wrong.append(f"the input {name!r} ({each.type}) is missing")
        else:
            made[name] = inputs[name]
            wrong += types.misfits(each.type, inputs[name], name)
    if wrong:
        strange = next((name for name in inputs if name not in spec.inputs), "")
        listed = ", ".join(f"{name} ({each.type})" for name, each in spec.inputs.items()) or "nothing"
        hint = (known(strange, spec.inputs) if strange else "") or f"the flow {flow.name!r} takes {listed}"
        raise BadRequest("; ".join(wrong[:10]), hint, param=strange or None)
    return made


class Speech:
    """The words of a flow on their way to whoever listens: each once, in order, whoever says them."""

    def __init__(self, send: Send, voice: Voice | None, chosen: Chosen) -> None:
        self.send = send
        self.voice = voice
        self._chosen: Chosen | None = chosen
        self._ended: dict[str, bool] = {}  # of those who may speak: whether it said anything
        self.said: list[str] = []

    def may(self, id: str) -> bool:
        """Whether this node's words are the flow's: nobody before it has spoken, or will."""
        if self.voice is None or id not in self.voice.nodes:
            return False
        before = self.voice.nodes[: self.voice.nodes.index(id)]
        return all(self._ended.get(each) is False for each in before)

    def ended(self, id: str, gave: Json, field: str) -> None:
        if self.voice is not None and id in self.voice.nodes:
            self._ended[id] = isinstance(gave, dict) and bool(gave.get(field))

    async def begin(self) -> None:
        if self._chosen is not None:
            chosen, self._chosen = self._chosen, None
            await self.send(chosen)

    async def say(self, event: Text | Thought) -> None:
        await self.begin()
        if isinstance(event, Text):
            if event.choice:
                return
            self.said.append(event.text)
            await self.send(Text(0, event.text))
        else:
            await self.send(Thought(0, event.text))

    async def end(self, outputs: Mapping[str, Json]) -> None:
        """What was not yet said of it. Raises StreamCut where another thing was said."""
        await self.begin()
        if self.voice is None:
            return
        text, said = shown(outputs.get(self.voice.output)), "".join(self.said)
        if not text.startswith(said):
            raise StreamCut("what was said is not what the flow gives in the end", "Run it again.")
        if len(text) > len(said):
            await self.send(Text(0, text[len(said) :]))


def silent() -> Speech:
    """Of nodes whose words are nobody's."""
    return Speech(quiet, None, Chosen("", "", 0))


class _Run:
    """What all nodes of a run share."""

    def __init__(
        self,
        id: str,
        ask: Ask,
        steps: Steps,
        means: Means,
        watch: Watch,
        send: Send,
        now: Callable[[], Caller] | None,
    ) -> None:
        self.id = id
        self._now = now
        self.send = send
        self.ask = ask
        self.steps = steps
        self.means = means
        self.watch = watch
        self.usage = Usage()
        self.cost: int | None = 0
        self.asked = 0
        self._gave = self._nodes = 0

    def begun(self) -> None:
        """Raises BadRequest where a run has too many nodes."""
        self._nodes += 1
        if self._nodes > NODES:
            raise BadRequest(f"the run has more than {NODES} nodes", "Work on parts, each in a run of its own.")

    def gave(self, size: int) -> None:
        """Raises BadRequest where a run gives too much."""
        self._gave += size
        if self._gave > ALL:
            raise BadRequest(f"what its nodes give is larger than {ALL} bytes", "Give less, or work on parts.")

    def book(self, tried: Tried) -> None:
        self.asked += 1
        self.usage, self.cost = self.usage + tried.usage, together(self.cost, tried.cost)

    def tighten(self, data_class: Json) -> None:
        """All that comes from now on is kept at least so closely: it may have been read from there."""
        if data_class in CLASSES:
            wishes = tightened(self.ask.wishes, Wishes(data_class=data_class))
            self.ask = msgspec.structs.replace(self.ask, wishes=msgspec.structs.replace(wishes, by=FOUND))

    def asking(self) -> Ask:
        """On whose behalf, with what they may at this moment."""
        if self._now is not None and (caller := self._now()) is not self.ask.caller:
            self.ask = msgspec.structs.replace(self.ask, caller=caller)
        return self.ask

    def left(self) -> int | None:
        most = self.ask.wishes.max_cost
        return None if most is None else max(0, most - (self.cost or 0))


def together(one: int | None, other: int | None) -> int | None:
    """A sum of prices, unknown where one of them is."""
    return None if one is None or other is None else one + other


class _Ears:
    """The `send` of one node: books what it spent, and passes its words on where they are the flow's."""

    def __init__(self, whole: _Run, speech: Speech, speaks: bool, up: _Ears | None) -> None:
        """`up`: those of the node that holds this one."""
        self._whole = whole
        self._up = up
        self._speech = speech
        self.speaks = speaks
        self.spoke = False
        self.model = ""
        self.usage = Usage()
        self.cost: int | None = 0

    async def __call__(self, event: Event) -> None:
        if isinstance(event, (Text, Thought)):
            if self.speaks:
                self.spoke = True
                await self._speech.say(event)
        elif isinstance(event, Tried):
            self._whole.book(event)
            ears: _Ears | None = self
            while ears is not None:
                ears.usage, ears.cost = ears.usage + event.usage, together(ears.cost, event.cost)
                ears = ears._up
            await self._whole.send(event)
        elif isinstance(event, Chosen):
            self.model = event.model or self.model
        elif isinstance(event, Guarded):
            await self._whole.send(event)


class _Level:
    """The nodes of one graph, once. `names`: what is around them; what each of them gives is added."""

    def __init__(
        self,
        whole: _Run,
        graph: Graph,
        names: dict[str, Json],
        place: str,
        speech: Speech,
        depth: int,
        up: _Ears | None,
    ) -> None:
        self.up = up
        self._whole = whole
        self._graph = graph
        self.names = names
        self._place = place
        self._speech = speech
        self.depth = depth
        self._skipped: set[str] = set()
        self._chosen: dict[str, str] = {}  # of branches
        self._waits = [len({*n.needs, *n.may, *(b for b, _ in n.cases)}) for n in graph.nodes]

    async def __call__(self) -> Json:
        """What its outputs come to. Raises what the first node that failed raised; the others are stopped."""
        nodes = self._graph.nodes
        ready = [node for node, waits in zip(nodes, self._waits, strict=True) if not waits]
        if len(ready) == 1 and all(len(each) <= 1 for each in self._graph.next.values()):
            await self._chain(ready[0], None)
        else:
            async with beside() as group:
                for node in ready:
                    group.create_task(self._chain(node, group))
        return self._outputs()

    async def _chain(self, node: Ready, group: asyncio.TaskGroup | None) -> None:
        """A node, then one that it made ready, and so on; the others that it made ready go beside."""
        following: Ready | None = node
        while following is not None:
            node, following = following, None
            await self._one(node)
            for number in self._graph.next.get(node.id, ()):
                self._waits[number] -= 1
                if self._waits[number]:
                    continue
                if following is None:
                    following = self._graph.nodes[number]
                else:
                    assert group is not None
                    group.create_task(self._chain(self._graph.nodes[number], group))

    def _outputs(self) -> Json:
        room = Room()
        try:
            made = filled(self._graph.outputs, self.names, room)
            self._whole.gave(room.taken)
            return made
        except Wrong as wrong:
            raise BadRequest(f"the outputs: {wrong.message}", wrong.hint) from wrong

    async def _one(self, node: Ready) -> None:
        place = f"{self._place}.{node.id}" if self._place else node.id
        if self._is_skipped(node):
            self._skipped.add(node.id)
            self.names[node.id] = None
            self._speech.ended(node.id, None, "")
            self._whole.watch(Trace(place, node.name, "skipped", time()))
            return
        gave = await _Node(self, self._whole, node, place, self._speech).run()
        self.names[node.id] = gave
        self._speech.ended(node.id, gave, node.speaks)
        if isinstance(gave, dict) and isinstance(gave.get("case"), str):
            self._chosen[node.id] = gave["case"]

    def _is_skipped(self, node: Ready) -> bool:
        skipped = self._skipped
        if node.cases and not any(self._chosen.get(branch) == case for branch, case in node.cases):
            return True
        if any(name in skipped for name in node.needs):
            return True
        return bool(node.may) and not node.needs and not node.cases and all(name in skipped for name in node.may)


class _Node:
    """One node, once: its parameters, its step with its tries, its trace."""

    def __init__(self, level: _Level, whole: _Run, node: Ready, place: str, speech: Speech) -> None:
        self._level = level
        self._whole = whole
        self._node = node
        self._place = place
        self._ears = _Ears(whole, speech, speech.may(node.id), level.up)
        self._worked = False

    async def run(self) -> Json:
        node, whole, began = self._node, self._whole, time()
        whole.begun()
        whole.watch(Trace(self._place, node.name, "running", began))
        try:
            gave = await self._step() if node.kind.stepped else await self._within(self._made())
        except SizewiseError as error:
            self._told(began, "failed", error.code)
            raise placed(error, self._place) from error.__cause__
        except asyncio.CancelledError:
            self._told(began, "failed", "cancelled")
            raise
        if node.kind.tightens and isinstance(gave, dict):
            whole.tighten(gave.get("data_class"))
        self._told(began, "done" if self._worked or not node.kind.stepped else "kept")
        return gave

    def _told(self, began: float, state: State, error: str = "") -> None:
        ears = self._ears
        self._whole.watch(
            Trace(self._place, self._node.name, state, began, time(), ears.model, ears.usage, ears.cost, error)
        )

    def _made(self) -> Kind:
        node = self._node
        if node.made is not None:
            return node.made
        try:
            values = filled(node.values, self._level.names)
            return msgspec.convert(values, node.kind)
        except Wrong as wrong:
            raise BadRequest(wrong.message, wrong.hint) from wrong
        except msgspec.ValidationError as wrong:
            said = str(wrong).replace("`$.", "`")
            raise BadRequest(f"a parameter does not fit: {said[:1].lower()}{said[1:]}") from wrong

    async def _step(self) -> Json:
        """Its result goes through JSON, also where nothing is kept: so it is the same after a crash."""
        made = await self._whole.steps.step(self._place, self._work)
        self._whole.gave(len(made))
        return msgspec.json.decode(made)

    async def _work(self) -> bytes:
        self._worked = True
        kind = self._made()
        gave = await self._tries(kind)
        try:
            made = msgspec.json.encode(gave)
        except (TypeError, OverflowError) as wrong:
            raise ConfigError(f"a {self._node.name!r} gave what JSON cannot say: {wrong}") from wrong
        if len(made) > OUTPUT:
            raise BadRequest(f"what it gives is larger than {OUTPUT} bytes", "Give less, or work on parts.")
        if self._ears.model or self._ears.cost:
            self._whole.steps.note(self._place, model=self._ears.model, cost=self._ears.cost or 0)
        return made

    async def _tries(self, kind: Kind) -> Json:
        retry = self._node.retry
        for tried in range(1, retry.times + 1):
            try:
                return await self._within(kind)
            except SizewiseError as error:
                if tried == retry.times or self._ears.spoke or not worth_again(error):
                    raise
                pause = max(retry.wait_s * 2 ** (tried - 1), error.retry_after or 0)
                await asyncio.sleep(min(pause, PAUSE_MOST_S))
        raise AssertionError("a node has at least one try")

    async def _within(self, kind: Kind) -> Json:
        """Once, within its time."""
        whole, limit = self._whole, self._node.timeout_s
        key = f"{whole.id}:{self._place}"
        job = Job(
            self._place,
            key,
            whole.asking(),
            whole.means,
            self._ears,
            whole.steps,
            _Body(self),
            self._ears.speaks,
            whole.left,
        )
        if limit is None:
            return await kind.run(job)
        try:
            async with asyncio.timeout(limit):
                return await kind.run(job)
        except TimeoutError:
            raise UpstreamSlow(f"it took longer than {limit:g} s", "Raise its timeout_s, or give it less.") from None

    # ---- what it holds ----------------------------------------------------------------------------------------------

    def around(self) -> dict[str, Json]:
        """What the nodes within it take from outside."""
        names = self._level.names
        return {name: names[name] for name in self._node.outer if name in names}

    async def round(self, mark: str, names: Mapping[str, Json]) -> Json:
        assert self._node.inner is not None
        inside = {**self.around(), **names}
        place = f"{self._place}{mark}"
        level = _Level(self._whole, self._node.inner, inside, place, silent(), self._level.depth, self._ears)
        return await level()

    def late(self, name: str, names: Mapping[str, Json]) -> Json:
        try:
            return filled(self._node.late.get(name), {**self.around(), **names})
        except Wrong as wrong:
            raise BadRequest(f"`{name}`: {wrong.message}", wrong.hint) from wrong

    async def flow(self, flow: Runnable, inputs: Mapping[str, Json], send: Send) -> Json:
        depth = self._level.depth + 1
        if depth > DEEPEST:
            raise BadRequest(f"flows call each other deeper than {DEEPEST}", "Does one call itself for ever?")
        other = cast(Flow, flow)
        names = {"inputs": accepted(other, inputs)}
        speech = Speech(send, other.voice, Chosen("", "", 0))
        outputs = await _Level(self._whole, other.graph, names, self._place, speech, depth, self._ears)()
        if self._ears.speaks:
            await speech.end(outputs)
        return outputs


class _Body:
    """What a node may do with the nodes that it holds, and with other flows."""

    def __init__(self, node: _Node) -> None:
        self._node = node

    async def __call__(self, mark: str, names: Mapping[str, Json]) -> Json:
        return await self._node.round(mark, names)

    def late(self, name: str, names: Mapping[str, Json]) -> Json:
        return self._node.late(name, names)

    async def flow(self, flow: Runnable, inputs: Mapping[str, Json], send: Send) -> Json:
        return await self._node.flow(flow, inputs, send)


def worth_again(error: SizewiseError) -> bool:
    """Whether another try may do better: what is wrong lies outside, and the words of the flow are not at fault."""
    return isinstance(error, Busy) or (error.status >= 500 and not isinstance(error, ConfigError))


def placed(error: SizewiseError, place: str) -> SizewiseError:
    """The same error, with the innermost node in front."""
    if not error.node:
        error.node = place
        error.message = f"{place}: {error.message}"
        error.args = (error.message,)
    return error
