"""Self-consistency: a small model is asked several times at once, and the most common answer is shown or none."""

from __future__ import annotations

import pytest

from sizewise.errors import ConfigError
from sizewise.messages import Choice, Reply, Usage
from sizewise.routing.judges.chain import JudgeChain
from sizewise.routing.judges.consistency import consistency
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policy import Attempt, AttemptOutcome, Candidate, JudgeReplies, Parallel, RequestFeatures
from tests.routing.router_harness import LARGE, SMALL, Routing, chat

FIELD = (Candidate(SMALL, 1), Candidate(LARGE, 9))
JUDGE = JudgeChain((consistency,))


def said(words: str) -> Reply:
    return Reply((Choice(text=words, finish_reason="stop"),), Usage(1, 1))


def played(*answers: str) -> AttemptOutcome:
    """What comes of these answers of the small model, an empty one being a failure; the large one says `large`."""
    route = CascadePolicy(votes=len(answers), threshold=0.6).route(RequestFeatures(10), FIELD)
    move = next(route)
    assert isinstance(move, Parallel) and all(each.card is SMALL for each in move.attempts)
    outcomes = tuple(
        AttemptOutcome(SMALL, said(each)) if each else AttemptOutcome(SMALL, error="busy") for each in answers
    )
    try:
        move = route.send(outcomes)
        if isinstance(move, JudgeReplies):
            move = route.send(JUDGE(RequestFeatures(10), move.replies))
        assert isinstance(move, Attempt) and move.card is LARGE and move.stream_mode == "stream"
        route.send(AttemptOutcome(LARGE, said("large")))
    except StopIteration as stop:
        assert isinstance(stop.value, AttemptOutcome)
        return stop.value
    raise AssertionError("it asked on")


@pytest.mark.parametrize(
    ("answers", "given"),
    [
        (("Paris", "Rome", "paris."), "Paris"),
        (("Rome", "Paris", "The answer is Paris"), "Paris"),
        (("Rome", "Paris", "Oslo"), "large"),
        (("", "Paris", "Paris"), "Paris"),
        (("", "", ""), "large"),
    ],
)
def test_the_most_common_answer_is_shown_where_enough_agree(answers: tuple[str, ...], given: str) -> None:
    reply = played(*answers).reply
    assert reply is not None and reply.choices[0].text == given


def test_all_votes_are_paid_and_one_is_shown() -> None:
    app = Routing(policy=CascadePolicy(votes=3), judge=JUDGE)
    app.run(chat("it is so"))
    assert app.client.results == [("echo/small", "answered")] + [("echo/small", "distrusted")] * 2
    assert "3 of 3 answers agree" in app.client.chosen.reason and app.client.text == "it is so"
    assert all(each.score == 1.0 and each.cost for each in app.client.tried)


def test_one_vote_is_judged_by_the_others_alone_and_too_many_are_refused() -> None:
    assert consistency(RequestFeatures(1), (said("Paris"),)).score is None
    with pytest.raises(ConfigError, match="votes"):
        CascadePolicy(votes=10)
