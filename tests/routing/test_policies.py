"""What each policy wants done, played by hand: no model is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sizewise.errors import ConfigError
from sizewise.messages import Choice, Reply, Usage
from sizewise.model_card import ModelCard
from sizewise.money import Price
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
    JudgeReplies,
    Move,
    MoveResult,
    Policy,
    RequestFeatures,
    Resume,
    Verdict,
)

REPLY = Reply((Choice(text="yes", finish_reason="stop"),), Usage(1, 1))
FREE = Price(input=0, output=0)
A, B, C = (echo_card(f"m/{name}", parameters=10**size, price=FREE) for name, size in (("a", 7), ("b", 9), ("c", 11)))


PASSES = ("upstream_unreachable",)


def field(*cards: ModelCard) -> Candidates:
    return tuple(Candidate(card, 0) for card in cards)


def played(
    policy: Policy,
    cards: Candidates,
    *tells: MoveResult | str,
    plain: bool = True,
) -> tuple[list[Move], AttemptOutcome]:
    """The moves and what was returned. A tell "ok" or an error's code is the outcome of the attempt before it."""
    route = policy.route(RequestFeatures(10, is_plain_text=plain), cards)
    moves, answers = [next(route)], iter(tells)
    while True:
        tell = next(answers)
        move = moves[-1]
        if isinstance(tell, str):
            assert isinstance(move, Attempt | Resume)
            tell = (
                AttemptOutcome(move.card, REPLY)
                if tell == "ok"
                else AttemptOutcome(move.card, error=tell, is_retryable=tell in PASSES)
            )
        try:
            moves.append(route.send(tell))
        except StopIteration as stop:
            assert next(answers, None) is None, "it ended early"
            return moves, stop.value


def asked(moves: list[Move]) -> list[str]:
    return [move.card.name for move in moves if isinstance(move, Attempt | Resume)]


def test_fixed_asks_its_models_in_their_order_whatever_they_cost() -> None:
    moves, got = played(FixedPolicy(("m/c", "m/a"), retries=0), field(A, C), "upstream_error", "ok")
    assert asked(moves) == ["m/c", "m/a"] and got.reply is REPLY


def test_fixed_survives_the_failure_of_everybody() -> None:
    moves, got = played(FixedPolicy(retries=0), field(A, B), "upstream_error", "upstream_timeout")
    assert asked(moves) == ["m/a", "m/b"] and got.error == "upstream_timeout"


def test_only_what_may_pass_is_asked_again() -> None:
    assert asked(played(FixedPolicy(retries=2), field(A), *["upstream_unreachable"] * 3)[0]) == ["m/a"] * 3
    assert asked(played(FixedPolicy(retries=2), field(A), "upstream_garbled")[0]) == ["m/a"]


def test_a_busy_model_is_asked_again_after_the_pause_it_names_if_that_is_short() -> None:
    moves, _ = played(
        FixedPolicy(max_retry_delay_s=2),
        field(A),
        AttemptOutcome(A, error="upstream_busy", retry_after=1.5),
        "ok",
    )
    assert isinstance(moves[1], Attempt) and moves[1].delay_s == 1.5
    assert (
        len(
            played(
                FixedPolicy(max_retry_delay_s=2),
                field(A),
                AttemptOutcome(A, error="upstream_busy", retry_after=9.0),
            )[0],
        )
        == 1
    )


def test_pauses_between_retries_grow_and_are_left_to_chance() -> None:
    moves, _ = played(FixedPolicy(retries=5), field(A), *["upstream_unreachable"] * 6)
    pauses = [(move.delay_s, move.jitter_s) for move in moves if isinstance(move, Attempt)]
    assert pauses == [(0, 0), (0, 0.2), (0, 0.4), (0, 0.8), (0, 1.6), (0, 3.2)]
    moves, _ = played(FixedPolicy(), field(A), AttemptOutcome(A, error="upstream_busy", retry_after=1.0), "ok")
    assert isinstance(moves[1], Attempt) and (moves[1].delay_s, moves[1].jitter_s) == (1.0, 0.25)


def test_who_was_turned_away_from_our_own_line_goes_to_the_next_and_does_not_come_back() -> None:
    moves, _ = played(FixedPolicy(retries=3), field(A, B), AttemptOutcome(A, error="busy", retry_after=1.0), "ok")
    assert asked(moves) == ["m/a", "m/b"]


def test_all_replicas_of_a_model_are_asked_before_it_is_given_up() -> None:
    three = replace(A, endpoint=replace(A.endpoint, replica_count=3))
    assert asked(played(FixedPolicy(), field(three), *["upstream_unreachable"] * 3)[0]) == ["m/a"] * 3
    assert asked(played(FixedPolicy(retries=0), field(three), "upstream_unreachable")[0]) == ["m/a"]


def test_a_hedge_is_a_race_of_the_first_two_then_the_others_in_turn() -> None:
    for policy in (FixedPolicy(hedge_delay_s=0.5), CheapestPolicy(hedge_delay_s=0.5)):
        failed = AttemptOutcome(B, error="upstream_error")
        moves, got = played(policy, field(A, B, C), failed, "ok")
        assert isinstance(moves[0], Hedge) and moves[0].delay_s == 0.5
        assert [each.card.name for each in moves[0].attempts] == ["m/a", "m/b"]
        assert asked(moves[1:]) == ["m/c"] and got.reply is REPLY


def test_the_only_model_is_hedged_by_its_other_replica_and_else_not_at_all() -> None:
    (move,), _ = played(FixedPolicy(hedge_delay_s=0.5), field(A), "ok")
    assert isinstance(move, Attempt) and move.stream_mode == "stream"
    two = replace(A, endpoint=replace(A.endpoint, replica_count=2))
    (raced,), _ = played(FixedPolicy(hedge_delay_s=0.5), field(two), AttemptOutcome(two, REPLY))
    assert isinstance(raced, Hedge) and [each.card.name for each in raced.attempts] == ["m/a", "m/a"]


def test_a_cascade_resumes_a_broken_answer_on_any_model_that_can_where_it_is_told_to() -> None:
    tells: list[MoveResult | str] = ["ok", Verdict(0.1, "unsure")]
    tells.append(AttemptOutcome(B, error="upstream_unreachable", delivered=True, delivered_text="Once upon"))
    moves, got = played(CascadePolicy(resume=True), field(A, replace(B, prefill=False)), *tells, "ok")
    assert asked(moves)[-1] == "m/a" and got.reply is REPLY
    assert played(CascadePolicy(), field(A, B), *tells)[1] is tells[-1]


def test_nobody_begins_again_after_the_first_word() -> None:
    broke = AttemptOutcome(A, error="upstream_unreachable", delivered=True, delivered_text="Once upon")
    for policy in (FixedPolicy(), CheapestPolicy(), CascadePolicy()):
        moves, got = played(policy, field(A), broke)
        assert len(moves) == 1 and got is broke


def test_a_broken_answer_is_resumed_where_the_policy_and_the_request_allow() -> None:
    broke = AttemptOutcome(A, error="upstream_unreachable", delivered=True, delivered_text="Once upon")
    moves, got = played(CheapestPolicy(resume=True), field(A, B), broke, "ok")
    assert isinstance(moves[1], Resume) and moves[1].prefix == "Once upon" and got.reply is REPLY
    assert len(played(CheapestPolicy(resume=True), field(A, B), broke, plain=False)[0]) == 1


def test_cheapest_says_when_there_was_no_choice() -> None:
    (move,), _ = played(CheapestPolicy(), field(A), "ok")
    assert isinstance(move, Attempt) and move.why == "the only model that fits"
    (move,), _ = played(CheapestPolicy(), field(A, B), "ok")
    assert isinstance(move, Attempt) and move.why.startswith("the cheapest model that fits")


def test_cascade_holds_and_judges_all_but_the_best() -> None:
    low = Verdict(0.1, "unsure")
    moves, got = played(CascadePolicy(), field(A, B, C), "ok", low, "ok", low, "ok")
    assert [type(move) for move in moves] == [Attempt, JudgeReplies, Attempt, JudgeReplies, Attempt]
    assert [move.stream_mode for move in moves if isinstance(move, Attempt)] == ["hold", "hold", "stream"]
    assert got.reply is REPLY and asked(moves) == ["m/a", "m/b", "m/c"]


@pytest.mark.parametrize(("score", "kept"), [(0.5, True), (0.499, False), (1.0, True), (0.0, False), (None, True)])
def test_cascade_keeps_what_reaches_its_trust(score: float | None, kept: bool) -> None:
    tells: list[MoveResult | str] = ["ok", Verdict(score, "so")]
    moves, got = played(CascadePolicy(threshold=0.5), field(A, B), *tells, *([] if kept else ["ok"]))
    assert asked(moves) == (["m/a"] if kept else ["m/a", "m/b"])
    assert ("uncalibrated" in got.why) == kept


def test_cascade_with_one_candidate_is_that_model() -> None:
    (move,), got = played(CascadePolicy(), field(A), "ok")
    assert isinstance(move, Attempt) and move.stream_mode == "stream" and got.reply is REPLY


def test_the_best_is_so_by_strength_and_dearer_ones_only_step_in() -> None:
    moves, _ = played(CascadePolicy(), field(C, A), "upstream_error", "ok")
    assert asked(moves) == ["m/c", "m/a"]
    assert all(isinstance(move, Attempt) and move.stream_mode == "stream" for move in moves)


def test_cascade_goes_up_when_a_small_model_fails() -> None:
    moves, _ = played(CascadePolicy(), field(A, B), "upstream_error", "ok")
    assert [type(move) for move in moves] == [Attempt, Attempt]


def test_exhausted_it_refuses_unless_told_to_show_the_best_marked() -> None:
    tells: list[MoveResult | str] = ["ok", Verdict(0.2, "unsure"), "ok", Verdict(0.4, "unsure"), "upstream_error"]
    _, got = played(CascadePolicy(), field(A, B, C), *tells)
    assert got.error == "upstream_error" and got.reply is None
    _, got = played(CascadePolicy(when_exhausted="show_marked"), field(A, B, C), *tells)
    assert got.reply is REPLY and got.card is B and got.degraded.startswith("trusted only at 0.40")


@pytest.mark.parametrize(
    "options",
    [{"threshold": 1.1}, {"threshold": -0.1}, {"hold_s": 0}, {"hold_s": float("nan")}, {"hold_s": 1e9}],
)
def test_options_out_of_range_are_refused_when_the_policy_is_made(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        CascadePolicy(**options)  # type: ignore[arg-type]  # numbers only


def test_retries_patience_and_hedges_are_bounded() -> None:
    for kind in (FixedPolicy, CheapestPolicy):
        with pytest.raises(ConfigError, match="hedge_delay_s"):
            kind(hedge_delay_s=601)
        with pytest.raises(ConfigError, match="retries"):
            kind(retries=6)
        with pytest.raises(ConfigError, match="max_retry_delay_s"):
            kind(max_retry_delay_s=-1)
