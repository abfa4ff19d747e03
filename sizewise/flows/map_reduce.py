"""Map-reduce over the pieces of a text: notes on each, notes on the notes until they fit one call; always ends.

A piece that does not fit its model's window, or that takes longer than a request may, is read as two halves. Where the
model is busy, the piece waits for its turn. Knows no model and no window: `ask` and `fits` do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sizewise.errors import Busy, ContextLengthExceeded, SizewiseError, UpstreamOverloaded, UpstreamTimeout
from sizewise.flows.text_pieces import halves, pack, shorten

T = TypeVar("T")

LEAST_CHARS = 200
"""A piece this short is not halved: a model that cannot read it cannot be used."""
MAX_TIMEOUTS = 2
"""Times in a row that a piece is halved because its model took too long: a model that never answers is an error."""
MAX_WAITS = 60
"""Times that a piece waits for a busy model; then the model's own error is raised."""
DEFAULT_WAIT_S = 1.0
MAX_WAIT_S = 30.0


@dataclass(slots=True)
class Progress:
    """Calls that were answered, of those that are known to be needed."""

    done: int = 0
    known: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MapReduce:
    """`ask` returns a model's note: (key, number, of how many, text). Equal keys mean equal calls, also after a resume.

    `fits`: whether a note on a text, or the answer from all notes (True), can be asked for at once. `most`, `note`:
    characters of a piece, and of a note at most; a note is at most a third of a piece, so each round has fewer notes.
    `concurrency`: calls at a time.
    """

    ask: Callable[[str, int, int, str], Awaitable[str]]
    fits: Callable[[str, bool], Awaitable[bool]]
    most: int
    note: int
    concurrency: int
    progress: Progress

    async def reduce(self, pieces: Sequence[str]) -> list[str]:
        """Notes on `pieces`, in their order, that together fit one call.

        Raises the model's error, and ContextLengthExceeded if its window has no room for a sentence.
        """
        notes, level = await self._round(pieces, "0"), 0
        while len(notes) > 1 and not await self._fit(notes):
            level, before = level + 1, len(notes)
            notes = await self._round(pack(notes, self.most), str(level))
            if len(notes) >= before:  # halved again and again: shorter notes are the only way on
                notes = [shorten(each, len(each) // 2) for each in notes]
        return notes

    async def _fit(self, notes: Sequence[str]) -> bool:
        joined = "\n\n".join(notes)
        return len(joined) <= self.most and await self.fits(joined, True)

    async def _round(self, pieces: Sequence[str], level: str) -> list[str]:
        turn = asyncio.Semaphore(self.concurrency)
        self.progress.known += len(pieces)
        tasks = [
            asyncio.create_task(self._notes(turn, f"{level}.{number}", number, len(pieces), piece))
            for number, piece in enumerate(pieces, 1)
        ]
        try:
            return [note for notes in await asyncio.gather(*tasks) for note in notes]
        finally:  # if one fails, cancel the others
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _notes(
        self, turn: asyncio.Semaphore, key: str, number: int, whole: int, piece: str, timeouts: int = 0
    ) -> list[str]:
        """The note on `piece`, or the notes on its parts. `timeouts`: of the pieces that it is a part of."""
        try:
            async with turn:  # not held while the halves are read
                if not await self.fits(piece, False):
                    raise ContextLengthExceeded("the piece is too long for its model", param="text")
                note = await patiently(lambda mark: self.ask(f"{key}{mark}", number, whole, piece))
        except (ContextLengthExceeded, UpstreamTimeout) as error:
            if isinstance(error, UpstreamTimeout):
                timeouts += 1
                if timeouts > MAX_TIMEOUTS or len(piece) <= LEAST_CHARS:
                    raise
            elif len(piece) <= LEAST_CHARS:
                words = f"the model's window has no room for the instruction and a piece of {len(piece)} characters"
                hint = "shorten `system` and `prompt`, lower `max_tokens`, or use a model with a larger window"
                raise ContextLengthExceeded(words, hint, param="text") from error
            self.progress.known += 1
            return [
                note
                for mark, half in zip("ab", halves(piece), strict=True)
                for note in await self._notes(turn, f"{key}{mark}", number, whole, half, timeouts)
            ]
        self.progress.done += 1
        return [shorten(note, self.note)] if note.strip() else []


async def patiently(ask: Callable[[str], Awaitable[T]]) -> T:
    """`ask`, again whenever the model is busy, after the pause that it names. It gets a mark that differs each time."""
    for wait in range(MAX_WAITS):
        try:
            return await ask(f".{wait}" if wait else "")
        except (Busy, UpstreamOverloaded) as error:
            await asyncio.sleep(min(error.retry_after or DEFAULT_WAIT_S, MAX_WAIT_S))
    return await ask(f".{MAX_WAITS}")


def out_of_time(progress: Progress, seconds: float) -> SizewiseError:
    """The error when the time of a whole summary is over."""
    return UpstreamTimeout(
        f"the summary was not done within {seconds:g} s: "
        f"{progress.done} of at least {progress.known} calls were answered",
        "allow more time (`max_ms`), use a faster model or a larger window, or read fewer pieces (`most_pieces`)",
        param="max_ms",
    )
