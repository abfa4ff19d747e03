"""How wrong the local 1.5B model is as a judge of two answers, on recorded pairs whose truth a program knows.

    python -m bench.routing.judge               # starts `sizewise up` with its own home; 20 minutes on 2 busy cores
    python -m bench.routing.judge --recorded    # the table again from what was said, no model

Pairs come from bench/routing/live: answers of both recorded models and the references, right or wrong by their checks.
Those that agree (sizewise/routing/answer_agreement.py) are left out, for nobody is asked about them. Greedy, eight
tokens.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import groupby

import msgspec
from msgspec import Struct

from bench.first_light.run import Server, arguments, exact, served
from bench.routing.live.questions import RECORDED, questions
from bench.routing.live.record import Recorded
from sizewise.evals.llm_judge import (
    Preference,
    Proportion,
    combine_verdicts,
    compare_answers,
    judge_error_rates,
    parse_verdict,
    wilson_interval,
)
from sizewise.routing.answer_agreement import answers_agree

VERDICTS = RECORDED / "verdicts.jsonl"
WANTED = {
    "small wrong, judge's own right": 14,
    "judge's own wrong, reference right": 14,
    "small right, judge's own wrong": 4,
    "both right": 8,
    "both wrong": 8,
}
"""Pairs of each sort. That one of the answers is the judge's own is what this set has, and may flatter or harm it."""


class Pair(Struct, frozen=True):
    """`better`: which of them is right, `one` or `other`; empty where both are, or neither is."""

    sort: str
    id: str
    question: str
    one: str
    other: str
    better: str


class Said(Struct, frozen=True):
    """What the judge said of a pair where `one` was A, and where it was B; seconds of both together."""

    sort: str
    id: str
    better: str
    first: str
    second: str
    seconds: float

    @property
    def verdicts(self) -> tuple[str | None, str | None]:
        return parse_verdict(self.first), parse_verdict(self.second)

    @property
    def preference(self) -> Preference:
        return combine_verdicts(*self.verdicts)


def main() -> None:
    parser = arguments()
    parser.set_defaults(max_tokens=8)
    parser.add_argument("--recorded", action="store_true", help="ask nobody, read what was said")
    args = parser.parse_args()
    if not args.recorded:
        with served(args) as server:
            said = list(judged(server, exact(args.large), pairs()))
        VERDICTS.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in said))
    print("\n".join(table(recorded())))


def recorded() -> list[Said]:
    return [msgspec.json.decode(line, type=Said) for line in VERDICTS.read_bytes().splitlines()]


def pairs() -> list[Pair]:
    """Of each sort the first by the hash of their ids; in every second one the better answer comes first."""
    found = sorted(_known(), key=lambda each: (list(WANTED).index(each.sort), sha256(each.id.encode()).digest()))
    kept: list[Pair] = []
    for sort, some in groupby(found, key=lambda each: each.sort):
        for at, each in enumerate(list(some)[: WANTED[sort]]):
            better = {"one": "other", "other": "one", "": ""}[each.better]
            turned = msgspec.structs.replace(each, one=each.other, other=each.one, better=better)
            kept.append(turned if at % 2 else each)
    return kept


def _known() -> Iterator[Pair]:
    rows = [msgspec.json.decode(row, type=Recorded) for row in (RECORDED / "outcomes.jsonl").read_bytes().splitlines()]
    small, large = dict.fromkeys(each.model for each in rows)
    by = {(each.model, each.prompt_id): each for each in rows}
    for asked in questions():
        one, other = by[small, asked.id], by[large, asked.id]
        sorts = {
            (0.0, 1.0): ("small wrong, judge's own right", "other"),
            (1.0, 0.0): ("small right, judge's own wrong", "one"),
            (1.0, 1.0): ("both right", ""),
            (0.0, 0.0): ("both wrong", ""),
        }
        sort, better = sorts[one.score or 0.0, other.score or 0.0]
        answers = [(sort, str(one.answer), str(other.answer), better)]
        if not other.score:
            answers.append(("judge's own wrong, reference right", str(other.answer), asked.reference, "other"))
        for sort, first, second, better in answers:
            if answers_agree(first, second) is not True:
                yield Pair(sort, asked.id, asked.prompt, first, second, better)


class Heard:
    """The judge: asks the model, and remembers what it said and how many seconds that took."""

    def __init__(self, server: Server, model: str) -> None:
        self.said: list[str] = []
        self.seconds = 0.0
        self._server = server
        self._model = model

    async def __call__(self, prompt: str) -> str:
        return self.ask(prompt)

    def ask(self, prompt: str) -> str:
        reply = self._server.ask(self._model, prompt)
        if reply.error:
            print(f"{self._model!r} does not answer: {reply.error}", file=sys.stderr)
            raise SystemExit(3)
        self.said.append(reply.text)
        self.seconds += reply.seconds
        return reply.text


def judged(server: Server, model: str, asked: Sequence[Pair]) -> Iterator[Said]:
    server.ask(model, "Say hello.")  # loads the weights before any clock that counts
    for number, pair in enumerate(asked, 1):
        print(f"\r{number}/{len(asked)} ", end="", file=sys.stderr, flush=True)
        heard = Heard(server, model)
        asyncio.run(compare_answers(heard, pair.question, pair.one, pair.other))
        first, second = heard.said
        yield Said(pair.sort, pair.id, pair.better, first, second, round(heard.seconds, 2))
    print(file=sys.stderr)


def table(said: Sequence[Said]) -> Iterator[str]:
    yield "| pairs | of them | named the right one | named the wrong one | a tie | contradicted itself | unread |"
    yield "|---|---|---|---|---|---|---|"
    for sort in WANTED:
        yield _row(sort, [each for each in said if each.sort == sort])
    decided = [each for each in said if each.better]
    yield _row("**one right, one wrong**", decided)
    yield ""
    error = judge_error_rates([each.preference for each in said], [each.better == "other" for each in said])
    yield f"Calls worse what is not: {_share(error.false_alarm_rate)}; misses what is worse: {_share(error.miss_rate)}."
    yield (
        f"Contradicts itself when the order is turned: {_share(error.contradiction_rate)}; unread:"
        f" {_share(error.unreadable_rate)}."
    )
    calls = [each for pair in said for each in pair.verdicts]
    a, b = (_share(wilson_interval(calls.count(name), len(calls))) for name in ("A", "B"))
    yield f"Of its verdicts {a} are A and {b} are B."
    middle = sorted(each.seconds for each in said)[len(said) // 2]
    yield f"{middle:.1f} seconds a preference (median of two calls), {sum(each.seconds for each in said):.0f} in all."


def _row(name: str, said: Iterable[Said]) -> str:
    """Where both are right, or neither, whatever is named in both orders is wrong."""
    named = [_named(each) for each in said]
    right = sum(bool(each.better) and name == each.better for each, name in zip(said, named, strict=True))
    wrong = sum(name in ("one", "other") for name in named) - right
    counts = [len(named), right, wrong, *(named.count(each) for each in ("tie", "both", "unread"))]
    return f"| {name} | {' | '.join(map(str, counts))} |"


def _named(said: Said) -> str:
    """The answer that one order names and the other does not deny; both: a contradiction."""
    first, second = said.verdicts
    if first is None or second is None:
        return "unread"
    names = {{"A": "one", "B": "other"}.get(first, ""), {"A": "other", "B": "one"}.get(second, "")} - {""}
    return "tie" if not names else "both" if len(names) > 1 else names.pop()


def _share(found: Proportion) -> str:
    return f"{found.count} of {found.total} ({100 * found.low:.0f}-{100 * found.high:.0f} %)"


if __name__ == "__main__":
    main()
