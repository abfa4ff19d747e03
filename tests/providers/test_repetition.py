"""When a local model's reply counts as endless repetition."""

from __future__ import annotations

import pytest

from sizewise.handler import ChoiceFinished, Event, TextDelta, ToolDelta
from sizewise.providers.local.repetition import RepetitionDetector


def pieces_until_found(pieces: list[str], *, in_call: bool = False) -> int | None:
    """How many pieces were seen when it was found; None if it was not."""
    detector = RepetitionDetector()
    for seen, piece in enumerate(pieces, 1):
        event: Event = ToolDelta(0, 0, json=piece) if in_call else TextDelta(0, piece)
        if detector.repeats(event):
            return seen
    return None


@pytest.mark.parametrize("in_call", [False, True], ids=["text", "arguments of a call"])
def test_one_piece_again_and_again_is_found(in_call: bool) -> None:
    assert pieces_until_found([" dog"] * 400, in_call=in_call) == 129


def test_a_sentence_again_and_again_is_found_after_the_fourth_repetition() -> None:
    sentence = [f" w{at}" for at in range(60)]
    assert pieces_until_found(["So", ":", *sentence * 9]) == 2 + 60 + 4 * 60


def test_a_long_table_a_list_and_a_row_of_dots_are_not() -> None:
    table = [word for row in range(200) for word in ("|", f" {row}", " |", " 0", " |", "\n")]
    counted = [word for number in range(3_000) for word in (f"{number}", ", ")]
    assert pieces_until_found(table) is None
    assert pieces_until_found(counted) is None
    assert pieces_until_found(["Contents", *["."] * 100, "7"]) is None


def test_a_period_longer_than_the_longest_is_not_found() -> None:
    assert pieces_until_found([f"w{at}" for at in range(65)] * 40) is None


def test_other_events_are_no_pieces() -> None:
    detector = RepetitionDetector()
    assert not any(detector.repeats(ChoiceFinished(0, "stop")) for _ in range(400))
