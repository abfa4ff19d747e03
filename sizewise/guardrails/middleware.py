"""Guardrail middleware: scans the request before routing and the reply before it leaves, and takes the actions.

Knows neither models nor places. Masking depends on both, so it is applied per attempt (masking.py). Findings are
reported as counts in a GuardrailTriggered event, never as text.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Protocol

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from sizewise.data_class import DataClass, strictest
from sizewise.errors import GuardrailBlocked
from sizewise.guardrails.base import Finding, Guard, OriginAwareGuard, TextOrigin
from sizewise.guardrails.clean_texts import MIN_CHARS, CleanTexts
from sizewise.guardrails.data_leakage import DataLeakageGuard
from sizewise.guardrails.json_text import JSON_OPENINGS, MIN_TEXT_CHARS, decode_json, json_texts
from sizewise.guardrails.output_filter import FindingCounts, OutputFilter, find_leaks, redact_reply
from sizewise.guardrails.prefilter import Prefilter, PrefilteredGuard
from sizewise.guardrails.pseudonymization import NON_TEXT_FIELDS, ORIGINAL_FIELD, ScanFindings
from sizewise.guardrails.tool_allowlist import ToolAllowlist
from sizewise.guardrails.untrusted_content import texts_by_origin
from sizewise.handler import (
    GuardrailAction,
    GuardrailScan,
    GuardrailTriggered,
    Handler,
    Request,
    RequestOptions,
    Send,
    Spotlighting,
)
from sizewise.messages import ChatRequest, EmbeddingRequest, Reply, Usage, reply_size, request_size
from sizewise.offload.offload import LONG_BYTES

ACTIONS: Mapping[str, GuardrailAction] = {
    "flag": "flagged",
    "mark": "marked",
    "mask": "flagged",
    "local": "local",
    "block": "blocked",
    "remove": "removed",  # the tool allowlist's action; not a setting
}
ORIGINS: Mapping[str, TextOrigin] = {"people": "person", "tools": "others", "embedded": "embedded"}
"""`injection_sources` in the settings -> the origin it scans. The owner's own texts cannot be chosen."""


LONG_TEXT_BYTES = 32 * 1024
"""Texts from this size are scanned in a worker process: guards take about 0.5 us a byte."""


class GuardrailRules(Struct, frozen=True):
    """Guardrail rules of one policy. `active` guards scan the request, `masking_guards` name those that mask. If the
    `prefilter` finds no sign, only the `unfiltered` guards run. None of them runs on a text in `clean`.

    `origin_aware` guards scan messages from `suspect_origins`. `actions` is by guard; `leakage_action` is for replies;
    `detected_classes` is the data class that a guard's finding gives the request. `spotlighting` is what each attempt
    adds, without a canary: with `adds_canary`, every request gets a new one. A
    finding of a guard in `marking` has the tool results of its request datamarked.
    """

    active: tuple[tuple[str, Guard], ...]
    actions: dict[str, str]
    masking_guards: frozenset[str]
    leakage_action: str
    detected_classes: dict[str, DataClass]
    origin_aware: tuple[tuple[str, OriginAwareGuard], ...] = ()
    allowlist: ToolAllowlist = ToolAllowlist()
    spotlighting: Spotlighting | None = None
    adds_canary: bool = False
    marking: frozenset[str] = frozenset()
    suspect_origins: frozenset[TextOrigin] = frozenset()
    prefilter: Prefilter | None = None
    unfiltered: tuple[tuple[str, Guard], ...] = ()
    clean: CleanTexts = field(default_factory=CleanTexts)


def split_prefiltered(active: tuple[tuple[str, Guard], ...]) -> tuple[Prefilter | None, tuple[tuple[str, Guard], ...]]:
    """The prefilter of all guards that have signs, and the guards that have none."""
    traces = [guard.signs for _, guard in active if isinstance(guard, PrefilteredGuard)]
    others = tuple((name, guard) for name, guard in active if not isinstance(guard, PrefilteredGuard))
    return Prefilter(traces) if traces else None, others


def request_texts(payload: ChatRequest | EmbeddingRequest) -> list[str]:
    """All texts of a request. Raises BadBody for a field that cannot be decoded."""
    fields = payload.fields
    again = ORIGINAL_FIELD in fields
    found: list[str] = []
    for name, raw in fields.items():
        if name in NON_TEXT_FIELDS:
            continue
        if name == "messages" and not again and isinstance(payload, ChatRequest):
            said = plain_texts(payload, raw)
            if said is not None:
                found += said
                continue
        found += json_texts(decode_json(raw, name), name)
    return list(dict.fromkeys(found)) if again else found


class PlainMessage(Struct, forbid_unknown_fields=True):
    role: str
    content: str


_bare = msgspec.json.Decoder(list[PlainMessage])
MESSAGE_OVERHEAD: int = len('{"role":"","content":""},')


def plain_texts(chat: ChatRequest, raw: Raw) -> list[str] | None:
    """Texts of the messages if each is a role and a plain text and nothing else, so that `raw` need not be decoded
    again; otherwise None.
    """
    found: list[str] = []
    least = 1
    for message in chat.messages:
        said = message.content
        if not isinstance(said, str) or len(said) < MIN_TEXT_CHARS or said[0] in JSON_OPENINGS:
            return None
        found.append(said)
        least += MESSAGE_OVERHEAD + len(message.role) + len(said)
    if memoryview(raw).nbytes == least:
        return found  # as short as JSON with these texts can be, so there are no other fields
    try:
        _bare.decode(raw)
    except msgspec.ValidationError:
        return None
    return found


Found = tuple[FindingCounts, dict[str, list[Finding]]]
"""The counts of all findings, and the findings of masking guards by text."""


def find_in_request(payload: ChatRequest | EmbeddingRequest, rules: GuardrailRules) -> Found:
    """Raises BadBody."""
    found = _find(payload, rules, request_size(payload), in_full=True)
    assert found is not None
    return found


def find_in_short_request(payload: ChatRequest | EmbeddingRequest, rules: GuardrailRules) -> Found | None:
    """As `find_in_request`; None if that would take milliseconds, because guards must run on a long text."""
    size = request_size(payload)
    if size >= LONG_BYTES and (rules.active or rules.origin_aware):
        return None
    return _find(payload, rules, size, in_full=False)


def _find(payload: ChatRequest | EmbeddingRequest, rules: GuardrailRules, size: int, in_full: bool) -> Found | None:
    told: list[tuple[str, str]] = []
    seen: dict[str, list[Finding]] = {}
    active = rules.active
    if active:
        said = request_texts(payload)
        if rules.prefilter is not None and not rules.prefilter("\n".join(said)):
            active = rules.unfiltered
    if active:
        if size >= MIN_CHARS:
            said = rules.clean.without(said)
        if not in_full and sum(map(len, said)) >= LONG_TEXT_BYTES:
            return None
        clean: list[str] = []
        for text in said:
            hidden: list[Finding] = []
            before = len(told)
            for name, guard in active:
                found = guard(text)
                if found:
                    told += [(name, each.kind) for each in found]
                    hidden += found if name in rules.masking_guards else ()
            if hidden:
                seen[text] = hidden
            if len(told) == before:
                clean.append(text)
        rules.clean.add(clean)
    if rules.origin_aware:
        foreign = texts_by_origin(payload, rules.suspect_origins)
        if not in_full and sum(len(text) for _, text in foreign) >= LONG_TEXT_BYTES:
            return None
        for origin, text in foreign:
            for name, guard_of in rules.origin_aware:
                if one := guard_of.for_origin(origin):
                    told += [(name, each.kind) for each in one(text)]
    return Counter(told) if told else {}, seen


def scan_request(request: Request, rules: GuardrailRules) -> tuple[Request, FindingCounts]:
    """The request with scan result and tightened options, and what was found. Raises BadBody; does not block."""
    return _scanned(request, rules, find_in_request(request.payload, rules))


def scan_short_request(request: Request, rules: GuardrailRules) -> tuple[Request, FindingCounts] | None:
    """As `scan_request`; None if that would take milliseconds."""
    found = find_in_short_request(request.payload, rules)
    return None if found is None else _scanned(request, rules, found)


def _scanned(request: Request, rules: GuardrailRules, found: Found) -> tuple[Request, FindingCounts]:
    counts, seen = found
    if not counts:
        return replace(request, scan=GuardrailScan(request.payload, rules.masking_guards, True)), {}
    clean = rules.masking_guards.isdisjoint(name for name, _ in counts)
    scan = ScanFindings(request.payload, rules.masking_guards, clean, seen)
    return with_scan(request, scan, counts, rules), counts


def with_scan(request: Request, scan: GuardrailScan, counts: FindingCounts, rules: GuardrailRules) -> Request:
    """`request` with its scan result, and with the options that the findings tighten."""
    return replace(request, scan=scan, options=_tighten_options(request.options, {name for name, _ in counts}, rules))


def _tighten_options(options: RequestOptions, guards: set[str], rules: GuardrailRules) -> RequestOptions:
    """Findings only ever make the options stricter."""
    classes = [rules.detected_classes[name] for name in guards if name in rules.detected_classes]
    by = f"the guardrail {' and '.join(sorted(guards))}"
    if classes:
        said = classes if options.data_class is None else [*classes, options.data_class]
        if (strict := strictest(*said)) != options.data_class:
            options = replace(options, data_class=strict, constraint_source=by)
    if options.online != "deny" and any(rules.actions.get(name) == "local" for name in guards):
        options = replace(options, online="deny", constraint_source=by)
    return options


ScanRequest = Callable[[Request], tuple[Request, FindingCounts, GuardrailRules] | None]
"""None: the request is too long to be scanned on the event loop."""


class LongScans(Protocol):
    """Scans of long requests and replies, away from the event loop."""

    async def scan(self, request: Request) -> tuple[Request, FindingCounts, GuardrailRules]: ...
    async def stream_guard(self, guard: DataLeakageGuard, chat: ChatRequest, system: str, own_canary: str) -> Guard: ...
    async def leaks(self, request: Request, reply: Reply, system: str, own_canary: str) -> Mapping[str, list[Finding]]:
        """The leaks in each text of the reply."""
        ...


class GuardrailMiddleware:
    """Streams pass unchanged unless leaks are masked or blocked. With `long`, long requests and replies are scanned
    in a worker process.
    """

    def __init__(
        self,
        handler: Handler,
        scan: ScanRequest,
        leakage: DataLeakageGuard,
        long: LongScans | None = None,
    ) -> None:
        self._handler = handler
        self._scan = scan
        self._leakage = leakage
        self._long = long

    def __call__(self, request: Request, send: Send) -> Coroutine[object, object, Reply]:
        scanned = self._scan(request)
        if scanned is None:
            return self._handle_long(request, send)
        asked, counts, rules = scanned
        if not counts and (rules.leakage_action == "off" or not isinstance(request.payload, ChatRequest)):
            return self._handler(asked, send)
        return self._handle_guarded(asked, send, counts, rules)

    async def _handle_long(self, request: Request, send: Send) -> Reply:
        assert self._long is not None  # otherwise every request is scanned here
        asked, counts, rules = await self._long.scan(request)
        return await self._handle_guarded(asked, send, counts, rules)

    async def _handle_guarded(
        self,
        request: Request,
        send: Send,
        counts: FindingCounts,
        rules: GuardrailRules,
    ) -> Reply:
        if counts:
            for event in _events(counts, rules):
                await send(event)
            raise_if_blocked(counts, rules, "the request")
        chat = request.payload
        if rules.leakage_action == "off" or not isinstance(chat, ChatRequest):
            return await self._handler(request, send)
        if rules.leakage_action != "flag" and chat.stream:
            return await self._filter_stream(request, chat, send, rules)
        reply = await self._handler(request, send)  # a stream has been sent by now
        guard = await self._reply_guard(request, chat, reply)
        counts = find_leaks(reply, guard)
        return await self._handle_leak(reply, counts, guard, send, rules) if counts else reply

    def _guard_for(self, request: Request, chat: ChatRequest) -> Guard:
        return self._leakage.for_request(_system(chat), lambda: request_texts(chat), _own_canary(request))

    async def _reply_guard(self, request: Request, chat: ChatRequest, reply: Reply) -> Guard:
        """The guard for a whole reply; if it or its request is long, one that knows what was found in a worker."""
        long = self._long
        if long is None or (reply_size(reply) < LONG_TEXT_BYTES and request_size(chat) < LONG_BYTES):
            return self._guard_for(request, chat)
        found = await long.leaks(request, reply, _system(chat), _own_canary(request))
        return lambda text: found[text]

    async def _stream_guard(self, request: Request, chat: ChatRequest) -> Guard:
        """The guard for a stream. It has the texts of a long request before it needs them."""
        if self._long is None or request_size(chat) < LONG_BYTES:
            return self._guard_for(request, chat)
        return await self._long.stream_guard(self._leakage, chat, _system(chat), _own_canary(request))

    async def _handle_leak(
        self,
        reply: Reply,
        counts: FindingCounts,
        guard: Guard,
        send: Send,
        rules: GuardrailRules,
    ) -> Reply:
        for event in _events(counts, rules, masked=rules.leakage_action == "mask"):
            await send(event)
        raise_if_blocked(counts, rules, "the reply")
        return redact_reply(reply, guard)[0] if rules.leakage_action == "mask" else reply

    async def _filter_stream(self, request: Request, chat: ChatRequest, send: Send, rules: GuardrailRules) -> Reply:
        """Filters a stream before the client sees it. A blocking finding stops the model."""
        guard = await self._stream_guard(request, chat)
        outgoing = OutputFilter(send, guard, rules.leakage_action == "block")
        task = asyncio.get_running_loop().create_task(_run(self._handler(request, outgoing)))
        outgoing.stop = task.cancel
        try:
            reply = await task
            await outgoing.end()
        except asyncio.CancelledError:
            if not outgoing.blocked:
                task.cancel()
                await asyncio.wait({task})
                raise
            reply = Reply((), Usage())  # never returned: raise_if_blocked raises below
        for event in _events(outgoing.counts, rules, masked=rules.leakage_action == "mask"):
            await send(event)
        raise_if_blocked(outgoing.counts, rules, "the reply")
        if not outgoing.counts:
            return reply
        return redact_reply(reply, await self._reply_guard(request, chat, reply))[0]


async def _run(answering: Coroutine[object, object, Reply]) -> Reply:
    return await answering


def raise_if_blocked(counts: FindingCounts, rules: GuardrailRules, location: str) -> None:
    """Raises GuardrailBlocked if a guard with a finding has the action `block`."""
    for guard, kind in counts:
        action = rules.leakage_action if guard == "leakage" else rules.actions.get(guard)
        if action == "block":
            hint = f"remove it, or change the action of {guard!r} in [guardrails] or in the policy"
            raise GuardrailBlocked(
                f"the guardrail {guard!r} found {kind} in {location}, and the settings block it",
                hint,
            )


def _events(counts: FindingCounts, rules: GuardrailRules, masked: bool = False) -> Iterator[GuardrailTriggered]:
    """One event per action. `mask` is reported as flagged here: masking happens per attempt, with its own event."""
    by: dict[GuardrailAction, list[tuple[str, str, int]]] = {}
    for (guard, kind), count in counts.items():
        action = rules.leakage_action if guard == "leakage" else rules.actions.get(guard, "flag")
        if action == "mark" and kind == "DIRECT":
            action = "flag"  # only what others wrote is marked
        by.setdefault("masked" if masked else ACTIONS[action], []).append((guard, kind, count))
    for done, found in by.items():
        yield GuardrailTriggered(tuple(found), done)


def _own_canary(request: Request) -> str:
    return request.spotlighting.canary if request.spotlighting is not None else ""


def _system(chat: ChatRequest) -> str:
    return " ".join([each.text for each in chat.messages if each.role == "system" or each.role == "developer"])
