"""What each policy wants done, played by hand: no model is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sizewise.errors import ConfigError
from sizewise.messages import Choice, Reply, Usage
from sizewise.model_card import Card
from sizewise.money import Price
from sizewise.providers.echo import echo_card
from sizewise.routing.policies.cascade import Cascade
from sizewise.routing.policies.cheapest import Cheapest
from sizewise.routing.policies.fixed import Fixed
from sizewise.routing.policy import (
    Attempt,
    Candidate,
    Field,
    Judge,
    Move,
    Outcome,
    Policy,
    Question,
    Race,
    Resume,
    Told,
    Verdict,
)

REPLY = Reply((Choice(text="yes", finish="stop"),), Usage(1, 1))
FREE = Price(input=0, output=0)
A, B, C = (echo_card(f"m/{name}", parameters=10**size, price=FREE) for name, size in (("a", 7), ("b", 9), ("c", 11)))


PASSES = ("upstream_unreachable",)


def field(*cards: Card) -> Field:
    return tuple(Candidate(card, 0) for card in cards)


def played(policy: Policy, cards: Field, *tells: Told | str, plain: bool = True) -> tuple[list[Move], Outcome]:
    """The moves and what was returned. A tell "ok" or an error's code is the outcome of the attempt before it."""
    route = policy.route(Question(10, plain=plain), cards)
    moves, answers = [next(route)], iter(tells)
    while True:
        tell = next(answers)
        move = moves[-1]
        if isinstance(tell, str):
            assert isinstance(move, Attempt | Resume)
            tell = Outcome(move.card, REPLY) if tell == "ok" else Outcome(move.card, error=tell, again=tell in PASSES)
        try:
            moves.append(route.send(tell))
        except StopIteration as stop:
            assert next(answers, None) is None, "it ended early"
            return moves, stop.value


def asked(moves: list[Move]) -> list[str]:
    return [move.card.name for move in moves if isinstance(move, Attempt | Resume)]


def test_fixed_asks_its_models_in_their_order_whatever_they_cost() -> None:
    moves, got = played(Fixed(("m/c", "m/a"), retries=0), field(A, C), "upstream_error", "ok")
    assert asked(moves) == ["m/c", "m/a"] and got.reply is REPLY


def test_fixed_survives_the_failure_of_everybody() -> None:
    moves, got = played(Fixed(retries=0), field(A, B), "upstream_error", "upstream_timeout")
    assert asked(moves) == ["m/a", "m/b"] and got.error == "upstream_timeout"


def test_only_what_may_pass_is_asked_again() -> None:
    assert asked(played(Fixed(retries=2), field(A), *["upstream_unreachable"] * 3)[0]) == ["m/a"] * 3
    assert asked(played(Fixed(retries=2), field(A), "upstream_garbled")[0]) == ["m/a"]


def test_a_busy_model_is_asked_again_after_the_pause_it_names_if_that_is_short() -> None:
    moves, _ = played(Fixed(max_retry_delay_s=2), field(A), Outcome(A, error="upstream_busy", retry_after=1.5), "ok")
    assert isinstance(moves[1], Attempt) and moves[1].after_s == 1.5
    assert len(played(Fixed(max_retry_delay_s=2), field(A), Outcome(A, error="upstream_busy", retry_after=9.0))[0]) == 1


def test_pauses_between_retries_grow_and_are_left_to_chance() -> None:
    moves, _ = played(Fixed(retries=5), field(A), *["upstream_unreachable"] * 6)
    pauses = [(move.after_s, move.spread_s) for move in moves if isinstance(move, Attempt)]
    assert pauses == [(0, 0), (0, 0.2), (0, 0.4), (0, 0.8), (0, 1.6), (0, 3.2)]
    moves, _ = played(Fixed(), field(A), Outcome(A, error="upstream_busy", retry_after=1.0), "ok")
    assert isinstance(moves[1], Attempt) and (moves[1].after_s, moves[1].spread_s) == (1.0, 0.25)


def test_who_was_turned_away_from_our_own_line_goes_to_the_next_and_does_not_come_back() -> None:
    moves, _ = played(Fixed(retries=3), field(A, B), Outcome(A, error="busy", retry_after=1.0), "ok")
    assert asked(moves) == ["m/a", "m/b"]


def test_all_replicas_of_a_model_are_asked_before_it_is_given_up() -> None:
    three = replace(A, endpoint=replace(A.endpoint, replicas=3))
    assert asked(played(Fixed(), field(three), *["upstream_unreachable"] * 3)[0]) == ["m/a"] * 3
    assert asked(played(Fixed(retries=0), field(three), "upstream_unreachable")[0]) == ["m/a"]


def test_a_hedge_is_a_race_of_the_first_two_then_the_others_in_turn() -> None:
    for policy in (Fixed(hedge_delay_s=0.5), Cheapest(hedge_delay_s=0.5)):
        failed = Outcome(B, error="upstream_error")
        moves, got = played(policy, field(A, B, C), failed, "ok")
        assert isinstance(moves[0], Race) and moves[0].after_s == 0.5
        assert [each.card.name for each in moves[0].attempts] == ["m/a", "m/b"]
        assert asked(moves[1:]) == ["m/c"] and got.reply is REPLY


def test_the_only_model_is_hedged_by_its_other_replica_and_else_not_at_all() -> None:
    (move,), _ = played(Fixed(hedge_delay_s=0.5), field(A), "ok")
    assert isinstance(move, Attempt) and move.commit == "stream"
    two = replace(A, endpoint=replace(A.endpoint, replicas=2))
    (raced,), _ = played(Fixed(hedge_delay_s=0.5), field(two), Outcome(two, REPLY))
    assert isinstance(raced, Race) and [each.card.name for each in raced.attempts] == ["m/a", "m/a"]


def test_a_cascade_resumes_a_broken_answer_on_any_model_that_can_where_it_is_told_to() -> None:
    tells: list[Told | str] = ["ok", Verdict(0.1, "unsure")]
    tells.append(Outcome(B, error="upstream_unreachable", shown=True, said="Once upon"))
    moves, got = played(Cascade(resume=True), field(A, replace(B, resumes=False)), *tells, "ok")
    assert asked(moves)[-1] == "m/a" and got.reply is REPLY
    assert played(Cascade(), field(A, B), *tells)[1] is tells[-1]


def test_nobody_begins_again_after_the_first_word() -> None:
    broke = Outcome(A, error="upstream_unreachable", shown=True, said="Once upon")
    for policy in (Fixed(), Cheapest(), Cascade()):
        moves, got = played(policy, field(A), broke)
        assert len(moves) == 1 and got is broke


def test_a_broken_answer_is_resumed_where_the_policy_and_the_request_allow() -> None:
    broke = Outcome(A, error="upstream_unreachable", shown=True, said="Once upon")
    moves, got = played(Cheapest(resume=True), field(A, B), broke, "ok")
    assert isinstance(moves[1], Resume) and moves[1].said == "Once upon" and got.reply is REPLY
    assert len(played(Cheapest(resume=True), field(A, B), broke, plain=False)[0]) == 1


def test_cheapest_says_when_there_was_no_choice() -> None:
    (move,), _ = played(Cheapest(), field(A), "ok")
    assert isinstance(move, Attempt) and move.why == "the only model that fits"
    (move,), _ = played(Cheapest(), field(A, B), "ok")
    assert isinstance(move, Attempt) and move.why == "the cheapest model that fits"


def test_cascade_holds_and_judges_all_but_the_best() -> None:
    low = Verdict(0.1, "unsure")
    moves, got = played(Cascade(), field(A, B, C), "ok", low, "ok", low, "ok")
    assert [type(move) for move in moves] == [Attempt, Judge, Attempt, Judge, Attempt]
    assert [move.commit for move in moves if isinstance(move, Attempt)] == ["hold", "hold", "stream"]
    assert got.reply is REPLY and asked(moves) == ["m/a", "m/b", "m/c"]


@pytest.mark.parametrize(("score", "kept"), [(0.5, True), (0.499, False), (1.0, True), (0.0, False), (None, True)])
def test_cascade_keeps_what_reaches_its_trust(score: float | None, kept: bool) -> None:
    tells: list[Told | str] = ["ok", Verdict(score, "so")]
    moves, got = played(Cascade(threshold=0.5), field(A, B), *tells, *([] if kept else ["ok"]))
    assert asked(moves) == (["m/a"] if kept else ["m/a", "m/b"])
    assert ("uncalibrated" in got.why) == kept


def test_cascade_with_one_candidate_is_that_model() -> None:
    (move,), got = played(Cascade(), field(A), "ok")
    assert isinstance(move, Attempt) and move.commit == "stream" and got.reply is REPLY


def test_the_best_is_so_by_strength_and_dearer_ones_only_step_in() -> None:
    moves, _ = played(Cascade(), field(C, A), "upstream_error", "ok")
    assert asked(moves) == ["m/c", "m/a"]
    assert all(isinstance(move, Attempt) and move.commit == "stream" for move in moves)


def test_cascade_goes_up_when_a_small_model_fails() -> None:
    moves, _ = played(Cascade(), field(A, B), "upstream_error", "ok")
    assert [type(move) for move in moves] == [Attempt, Attempt]


def test_exhausted_it_refuses_unless_told_to_show_the_best_marked() -> None:
    tells: list[Told | str] = ["ok", Verdict(0.2, "unsure"), "ok", Verdict(0.4, "unsure"), "upstream_error"]
    _, got = played(Cascade(), field(A, B, C), *tells)
    assert got.error == "upstream_error" and got.reply is None
    _, got = played(Cascade(when_exhausted="show_marked"), field(A, B, C), *tells)
    assert got.reply is REPLY and got.card is B and got.degraded.startswith("trusted only at 0.40")


@pytest.mark.parametrize(
    "options", [{"threshold": 1.1}, {"threshold": -0.1}, {"hold_s": 0}, {"hold_s": float("nan")}, {"hold_s": 1e9}]
)
def test_options_out_of_range_are_refused_when_the_policy_is_made(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Cascade(**options)  # type: ignore[arg-type]  # numbers only


def test_retries_patience_and_hedges_are_bounded() -> None:
    for kind in (Fixed, Cheapest):
        with pytest.raises(ConfigError, match="hedge_delay_s"):
            kind(hedge_delay_s=601)
        with pytest.raises(ConfigError, match="retries"):
            kind(retries=6)
        with pytest.raises(ConfigError, match="max_retry_delay_s"):
            kind(max_retry_delay_s=-1)
