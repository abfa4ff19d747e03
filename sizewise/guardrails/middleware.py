"""The whole request before it is routed, and the reply before it leaves: what guards find there, and what comes of it.

Knows neither models nor places: masking, which depends on them, is each attempt's (masked.py). What is found is told as
counts, in an event of its own; never a word of it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from sizewise.data_class import DataClass, strictest
from sizewise.errors import Blocked
from sizewise.guardrails.base import Finding, Guard, Origin, Sighted
from sizewise.guardrails.data_leakage import Leakage
from sizewise.guardrails.json_text import OPENING, SHORTEST, read, texts
from sizewise.guardrails.output_filter import Counts, Outgoing, cleared, leaks
from sizewise.guardrails.prefilter import FirstLook, Traced
from sizewise.guardrails.pseudonymization import ORIGIN, PLAIN, Looked
from sizewise.guardrails.tool_allowlist import Toolbox
from sizewise.guardrails.untrusted_content import origins
from sizewise.handler import Answerer, Ask, Done, Fence, Found, Guarded, Send, Wishes
from sizewise.messages import Chat, Embed, Reply, Usage

TOLD: Mapping[str, Done] = {
    "flag": "flagged",
    "mask": "flagged",
    "local": "local",
    "block": "blocked",
    "remove": "removed",  # the toolbox's, which nobody sets
}
SOURCES: Mapping[str, Origin] = {"people": "person", "tools": "others", "embedded": "embedded"}
"""Who wrote them, by whose words the settings call them; the owner's own are none of them."""


class Rules(Struct, frozen=True):
    """What holds under one policy. `active` guards look at requests; `hiding` ones of them mask. Where the `first_look`
    finds no trace, only `always` of them are asked.

    `sighted` ones look at messages, and at each by whom it is from, where these are `suspects`. `actions` is by guard;
    `leakage` what is done about replies; `detected` the class of data that a guard's finding makes of a request. `box`
    says which tools there are, `fence` what each attempt adds, without the `canary` that is drawn for each request.
    """

    active: tuple[tuple[str, Guard], ...]
    actions: dict[str, str]
    hiding: frozenset[str]
    leakage: str
    detected: dict[str, DataClass]
    sighted: tuple[tuple[str, Sighted], ...] = ()
    box: Toolbox = Toolbox()
    fence: Fence | None = None
    canary: bool = False
    suspects: frozenset[Origin] = frozenset()
    first_look: FirstLook | None = None
    always: tuple[tuple[str, Guard], ...] = ()


def traced(active: tuple[tuple[str, Guard], ...]) -> tuple[FirstLook | None, tuple[tuple[str, Guard], ...]]:
    """The first look for those that leave traces, and the others."""
    traces = [guard.traces for _, guard in active if isinstance(guard, Traced)]
    others = tuple((name, guard) for name, guard in active if not isinstance(guard, Traced))
    return FirstLook(traces) if traces else None, others


def words(what: Chat | Embed) -> list[str]:
    """Every text of a request, each once. Raises BadBody for what cannot be gone through."""
    fields = what.fields
    again = ORIGIN in fields
    found: list[str] = []
    for name, raw in fields.items():
        if name in PLAIN:
            continue
        if name == "messages" and not again and isinstance(what, Chat):
            said = bare(what, raw)
            if said is not None:
                found += said
                continue
        found += texts(read(raw, name), name)
    return list(dict.fromkeys(found)) if again else found


class Bare(Struct, forbid_unknown_fields=True):
    """A message that is no more than this."""

    role: str
    content: str


_bare = msgspec.json.Decoder(list[Bare])
FRAME: int = len('{"role":"","content":""},')


def bare(chat: Chat, raw: Raw) -> list[str] | None:
    """What its messages say, where they are a role and a text each, and nothing else: then these need not be gone
    through again. Else None."""
    found: list[str] = []
    least = 1
    for message in chat.messages:
        said = message.content
        if not isinstance(said, str) or len(said) < SHORTEST or said[0] in OPENING:
            return None
        found.append(said)
        least += FRAME + len(message.role) + len(said)
    if memoryview(raw).nbytes == least:
        return found  # no shorter JSON says so much, so it says no more
    try:
        _bare.decode(raw)
    except msgspec.ValidationError:
        return None
    return found


def look(ask: Ask, rules: Rules) -> tuple[Ask, Counts]:
    """The request with what guards make of it, and what they found. Raises BadBody; decides nothing about refusing."""
    told: list[tuple[str, str]] = []
    seen: dict[str, list[Finding]] = {}
    active = rules.active
    if active:
        said = words(ask.what)
        if rules.first_look is not None and not rules.first_look("\n".join(said)):
            active = rules.always
        for text in said if active else ():
            hidden: list[Finding] = []
            for name, guard in active:
                found = guard(text)
                if found:
                    told += [(name, each.kind) for each in found]
                    hidden += found if name in rules.hiding else ()
            if hidden:
                seen[text] = hidden
    if rules.sighted:
        for origin, text in origins(ask.what, rules.suspects):
            for name, guard_of in rules.sighted:
                if one := guard_of.by(origin):
                    told += [(name, each.kind) for each in one(text)]
    if not told:
        return replace(ask, found=Found(ask.what, rules.hiding, True)), {}
    counts = Counter(told)
    guards = {name for name, _ in counts}
    clean = not guards & rules.hiding
    wishes = _tightened(ask.wishes, guards, rules)
    return replace(ask, found=Looked(ask.what, rules.hiding, clean, seen), wishes=wishes), counts


def _tightened(wishes: Wishes, guards: set[str], rules: Rules) -> Wishes:
    """What guards found can only keep a request nearer than it wished itself."""
    classes = [rules.detected[name] for name in guards if name in rules.detected]
    by = f"the guard {' and '.join(sorted(guards))}"
    if classes:
        said = classes if wishes.data_class is None else [*classes, wishes.data_class]
        if (strict := strictest(*said)) != wishes.data_class:
            wishes = replace(wishes, data_class=strict, by=by)
    if wishes.online != "deny" and any(rules.actions.get(name) == "local" for name in guards):
        wishes = replace(wishes, online="deny", by=by)
    return wishes


Looking = Callable[[Ask], tuple[Ask, Counts, Rules]]


class Inspected:
    """An Answerer around an Answerer. Words pass untouched unless what leaks shall be masked or blocked."""

    def __init__(self, answer: Answerer, look: Looking, leakage: Leakage) -> None:
        self._answer = answer
        self._look = look
        self._leakage = leakage

    def __call__(self, ask: Ask, send: Send) -> Coroutine[object, object, Reply]:
        asked, counts, rules = self._look(ask)
        if not counts and (rules.leakage == "off" or not isinstance(ask.what, Chat)):
            return self._answer(asked, send)
        return self._watched(asked, send, counts, rules)

    async def _watched(self, ask: Ask, send: Send, counts: Counts, rules: Rules) -> Reply:
        if counts:
            for event in _events(counts, rules):
                await send(event)
            refuse(counts, rules, "the request")
        chat = ask.what
        if rules.leakage == "off" or not isinstance(chat, Chat):
            return await self._answer(ask, send)
        own = ask.fence.canary if ask.fence is not None else ""
        guard = self._leakage.of(_system(chat), lambda: words(chat), own)
        if rules.leakage != "flag" and chat.stream:
            return await self._held(ask, send, guard, rules)
        reply = await self._answer(ask, send)  # a stream has left by then
        counts = leaks(reply, guard)
        return await self._leaky(reply, counts, guard, send, rules) if counts else reply

    async def _leaky(self, reply: Reply, counts: Counts, guard: Guard, send: Send, rules: Rules) -> Reply:
        for event in _events(counts, rules, masked=rules.leakage == "mask"):
            await send(event)
        refuse(counts, rules, "the reply")
        return cleared(reply, guard)[0] if rules.leakage == "mask" else reply

    async def _held(self, ask: Ask, send: Send, guard: Guard, rules: Rules) -> Reply:
        """A stream that is cleared before it is seen. What blocks it stops the model."""
        outgoing = Outgoing(send, guard, rules.leakage == "block")
        task = asyncio.get_running_loop().create_task(_run(self._answer(ask, outgoing)))
        outgoing.stop = task.cancel
        try:
            reply = await task
            await outgoing.end()
        except asyncio.CancelledError:
            if not outgoing.blocked:
                task.cancel()
                await asyncio.wait({task})
                raise
            reply = Reply((), Usage())  # never seen: it is refused below
        for event in _events(outgoing.counts, rules, masked=rules.leakage == "mask"):
            await send(event)
        refuse(outgoing.counts, rules, "the reply")
        return cleared(reply, guard)[0] if outgoing.counts else reply


async def _run(answering: Coroutine[object, object, Reply]) -> Reply:
    return await answering


def refuse(counts: Counts, rules: Rules, where: str) -> None:
    """Raises Blocked where one of the guards that found something blocks."""
    for guard, kind in counts:
        action = rules.leakage if guard == "leakage" else rules.actions.get(guard)
        if action == "block":
            hint = f"leave it out, or set what `guards.{guard}` does in sizewise.toml"
            raise Blocked(f"the guard {guard!r} found {kind} in {where}, and the settings refuse that", hint)


def _events(counts: Counts, rules: Rules, masked: bool = False) -> Iterator[Guarded]:
    """One event for each thing that is done. What a mask hides is only flagged until somebody is asked through it."""
    by: dict[Done, list[tuple[str, str, int]]] = {}
    for (guard, kind), count in counts.items():
        action = rules.leakage if guard == "leakage" else rules.actions.get(guard, "flag")
        by.setdefault("masked" if masked else TOLD[action], []).append((guard, kind, count))
    for done, found in by.items():
        yield Guarded(tuple(found), done)


def _system(chat: Chat) -> str:
    return " ".join([each.text for each in chat.messages if each.role == "system" or each.role == "developer"])
