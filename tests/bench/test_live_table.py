"""The live table of the cold-start questions: what `auto` answered through a server; asks no model."""

from __future__ import annotations

from bench.routing.cold_start.live import LIVE, rows, table, unanswered
from bench.routing.cold_start.record import LARGE, QUESTIONS, RECORDED, SMALL


def test_an_interrupted_run_continues_with_what_was_not_asked() -> None:
    every = list(unanswered([]))
    assert len(every) == 2 * len(rows(QUESTIONS))
    done = [{"prompt_id": question["prompt_id"], "target": target} for question, target in every[:3]]
    assert list(unanswered(done)) == every[3:]


def test_auto_lost_nothing_live_and_a_coin_would_have() -> None:
    told = table(rows(LIVE), rows(RECORDED / "outcomes.jsonl"))
    assert "`auto` loses at most 0.0 points (95 %)" in told
    assert "| `auto` | " in told and "| oracle | " in told


def test_a_kept_wrong_answer_counts_as_lost() -> None:
    answered = {"prompt_id": "x", "model": SMALL, "why": "prior", "score": 0.0, "answer": "no"}
    live = [{**answered, "target": target} for target in ("auto", SMALL)]
    told = table(live, [{"prompt_id": "x", "model": LARGE, "score": 1.0, "answer": "yes"}])
    assert "| `auto` | 0.0% | 100% | +100.0 |" in told and "| the 1.5B, as recorded | 100.0% | 0% | +0.0 |" in told
