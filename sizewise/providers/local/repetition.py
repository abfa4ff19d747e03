"""Notices that a model repeats itself without end, from the pieces of its reply as they come; stops nothing."""

from __future__ import annotations

from collections import deque

from sizewise.handler import Event, ReasoningDelta, TextDelta, ToolDelta

MAX_PERIOD = 64  # pieces, usually tokens, that are repeated
MIN_REPEATED = 128  # pieces: a row of dots in a table of contents is shorter
MIN_REPEATS = 4


class RepetitionDetector:
    """`repeats` tells of one choice's pieces, in order, whether the last ones are the same few again and again.

    True once at most MAX_PERIOD pieces stand there MIN_REPEATS times in a row or more, MIN_REPEATED pieces at least.
    A small model that is sampled falls into such loops, and ends only with its context window. Ollama gives up at 100
    equal tokens (github.com/ollama/ollama/pull/18374); loops of a whole sentence are as frequent.
    """

    def __init__(self) -> None:
        self._last: deque[str] = deque(maxlen=MAX_PERIOD)  # newest first
        self._runs = [0] * MAX_PERIOD  # by period - 1: so many pieces in a row equal the one a period before

    def repeats(self, event: Event) -> bool:
        if isinstance(event, (TextDelta, ReasoningDelta)):
            piece = event.text
        elif isinstance(event, ToolDelta):
            piece = event.json
        else:
            return False
        runs = self._runs
        found = False
        for at, before in enumerate(self._last):
            runs[at] = run = runs[at] + 1 if before == piece else 0
            found = found or run >= max(MIN_REPEATED, MIN_REPEATS * (at + 1))
        self._last.appendleft(piece)
        return found
