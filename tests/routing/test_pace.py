"""The measured pace of models, and what follows from it: played with attempts of known times, no clock is read."""

from __future__ import annotations

import pytest

from sizewise.handler import AttemptFinished, AttemptResult
from sizewise.messages import Usage
from sizewise.routing.pace import PROBE_EVERY, ModelPace, ModelPaces, PredictedTime


def attempt(
    prompt: int = 100,
    output: int = 50,
    first_s: float | None = 1.0,
    end_s: float = 6.0,
    *,
    load: int = 0,
    wait_s: float = 0.0,
    result: AttemptResult = "answered",
    error: str = "",
    cached: int = 0,
) -> AttemptFinished:
    """An attempt that began when the request arrived."""
    return AttemptFinished(
        model="a/b",
        place="process",
        result=result,
        reason="",
        start_s=0.0,
        first_token_s=first_s,
        end_s=end_s,
        usage=Usage(prompt, output, cached),
        cost=0,
        error_code=error,
        wait_s=wait_s,
        load=load,
    )


def measured(*attempts: AttemptFinished) -> ModelPace:
    pace = ModelPace()
    for each in attempts:
        pace.finished.append(each)
        pace.by_load()
    return pace


def predicted(pace: ModelPace, prompt: int, output: int | None, load: int = 1, wait_s: float = 0.0) -> PredictedTime:
    found = pace.predict(prompt, output, load, wait_s)
    assert found is not None
    return found


def test_before_the_first_request_nothing_is_predicted() -> None:
    assert ModelPace().predict(100, 50, 1, 0.0) is None


def test_the_first_request_already_gives_both_rates() -> None:
    pace = measured(attempt(prompt=100, output=51, first_s=1.0, end_s=6.0)).by_load()[1]
    assert pace.attempts == 1 and pace.first.mean == 1.0
    assert pace.first.per_second == pytest.approx(100) and pace.output_per_second == pytest.approx(10)


def test_the_same_request_again_is_predicted_as_it_was() -> None:
    assert predicted(measured(attempt(output=51)), 100, 51).expected_s == pytest.approx(6, rel=0.05)


@pytest.mark.parametrize("first_s", [0.5, None], ids=["streamed", "whole"])
def test_base_and_slope_are_learnt_from_prompts_of_different_lengths(first_s: float | None) -> None:
    """0.5 s for each request and 1 ms for each prompt token."""
    sizes = [100, 900, 2_000, 400, 3_000, 1_500] * 2
    first = [0.5 + size / 1_000 for size in sizes]
    given = [
        attempt(size, 1, None if first_s is None else begin, begin) for size, begin in zip(sizes, first, strict=True)
    ]
    assert predicted(measured(*given), 5_000, 1).expected_s == pytest.approx(5.5, rel=0.05)


def test_one_length_alone_neither_scales_a_long_prompt_in_full_nor_not_at_all() -> None:
    pace = measured(attempt(100, 1, 0.2, 0.2))
    assert 0.2 < predicted(pace, 10_000, 1).expected_s < 20.0


def test_longer_answers_take_longer_and_the_maximum_limits_what_is_predicted() -> None:
    pace = measured(*[attempt(100, output, 1.0, 1.0 + output / 10) for output in (40, 60, 50, 45, 55)])
    short, open_end = predicted(pace, 100, 10), predicted(pace, 100, None)
    assert short.expected_s == pytest.approx(2, rel=0.1) and short.output_tokens == 10
    assert open_end.expected_s == pytest.approx(6, rel=0.1) and open_end.output_tokens > 50
    assert predicted(pace, 100, 1_000).seconds == open_end.seconds, "answers are not as long as they may be"


def test_few_answers_exceed_the_prediction_although_they_vary() -> None:
    times = [5.0, 6.5, 5.5, 7.0, 5.2, 6.0, 6.8, 5.1] * 4
    pace = measured(*[attempt(100, 50, 1.0, each) for each in times])
    late = predicted(pace, 100, 50).seconds
    assert max(times) <= late < 2 * max(times)


def test_what_is_new_counts_more_than_what_was() -> None:
    slow, fast = [attempt(first_s=4.0, end_s=24.0)] * 10, [attempt(first_s=1.0, end_s=6.0)] * 20
    assert predicted(measured(*slow, *fast), 100, 50).expected_s < 9
    assert predicted(measured(*fast, *slow), 100, 50).expected_s > 12


def test_waiting_in_the_queue_and_loading_the_model_are_not_its_pace() -> None:
    pace = measured(attempt(first_s=31.0, end_s=36.0, wait_s=30.0))
    assert predicted(pace, 100, 50).expected_s == pytest.approx(6, rel=0.05)
    queued = predicted(pace, 100, 50, wait_s=4.0)
    assert queued.expected_s == pytest.approx(10, rel=0.05) and "4.0 s of them in its queue" in queued.sentence


def test_cached_tokens_are_not_read_again() -> None:
    sizes = [attempt(1_000 + n, 1, n / 100, n / 100, cached=1_000) for n in (100, 300, 200)]
    assert predicted(measured(*sizes), 300, 1).expected_s == pytest.approx(3, rel=0.1)


def test_each_load_has_its_own_pace_and_an_unknown_one_is_shared_evenly() -> None:
    alone, two = attempt(end_s=6.0, load=1), attempt(first_s=2.0, end_s=10.0, load=2)
    pace = measured(alone, two)
    assert set(pace.by_load()) == {1, 2}
    assert predicted(pace, 100, 50, load=1).expected_s == pytest.approx(6, rel=0.05)
    assert predicted(pace, 100, 50, load=2).expected_s == pytest.approx(10, rel=0.05)
    assert predicted(pace, 100, 50, load=4).expected_s == pytest.approx(20, rel=0.05)
    assert predicted(measured(two), 100, 50, load=1).expected_s == pytest.approx(10, rel=0.05)


def test_an_attempt_that_was_stopped_shows_its_pace_as_far_as_it_came() -> None:
    pace = measured(attempt(100, 21, 1.0, 3.0, error="upstream_timeout", result="failed"))
    assert predicted(pace, 100, 201).expected_s > 2.5
    assert pace.by_load()[1].output_per_second == pytest.approx(10)


def test_silence_until_the_deadline_shows_that_the_model_is_slower_still() -> None:
    pace = measured(attempt(100, 0, None, 8.0, error="upstream_timeout", result="failed"))
    assert predicted(pace, 100, 50).expected_s > 7


def test_the_first_answer_corrects_what_a_hang_before_it_showed() -> None:
    hang = attempt(100, 0, None, 8.0, error="upstream_timeout", result="failed")
    assert predicted(measured(hang, attempt(end_s=2.0)), 100, 50).expected_s == pytest.approx(2, rel=0.05)


def test_an_answer_much_faster_than_predicted_is_believed_at_once() -> None:
    slow, fast = [attempt(first_s=10.0, end_s=60.0)] * 10, attempt(first_s=0.5, end_s=3.0)
    assert predicted(measured(*slow, fast), 100, 50).expected_s == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize(
    "odd",
    [attempt(end_s=600.0), attempt(100, 0, None, 600.0, error="upstream_timeout", result="failed")],
    ids=["slow", "hang"],
)
def test_one_outlier_hardly_changes_the_prediction_and_several_do(odd: AttemptFinished) -> None:
    usual = [attempt()] * 10
    assert predicted(measured(*usual, odd), 100, 50).expected_s < 2 * 6
    assert predicted(measured(*usual, *[odd] * 12), 100, 50).expected_s > 2.5 * 6


@pytest.mark.parametrize("error", ["upstream_unreachable", "upstream_refused", "internal_error"])
def test_a_quick_failure_is_no_pace(error: str) -> None:
    assert measured(attempt(100, 0, None, 0.01, error=error, result="failed")).by_load() == {}


def test_a_client_that_leaves_before_the_first_token_measures_nothing() -> None:
    assert measured(attempt(100, 0, None, 3.0, result="cancelled")).by_load() == {}


def test_one_of_many_refused_requests_measures_the_model_anew() -> None:
    pace = measured(attempt())
    assert [pace.takes_probe() for _ in range(2 * PROBE_EVERY)].count(True) == 2
    pace.finished.append(attempt())
    pace.by_load()
    assert not any(pace.takes_probe() for _ in range(PROBE_EVERY - 1)), "an answer starts the count anew"


def test_only_the_newest_attempts_are_kept_until_they_are_counted() -> None:
    pace = ModelPace()
    for _ in range(10_000):
        pace.finished.append(attempt())
    assert len(pace.finished) == 64 and pace.by_load()[1].attempts == 64


@pytest.mark.parametrize("odd", [attempt(0, 0, 0.0, 0.0), attempt(0, 1, None, 0.0), attempt(5, 5, 9.0, 1.0)])
def test_odd_times_and_empty_answers_predict_a_number(odd: AttemptFinished) -> None:
    assert predicted(measured(odd, odd), 0, 0).seconds >= 0


def test_a_restart_keeps_the_pace_but_three_attempts_outweigh_it() -> None:
    slow = measured(*[attempt(output=51, end_s=11.0)] * 20)
    again = ModelPaces({"a/b": slow.figures()})["a/b"]
    assert again.by_load()[1].output_per_second == pytest.approx(5) and again.by_load()[1].attempts == 20
    assert predicted(again, 100, 51).expected_s == pytest.approx(predicted(slow, 100, 51).expected_s)
    for pace in (slow, again):
        pace.finished.extend([attempt(output=51, end_s=6.0)] * 3)  # twice as fast
    assert predicted(again, 100, 51).expected_s < 8.5 < predicted(slow, 100, 51).expected_s
