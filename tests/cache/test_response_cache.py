"""The exact cache gives an answer again to the same question of the same people only, and only where wished for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import fields
from dataclasses import replace as replace_card
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some
from msgspec.structs import replace

from sizewise.cache.cache_key import request_digest
from sizewise.cache.fingerprints import SECTIONS_OF_ANSWERS, plan_fingerprint, stable_repr
from sizewise.cache.response_cache import CacheEntry, CacheStore, ResponseCache
from sizewise.cache.response_cache import response_cache_key as key_of
from sizewise.handler import (
    ChoiceFinished,
    Event,
    ModelSelected,
    Request,
    RequestOptions,
    Send,
    TextDelta,
    discard_events,
)
from sizewise.messages import ChatRequest, Choice, EmbeddingRequest, Reply, Usage
from sizewise.model_card import ModelCard, ModelEndpoint
from sizewise.principal import Principal
from sizewise.providers.wires.openai.request_response import read_request
from sizewise.providers.wires.original_body import OriginalBody
from sizewise.routing.model_aliases import ModelAliases, RoutePlan
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policies.cheapest import CheapestPolicy
from sizewise.routing.policy import Policy
from sizewise.settings.root import FileSettings
from sizewise.settings.storage import ResponseCacheSettings
from tests.cache.slow_upstream import SlowUpstream, settings
from tests.gateway.server_harness import CHAT, booked, frames, words
from tests.running_server import Answer, Served, serving, until

BESIDE_THE_ANSWER = """
server records stored_responses files batches evals flows idempotency response_cache shadow learn roles login_sessions
sign_in oidc encryption secrets limits budgets database knowledge graphql sandbox jobs git agents memory mcp triggers
hosts webhooks alerts slo annotation receivers environments edge logs otlp web_search network
"""
SMALL, LARGE = (
    ModelCard(f"here/{name}", ModelEndpoint("here"), name, parameters=n) for name, n in (("s", 10**8), ("l", 10**10))
)
BODY = {"model": "auto", "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]}


def names(policy: Policy | None = None, cards: tuple[ModelCard, ...] = (SMALL, LARGE)) -> ModelAliases:
    return ModelAliases(cards, {"default": policy or CascadePolicy(), "other": CheapestPolicy()})


class Counting:
    """Answers well, and counts how often it was asked."""

    def __init__(self, reply: Reply | None = None) -> None:
        self.asked = 0
        self.reply = reply or Reply((Choice(0, "hello", "stop"),), Usage(3, 1), "s")

    async def __call__(self, request: Request, send: Send) -> Reply:
        self.asked += 1
        await send(ModelSelected("here/s", "cheapest that fits", 1, "default"))
        for event in (TextDelta(0, "hel", frame=b"{}"), TextDelta(0, "lo"), ChoiceFinished(0, "stop")):
            await send(event)
        return self.reply


def question(principal: Principal | None = None, options: RequestOptions | None = None, **body: object) -> Request:
    what, _ = read_request(msgspec.json.encode(BODY | body))
    return Request(what, principal or Principal(), "0" * 32, 0.0, options or RequestOptions())


def times(*requests: Request, reply: Reply | None = None) -> int:
    """How often the model is asked for these questions, one after the other."""
    model = Counting(reply)
    cached = ResponseCache(model, names(), ResponseCacheSettings(ttl_s=60))

    async def everything() -> None:
        for request in requests:
            await cached(request, discard_events)

    asyncio.run(everything())
    return model.asked


def test_the_same_question_is_asked_once() -> None:
    assert times(question(), question(), question()) == 1


def test_how_an_answer_is_sent_makes_no_other_question() -> None:
    assert times(question(), question(stream=True), question(stream=True, stream_options={"include_usage": True})) == 1


@pytest.mark.parametrize(
    "caller",
    [
        Principal(tenant="other"),
        Principal(project="other"),
        Principal(permissions=frozenset({"ask", "read"})),
        Principal(data_class="confidential"),
    ],
    ids=["tenant", "project", "roles", "data class"],
)
def test_another_tenant_project_role_or_class_never_hits(caller: Principal) -> None:
    assert times(question(), question(caller)) == 2


def test_another_key_of_the_same_project_and_roles_hits() -> None:
    assert times(question(Principal(key_id="a", name="a")), question(Principal(key_id="b", name="b"))) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"model": "here/s"},
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]},
        {"messages": [{"role": "user", "content": "Hi"}]},
        {"temperature": 0.5},
        {"seed": 1},
        {"never_heard_of": {"a": [1]}},
    ],
    ids=["model", "system prompt", "no system prompt", "temperature", "seed", "a field nobody reads"],
)
def test_another_model_system_prompt_or_field_never_hits(body: dict[str, object]) -> None:
    assert times(question(), question(None, None, **body)) == 2


@pytest.mark.parametrize(
    "wishes",
    [
        RequestOptions(policy="other"),
        RequestOptions(data_class="public"),
        RequestOptions(online="deny"),
        RequestOptions(max_cost=1),
    ],
    ids=["policy", "data class", "online", "cost"],
)
def test_another_wish_never_hits(wishes: RequestOptions) -> None:
    assert times(question(), question(None, wishes)) == 2


async def test_a_policy_beside_a_named_model_makes_no_version() -> None:
    """It means nothing there, and a client may send any text."""
    planned, aliases = list[str | None](), names()

    def plan(payload: ChatRequest | EmbeddingRequest, policy: str | None) -> RoutePlan:
        planned.append(policy)
        return aliases(payload, policy)

    cached = ResponseCache(Counting(), plan, ResponseCacheSettings(ttl_s=60))

    for number in range(1_000):
        await cached(question(None, RequestOptions(policy=f"any {number}"), model="here/s"), discard_events)
    for policy in ("default", "other", "other"):
        await cached(question(None, RequestOptions(policy=policy)), discard_events)
    assert planned == [None, "default", "other"]


def test_another_version_of_the_policy_or_of_a_model_never_hits() -> None:
    request = question()
    moved = ModelCard("here/l", ModelEndpoint("elsewhere"), "l", parameters=10**10)
    others = (
        names(CascadePolicy(threshold=0.99)),
        names(CheapestPolicy()),
        names(cards=(SMALL, moved)),
        names(cards=(SMALL,)),
    )
    keys = [key_of(request, plan_fingerprint(each(request.payload))) for each in (names(), names(), *others)]
    assert keys[0] == keys[1] and len(set(keys)) == 1 + len(others)


@pytest.mark.parametrize(
    "reply",
    [
        Reply((Choice(0, "hello", "stop"),), Usage(), degraded="distrusted"),
        Reply((Choice(0, "hel", "length"),), Usage()),
        Reply((Choice(0, "hello", "stop"), Choice(1, "", "content_filter")), Usage()),
        Reply((), Usage()),
    ],
    ids=["degraded", "cut", "filtered", "empty"],
)
def test_only_whole_good_answers_are_kept(reply: Reply) -> None:
    assert times(question(), question(), reply=reply) == 2


def test_who_wants_none_of_it_asks_anew() -> None:
    anew, none = RequestOptions(cache="no-cache"), RequestOptions(cache="no-store")
    assert times(question(), question(None, anew), question()) == 2
    assert times(question(None, none), question()) == 2
    assert times(question(), question(None, none)) == 2


async def test_a_hit_says_so_and_tells_the_same_words() -> None:
    cached, heard = ResponseCache(Counting(), names(), ResponseCacheSettings(ttl_s=60)), list[Event]()

    async def hear(event: Event) -> None:
        heard.append(event)

    await cached(question(stream=True), discard_events)
    reply = await cached(question(stream=True), hear)
    assert reply == Counting().reply
    why = "the same request was answered 0 s ago (response cache)"
    assert heard == [ModelSelected("here/s", why, 0, "default"), TextDelta(0, "hello"), ChoiceFinished(0, "stop")]


def test_answers_go_when_their_time_is_over_and_the_longest_unused_go_first() -> None:
    shelf = CacheStore(max_entries=2, max_bytes=10_000)
    for name in (b"a", b"b"):
        shelf.put(name, CacheEntry(0, 10, b"x"))
    assert shelf.get(b"a", 1)
    shelf.put(b"c", CacheEntry(0, 10, b"x"))
    assert shelf.get(b"b", 1) is None and shelf.get(b"a", 1)
    assert shelf.get(b"a", 10) is None and len(shelf) == 1
    shelf.put(b"d", CacheEntry(0, 10, b"x" * 20_000))
    assert shelf.get(b"d", 1) is None and shelf.get(b"c", 1)


@given(some.lists(some.tuples(some.integers(0, 20), some.integers(0, 5_000)), max_size=60))
def test_the_shelf_keeps_its_bounds(kept: list[tuple[int, int]]) -> None:
    shelf = CacheStore(max_entries=7, max_bytes=10_000)
    for name, size in kept:
        shelf.put(bytes([name]), CacheEntry(0, 10, b"x" * size))
        assert len(shelf) <= 7 and 0 <= shelf.bytes <= 10_000


def test_a_fingerprint_is_the_same_in_each_process() -> None:
    card = replace_card(
        SMALL, input_modalities=frozenset({"image", "audio", "file"}), languages=frozenset({"en", "de"})
    )
    told = stable_repr((card, MappingProxyType({"a": (1,), "b": frozenset()})))
    assert "frozenset({'audio', 'file', 'image'})" in told and "frozenset({'de', 'en'})" in told
    assert stable_repr(SMALL) == repr(SMALL).replace("mappingproxy({})", "{}")


def test_each_section_of_the_settings_is_known_to_act_on_answers_or_not() -> None:
    """One that acts below the cache belongs to SECTIONS_OF_ANSWERS: servers that differ there share none."""
    others = {each.name for each in fields(FileSettings)} - set(SECTIONS_OF_ANSWERS)
    assert others == set(BESIDE_THE_ANSWER.split())


# ---- the key

JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = some.text("abcdefgh_", min_size=1, max_size=8)


def key(fields: dict[str, object], **options: object) -> bytes:
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
    what = ChatRequest("m", [], raw)
    return request_digest(Request(what, Principal(), "0" * 32, 0.0, msgspec.convert(options, RequestOptions)))


@pytest.mark.long
@given(some.dictionaries(NAMES, JSON, max_size=4), NAMES, JSON, JSON)
def test_any_changed_field_changes_the_key(fields: dict[str, object], name: str, value: object, other: object) -> None:
    with_it = key({**fields, name: value})
    assert (with_it == key({**fields, name: other})) == (msgspec.json.encode(value) == msgspec.json.encode(other))
    assert with_it != key({each: fields[each] for each in fields if each != name})


@pytest.mark.long
@given(some.dictionaries(NAMES, JSON, max_size=4), some.booleans())
def test_neither_the_stream_flag_nor_order_nor_blanks_nor_the_idempotency_key_change_it(
    fields: dict[str, object],
    flag: bool,
) -> None:
    sent = {"stream": flag, "stream_options": {"include_usage": flag}}
    turned = dict(reversed([*fields.items(), *sent.items()]))
    assert key(fields) == key(turned) == key(fields, idempotency_key="k") == key(fields, cache="no-cache")
    spaced = {name: msgspec.Raw(msgspec.json.format(msgspec.json.encode(value))) for name, value in fields.items()}
    assert request_digest(Request(ChatRequest("m", [], spaced), Principal(), "", 0.0)) == key(fields)


def test_the_key_of_a_request_is_that_of_the_versions_before() -> None:
    """Servers of two versions share idempotency keys: a new option of a request is UNSET where nobody set it."""
    said = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}
    assert key(said).hex()[:16] == "43444d577286a8c0"
    assert key(said, policy="fixed", data_class="internal", session="s").hex()[:16] == "1c767a529accc353"


@pytest.mark.parametrize("odd", [b"1e999", b"1" + b"0" * 5_000, b"[" * 200_000 + b"]" * 200_000])
def test_what_cannot_be_read_is_compared_as_it_came(odd: bytes) -> None:
    requests = [
        Request(ChatRequest("m", [], {"x": msgspec.Raw(raw)}), Principal(), "", 0.0)
        for raw in (odd, odd, odd[:-1] + b" " + odd[-1:])
    ]
    one, same, other = map(request_digest, requests)
    assert one == same != other


def test_what_the_translation_of_another_wire_does_not_say_is_part_of_the_question() -> None:
    def asked(untold: list[str], **body: object) -> bytes:
        origin = OriginalBody("theirs", msgspec.Raw(msgspec.json.encode(body)), untold).to_field()
        return request_digest(Request(ChatRequest("m", [], {"sizewise_origin": origin}), Principal(), "", 0.0))

    assert asked([]) == asked([], mark=1) == request_digest(Request(ChatRequest("m", [], {}), Principal(), "", 0.0))
    assert asked(["mark"], mark=1) == asked(["mark"], mark=1, stream=True)
    assert asked(["mark"], mark=1) != asked(["mark"], mark=2)


def test_a_question_to_a_chat_model_is_none_for_vectors() -> None:
    request = Request(ChatRequest("m", [], {}), Principal(), "", 0.0)
    assert request_digest(request) != request_digest(replace(request, payload=EmbeddingRequest("m", [], {})))


# ---- over HTTP


@pytest.fixture(scope="module")
def cached(upstream: SlowUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    more = "[response_cache]\nttl_s = 60\n"
    with serving(tmp_path_factory.mktemp("cached"), settings(upstream.url, more)) as served:
        yield served


def ask(served: Served, said: str, **more: object) -> Answer:
    return served.ask(CHAT, {"model": "up/well", "messages": [{"role": "user", "content": said}], **more})


def test_through_the_endpoint_it_costs_nothing_and_is_recorded_so(cached: Served, up: SlowUpstream) -> None:
    first, second = ask(cached, "once"), ask(cached, "once")
    assert second.body == first.body and up.asked("well") == 1
    assert second.headers["x-sizewise-cost-usd"] == "0" and "response cache" in second.headers["x-sizewise-why"]
    trace = second.headers["x-sizewise-trace"]
    until(lambda: booked(cached.home, trace))
    (record,) = booked(cached.home, trace)
    assert (record["model"], record["attempts"], record["cost"]) == ("up/well", 0, 0)
    payloads = frames(ask(cached, "once", stream=True).body)
    assert words(payloads) == "Hello from the upstream." and payloads[-1] == "[DONE]"
    assert up.asked("well") == 1


@pytest.mark.parametrize("said", ["no-cache", "No-Store", "max-age=0, no-cache"])
def test_http_says_how_to_go_round_it(cached: Served, up: SlowUpstream, said: str) -> None:
    body = {"model": "up/well", "messages": [{"role": "user", "content": f"round it: {said}"}]}
    assert [cached.ask(CHAT, body, cache_control=said).status for _ in range(2)] == [200, 200]
    assert up.asked("well") == 2
    kept = "response cache" in cached.ask(CHAT, body, cache_control="max-age=60").headers["x-sizewise-why"]
    assert kept == (said != "No-Store")


def test_it_is_off_unless_it_is_wished_for(served: Served, up: SlowUpstream) -> None:
    for _ in range(2):
        assert ask(served, "twice").status == 200
    assert up.asked("well") == 2
