"""The exact cache gives an answer again to the same question of the same people only, and only where wished for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some
from msgspec.structs import replace

from sizewise.cache.cache_key import digest
from sizewise.cache.response_cache import Cached, Held, Shelf, version
from sizewise.cache.response_cache import question as key_of
from sizewise.handler import Ask, Chosen, Event, Finished, Send, Text, Wishes, quiet
from sizewise.messages import Chat, Choice, Embed, Reply, Usage
from sizewise.model_card import Card, Endpoint
from sizewise.principal import Caller
from sizewise.providers.wires.openai.request_response import read_request
from sizewise.providers.wires.original_body import Origin
from sizewise.routing.model_aliases import Names
from sizewise.routing.policies.cascade import Cascade
from sizewise.routing.policies.cheapest import Cheapest
from sizewise.routing.policy import Policy
from sizewise.settings.storage import ExactCache
from tests.cache.slow_upstream import Patient, settings
from tests.gateway.server_harness import CHAT, booked, frames, words
from tests.running_server import Answer, Served, serving, until

SMALL, LARGE = (Card(f"here/{name}", Endpoint("here"), name, parameters=n) for name, n in (("s", 10**8), ("l", 10**10)))
BODY = {"model": "auto", "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]}


def names(policy: Policy | None = None, cards: tuple[Card, ...] = (SMALL, LARGE)) -> Names:
    return Names(cards, {"default": policy or Cascade(), "other": Cheapest()})


class Counting:
    """Answers well, and counts how often it was asked."""

    def __init__(self, reply: Reply | None = None) -> None:
        self.asked = 0
        self.reply = reply or Reply((Choice(0, "hello", "stop"),), Usage(3, 1), "s")

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        self.asked += 1
        await send(Chosen("here/s", "cheapest that fits", 1, "default"))
        for event in (Text(0, "hel", frame=b"{}"), Text(0, "lo"), Finished(0, "stop")):
            await send(event)
        return self.reply


def question(caller: Caller | None = None, wishes: Wishes | None = None, **body: object) -> Ask:
    what, _ = read_request(msgspec.json.encode(BODY | body))
    return Ask(what, caller or Caller(), "0" * 32, 0.0, wishes or Wishes())


def times(*asks: Ask, reply: Reply | None = None) -> int:
    """How often the model is asked for these questions, one after the other."""
    model = Counting(reply)
    cached = Cached(model, names(), ExactCache(ttl_s=60))

    async def everything() -> None:
        for ask in asks:
            await cached(ask, quiet)

    asyncio.run(everything())
    return model.asked


def test_the_same_question_is_asked_once() -> None:
    assert times(question(), question(), question()) == 1


def test_how_an_answer_is_sent_makes_no_other_question() -> None:
    assert times(question(), question(stream=True), question(stream=True, stream_options={"include_usage": True})) == 1


@pytest.mark.parametrize(
    "caller",
    [
        Caller(tenant="other"),
        Caller(project="other"),
        Caller(may=frozenset({"ask", "read"})),
        Caller(data_class="confidential"),
    ],
    ids=["tenant", "project", "roles", "data class"],
)
def test_another_tenant_project_role_or_class_never_hits(caller: Caller) -> None:
    assert times(question(), question(caller)) == 2


def test_another_key_of_the_same_project_and_roles_hits() -> None:
    assert times(question(Caller(key="a", name="a")), question(Caller(key="b", name="b"))) == 1


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
        Wishes(policy="other"),
        Wishes(data_class="public"),
        Wishes(online="deny"),
        Wishes(max_cost=1),
    ],
    ids=["policy", "data class", "online", "cost"],
)
def test_another_wish_never_hits(wishes: Wishes) -> None:
    assert times(question(), question(None, wishes)) == 2


def test_another_version_of_the_policy_or_of_a_model_never_hits() -> None:
    ask = question()
    moved = Card("here/l", Endpoint("elsewhere"), "l", parameters=10**10)
    others = (names(Cascade(threshold=0.99)), names(Cheapest()), names(cards=(SMALL, moved)), names(cards=(SMALL,)))
    keys = [key_of(ask, version(each(ask.what))) for each in (names(), names(), *others)]
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
    anew, none = Wishes(cache="no-cache"), Wishes(cache="no-store")
    assert times(question(), question(None, anew), question()) == 2
    assert times(question(None, none), question()) == 2
    assert times(question(), question(None, none)) == 2


def test_a_hit_says_so_and_tells_the_same_words() -> None:
    cached, heard = Cached(Counting(), names(), ExactCache(ttl_s=60)), list[Event]()

    async def twice() -> Reply:
        async def hear(event: Event) -> None:
            heard.append(event)

        await cached(question(stream=True), quiet)
        return await cached(question(stream=True), hear)

    reply = asyncio.run(twice())
    assert reply == Counting().reply
    why = "the same question was answered 0 s ago (exact cache)"
    assert heard == [Chosen("here/s", why, 0, "default"), Text(0, "hello"), Finished(0, "stop")]


def test_answers_go_when_their_time_is_over_and_the_longest_unused_go_first() -> None:
    shelf = Shelf(max_entries=2, max_bytes=10_000)
    for name in (b"a", b"b"):
        shelf.keep(name, Held(0, 10, b"x"))
    assert shelf.find(b"a", 1)
    shelf.keep(b"c", Held(0, 10, b"x"))
    assert shelf.find(b"b", 1) is None and shelf.find(b"a", 1)
    assert shelf.find(b"a", 10) is None and len(shelf) == 1
    shelf.keep(b"d", Held(0, 10, b"x" * 20_000))
    assert shelf.find(b"d", 1) is None and shelf.find(b"c", 1)


@given(some.lists(some.tuples(some.integers(0, 20), some.integers(0, 5_000)), max_size=60))
def test_the_shelf_keeps_its_bounds(kept: list[tuple[int, int]]) -> None:
    shelf = Shelf(max_entries=7, max_bytes=10_000)
    for name, size in kept:
        shelf.keep(bytes([name]), Held(0, 10, b"x" * size))
        assert len(shelf) <= 7 and 0 <= shelf.bytes <= 10_000


# ---- the key

JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = some.text("abcdefgh_", min_size=1, max_size=8)


def key(fields: dict[str, object], **wishes: object) -> bytes:
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
    what = Chat("m", [], raw)
    return digest(Ask(what, Caller(), "0" * 32, 0.0, msgspec.convert(wishes, Wishes)))


@given(some.dictionaries(NAMES, JSON, max_size=4), NAMES, JSON, JSON)
def test_any_changed_field_changes_the_key(fields: dict[str, object], name: str, value: object, other: object) -> None:
    with_it = key({**fields, name: value})
    assert (with_it == key({**fields, name: other})) == (msgspec.json.encode(value) == msgspec.json.encode(other))
    assert with_it != key({each: fields[each] for each in fields if each != name})


@given(some.dictionaries(NAMES, JSON, max_size=4), some.booleans())
def test_neither_the_stream_flag_nor_order_nor_blanks_nor_the_idempotency_key_change_it(
    fields: dict[str, object], flag: bool
) -> None:
    sent = {"stream": flag, "stream_options": {"include_usage": flag}}
    turned = dict(reversed([*fields.items(), *sent.items()]))
    assert key(fields) == key(turned) == key(fields, idempotency_key="k") == key(fields, cache="no-cache")
    spaced = {name: msgspec.Raw(msgspec.json.format(msgspec.json.encode(value))) for name, value in fields.items()}
    assert digest(Ask(Chat("m", [], spaced), Caller(), "", 0.0)) == key(fields)


@pytest.mark.parametrize("odd", [b"1e999", b"1" + b"0" * 5_000, b"[" * 200_000 + b"]" * 200_000])
def test_what_cannot_be_read_is_compared_as_it_came(odd: bytes) -> None:
    asks = [
        Ask(Chat("m", [], {"x": msgspec.Raw(raw)}), Caller(), "", 0.0) for raw in (odd, odd, odd[:-1] + b" " + odd[-1:])
    ]
    one, same, other = map(digest, asks)
    assert one == same != other


def test_what_the_translation_of_another_wire_does_not_say_is_part_of_the_question() -> None:
    def asked(untold: list[str], **body: object) -> bytes:
        origin = Origin("theirs", msgspec.Raw(msgspec.json.encode(body)), untold).field()
        return digest(Ask(Chat("m", [], {"sizewise_origin": origin}), Caller(), "", 0.0))

    assert asked([]) == asked([], mark=1) == digest(Ask(Chat("m", [], {}), Caller(), "", 0.0))
    assert asked(["mark"], mark=1) == asked(["mark"], mark=1, stream=True)
    assert asked(["mark"], mark=1) != asked(["mark"], mark=2)


def test_a_question_to_a_chat_model_is_none_for_vectors() -> None:
    ask = Ask(Chat("m", [], {}), Caller(), "", 0.0)
    assert digest(ask) != digest(replace(ask, what=Embed("m", [], {})))


# ---- through the door


@pytest.fixture(scope="module")
def cached(upstream: Patient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    more = "[response_cache]\nttl_s = 60\n"
    with serving(tmp_path_factory.mktemp("cached"), settings(upstream.url, more)) as served:
        yield served


def ask(served: Served, said: str, **more: object) -> Answer:
    return served.ask(CHAT, {"model": "up/well", "messages": [{"role": "user", "content": said}], **more})


def test_through_the_door_it_costs_nothing_and_is_recorded_so(cached: Served, up: Patient) -> None:
    first, second = ask(cached, "once"), ask(cached, "once")
    assert second.body == first.body and up.asked("well") == 1
    assert second.headers["x-sizewise-cost-usd"] == "0" and "exact cache" in second.headers["x-sizewise-why"]
    trace = second.headers["x-sizewise-trace"]
    until(lambda: booked(cached.home, trace))
    (record,) = booked(cached.home, trace)
    assert (record["model"], record["attempts"], record["cost"]) == ("up/well", 0, 0)
    payloads = frames(ask(cached, "once", stream=True).body)
    assert words(payloads) == "Hello from the upstream." and payloads[-1] == "[DONE]"
    assert up.asked("well") == 1


@pytest.mark.parametrize("said", ["no-cache", "No-Store", "max-age=0, no-cache"])
def test_http_says_how_to_go_round_it(cached: Served, up: Patient, said: str) -> None:
    body = {"model": "up/well", "messages": [{"role": "user", "content": f"round it: {said}"}]}
    assert [cached.ask(CHAT, body, cache_control=said).status for _ in range(2)] == [200, 200]
    assert up.asked("well") == 2
    kept = "exact cache" in cached.ask(CHAT, body, cache_control="max-age=60").headers["x-sizewise-why"]
    assert kept == (said != "No-Store")


def test_it_is_off_unless_it_is_wished_for(served: Served, up: Patient) -> None:
    for _ in range(2):
        assert ask(served, "twice").status == 200
    assert up.asked("well") == 2
