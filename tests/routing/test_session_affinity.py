"""When a session stays with its model, played by hand and by thousands of cases: no model is asked."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizewise.handler import Request, RequestOptions
from sizewise.messages import Choice, Reply, Usage
from sizewise.model_card import ModelCard
from sizewise.money import UNKNOWN_PRICE, Price
from sizewise.principal import Principal
from sizewise.providers.echo import echo_card
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policies.cheapest import CheapestPolicy
from sizewise.routing.policies.fixed import FixedPolicy
from sizewise.routing.policy import (
    Attempt,
    AttemptOutcome,
    Candidate,
    Candidates,
    Hedge,
    Move,
    MoveResult,
    Parallel,
    Policy,
    RequestFeatures,
    Verdict,
)
from sizewise.routing.requirements import expected_cost
from sizewise.routing.session_store import JudgmentCount, SessionMemory, SessionStore, session_key
from sizewise.routing.sticky_sessions import StickySessionPolicy, policy_order, switch_tradeoff
from tests.routing.router_harness import Plays, agreeing, asking, chat, embed, racing

QUESTION = RequestFeatures(1_000, max_tokens=100)
REPLY = Reply((Choice(text="yes", finish_reason="stop"),), Usage(1, 1))
NAMES = ("m/a", "m/b", "m/c")
CHEAP, FAIR, DEAR = (
    echo_card(name, parameters=10**size, price=Price(input=10**rank, output=10**rank, cached=10**rank // 10))
    for name, size, rank in zip(NAMES, (8, 10, 12), (1, 2, 3), strict=True)
)
MUCH = 10**15
POLICIES: tuple[Policy, ...] = (
    FixedPolicy(),
    FixedPolicy(NAMES[::-1], retries=2),
    CheapestPolicy(),
    CascadePolicy(),
    CascadePolicy(when_exhausted="show_marked"),
    agreeing(),
    racing(0.0, *NAMES),
)


def field(*cards: ModelCard) -> Candidates:
    return tuple(Candidate(card, expected_cost(card, QUESTION)) for card in cards)


def played(policy: Policy, cards: Candidates, *tells: MoveResult | str) -> tuple[list[Move], AttemptOutcome]:
    """The moves and what was returned. A tell "ok" or an error's code is the outcome of the attempt before it."""
    route = policy.route(QUESTION, cards)
    moves: list[Move] = []
    told: MoveResult | None = None
    for number in range(len(tells) + 1):
        try:
            moves.append(route.send(told))  # type: ignore[arg-type]  # a generator is begun with None
        except StopIteration as stop:
            assert number == len(tells), "it ended early"
            return moves, stop.value
        tell = tells[number] if number < len(tells) else pytest.fail(f"it goes on with {moves[-1]}")
        told = _outcome(moves[-1], tell, number + 1) if isinstance(tell, str) else tell
    raise AssertionError("it never ended")


def _outcome(move: Move, tell: str, number: int) -> AttemptOutcome:
    assert isinstance(move, Attempt)
    if tell == "ok":
        return AttemptOutcome(move.card, REPLY, why=move.why, attempt_number=number)
    return AttemptOutcome(
        move.card,
        error=tell,
        why=move.why,
        attempt_number=number,
        is_retryable=tell == "upstream_unreachable",
    )


def asked(moves: Sequence[Move]) -> list[tuple[str, str]]:
    return [(move.card.name, move.stream_mode) for move in moves if isinstance(move, Attempt)]


# ---- what the policy is made to do


def test_what_fails_in_its_session_is_asked_again_only_as_the_policy_retries() -> None:
    policy = StickySessionPolicy(CheapestPolicy(retries=1), SessionMemory("m/b", is_model_bound=True), MUCH)
    tells = ("upstream_unreachable", "upstream_unreachable", "upstream_error", "upstream_error")
    moves, got = played(policy, field(CHEAP, FAIR, DEAR), *tells)
    assert [name for name, _ in asked(moves)] == ["m/b", "m/b", "m/a", "m/c"]
    assert (got.card, got.error) == (DEAR, "upstream_error")


def test_when_the_best_fails_the_small_ones_are_judged_as_ever() -> None:
    policy = StickySessionPolicy(CascadePolicy(), SessionMemory("m/c", is_model_bound=True), MUCH)
    tells: list[MoveResult | str] = ["upstream_error", "ok", Verdict(0.1, "unsure"), "ok", Verdict(0.2, "unsure")]
    moves, got = played(policy, field(CHEAP, FAIR, DEAR), *tells)
    assert asked(moves) == [("m/c", "stream"), ("m/a", "hold"), ("m/b", "hold")]
    assert (got.card, got.error, got.attempt_number) == (DEAR, "upstream_error", 1), "its own failure, told again"
    assert isinstance(moves[1], Attempt)
    assert moves[1].why.startswith("leaves m/c, which failed (upstream_error); the cheapest model that fits")


def test_what_broke_off_in_mid_answer_is_not_begun_again() -> None:
    broke = AttemptOutcome(FAIR, error="upstream_error", delivered=True, delivered_text="Once", attempt_number=1)
    for inner in (CheapestPolicy(), FixedPolicy(), CascadePolicy()):
        moves, got = played(
            StickySessionPolicy(inner, SessionMemory("m/c", is_model_bound=True), MUCH),
            field(CHEAP, DEAR),
            broke,
        )
        assert len(moves) == 1 and got is broke


def test_a_policy_that_asks_several_at_once_is_left_alone_where_the_sessions_model_is_one_of_them() -> None:
    policy = StickySessionPolicy(agreeing(), SessionMemory("m/c", is_model_bound=True), MUCH)
    route = policy.route(QUESTION, field(CHEAP, DEAR))
    move = next(route)
    assert isinstance(move, Parallel) and [each.card.name for each in move.attempts] == ["m/a", "m/c"]


def test_a_race_is_led_by_the_sessions_model() -> None:
    policy = StickySessionPolicy(CheapestPolicy(hedge_delay_s=1.0), SessionMemory("m/b", is_model_bound=True), MUCH)
    move = next(policy.route(QUESTION, field(CHEAP, FAIR, DEAR)))
    assert isinstance(move, Hedge) and [each.card.name for each in move.attempts] == ["m/b", "m/c"]
    assert move.attempts[0].why.startswith("stays with m/b in this session: ")


def test_whom_a_policy_would_never_ask_is_left() -> None:
    def plays(question: RequestFeatures, cards: Candidates):  # type: ignore[no-untyped-def]  # a policy of one move
        return (yield Attempt(cards[0].card, "always the first"))

    (move,), _ = played(StickySessionPolicy(Plays(plays), SessionMemory("m/c"), MUCH), field(CHEAP, DEAR), "ok")
    assert isinstance(move, Attempt) and move.why == "leaves m/c: this policy would not use it; always the first"


def test_the_order_of_a_policy_is_found_without_asking() -> None:
    cards = field(CHEAP, FAIR, DEAR)
    known = {name: policy_order(CascadePolicy(), QUESTION, cards) for name in NAMES}
    assert asked(known["m/a"]) == [("m/a", "hold"), ("m/b", "hold"), ("m/c", "stream")]
    assert asked(policy_order(FixedPolicy(NAMES[::-1]), QUESTION, cards)) == [(name, "stream") for name in NAMES[::-1]]


# ---- both sides of a switch


def test_what_a_switch_saves_and_costs_is_exact() -> None:
    home, first = field(DEAR, CHEAP)
    seen = switch_tradeoff(home, first, False, SessionMemory("m/c", cached_tokens=400), QUESTION, 7)
    assert (seen.gain, seen.cost) == (1_100 * 1_000 - 1_100 * 10, 400 * 900)
    seen = switch_tradeoff(
        home,
        first,
        False,
        SessionMemory("m/c", cached_tokens=5_000, is_model_bound=True),
        QUESTION,
        7,
    )
    assert seen.cost == 1_000 * 900 + 7, "no more than this prompt can use"
    seen = switch_tradeoff(home, first, True, SessionMemory("m/c", judgments={"m/a": JudgmentCount(2, 2)}), QUESTION, 7)
    assert seen.gain == 1_100 * 1_000 * 1 // 4 - 1_100 * 10, "asked all the same in three cases of four"


def test_it_stays_where_a_price_is_unknown() -> None:
    unknown = echo_card("m/u", price=UNKNOWN_PRICE)
    for cards in (field(CHEAP, unknown), field(unknown, CHEAP)):
        home = cards[1].card
        (move,), _ = played(StickySessionPolicy(FixedPolicy(), SessionMemory(home.name), 0), cards, "ok")
        assert isinstance(move, Attempt) and move.card is home
        assert "the gain of switching is unknown, at a cost of nothing" in move.why


prices = st.builds(Price, input=st.integers(0, 10**7), output=st.integers(0, 10**7), cached=st.integers(0, 10**7))
memories = st.builds(
    SessionMemory,
    st.sampled_from(NAMES),
    st.integers(0, 10**6),
    st.booleans(),
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 9).map(lambda n: JudgmentCount(9, n))),
)


@st.composite
def fields(draw: st.DrawFn) -> Candidates:
    cards = [echo_card(name, parameters=10 ** draw(st.integers(6, 12)), price=draw(prices)) for name in NAMES]
    found = field(*draw(st.permutations(cards)))
    return tuple(sorted(found, key=lambda each: each.expected_cost or 0))


@given(fields(), memories, st.integers(0, MUCH), st.integers(0, MUCH), st.integers(0, 10**6), st.booleans())
def test_a_higher_cost_or_a_larger_cache_never_makes_it_switch(
    cards: Candidates,
    memory: SessionMemory,
    less: int,
    more: int,
    cached: int,
    held: bool,
) -> None:
    less, more = sorted((less, more))
    if switch_tradeoff(cards[1], cards[0], held, memory, QUESTION, less).keeps_model:
        assert switch_tradeoff(cards[1], cards[0], held, memory, QUESTION, more).keeps_model
        larger = msgspec.structs.replace(memory, cached_tokens=memory.cached_tokens + cached)
        assert switch_tradeoff(cards[1], cards[0], held, larger, QUESTION, less).keeps_model


@given(fields(), memories, st.sampled_from(POLICIES), st.integers(0, 10**9))
def test_nobody_is_asked_less_carefully_in_a_session(
    cards: Candidates,
    memory: SessionMemory,
    policy: Policy,
    cost: int,
) -> None:
    """Whom the policy would hold and judge is held, and nobody is asked who is not a candidate or asked more often."""
    alone, minding = (
        policy_order(each, QUESTION, cards) for each in (policy, StickySessionPolicy(policy, memory, cost))
    )
    held = {name for name, commit in asked(alone) if commit == "hold"}
    assert all(commit == "hold" for name, commit in asked(minding) if name in held)
    assert sorted(name for name, _ in asked(minding)) == sorted(name for name, _ in asked(alone))


@given(fields(), memories, st.sampled_from(POLICIES))
def test_it_begins_with_the_sessions_model_where_leaving_is_dear_enough(
    cards: Candidates,
    memory: SessionMemory,
    policy: Policy,
) -> None:
    bound = msgspec.structs.replace(memory, is_model_bound=True)
    first = policy_order(StickySessionPolicy(policy, bound, MUCH), QUESTION, cards)[0]
    names = {first.card.name} if isinstance(first, Attempt) else {each.card.name for each in first.attempts}
    assert memory.model in names


# ---- what is remembered


def test_a_session_is_forgotten_after_a_while_and_the_longest_silent_first() -> None:
    sessions, memory = SessionStore(max_sessions=2), SessionMemory("m/a")
    for number, name in enumerate((b"a", b"b", b"a", b"c")):
        sessions.save(name, memory, float(number))
    assert [sessions.find(name, 4.0, 60) for name in (b"a", b"b", b"c")] == [memory, None, memory]
    assert [sessions.find(b"c", now, 60) for now in (63.0, 63.1)] == [memory, None]


def test_a_session_belongs_to_a_tenant_and_a_project() -> None:
    principals = [Principal(tenant, project) for tenant in ("a", "b") for project in ("a", "b")]
    known = {session_key(asking(chat(), RequestOptions(session="s"), caller)) for caller in principals}
    assert len(known) == 4 and None not in known
    joined = {
        session_key(asking(chat(), RequestOptions(session=name), Principal("a", project))) for project, name in SPLITS
    }
    assert len(joined) == len(SPLITS), "no name leads into another's scope"


SPLITS = (("b", "c"), ('b","c', ""), ("b\0", "c"), ("b", "\0c"), ("bc", "c"))


def test_no_name_is_no_session() -> None:
    nobody: tuple[Request, ...] = (
        asking(chat()),
        asking(chat(), RequestOptions(session="")),
        asking(embed("text"), RequestOptions(session="s")),
        asking(chat(user="somebody")),
        asking(chat(prompt_cache_key=None)),
    )
    assert [session_key(ask) for ask in nobody] == [None] * len(nobody)
