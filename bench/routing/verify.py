"""How wrong the local 1.5B model is as a verifier of the small one's answers, whose truth a program knows.

    python -m bench.routing.verify               # starts `sizewise up` with its own home; ten minutes on 2 cores
    python -m bench.routing.verify --recorded    # the table again from what was said, no model

It is asked as by a cascade with `verifier`: one answer, both orders of the verdicts (sizewise/routing/llm_verifier.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

import msgspec
from msgspec import Struct

from bench.first_light.run import Server, arguments, exact, served
from bench.routing.judge import Heard
from bench.routing.live.questions import RECORDED, questions
from bench.routing.live.record import Recorded
from sizewise.evals.llm_judge import wilson_interval
from sizewise.messages import ChatRequest, Choice, Message, Reply, Usage
from sizewise.routing.llm_verifier import parse_verification, verification_request

VERDICTS = RECORDED / "verified.jsonl"
EACH = 24
"""Right and wrong answers that are asked about, the first by the hash of their ids."""


class Said(Struct, frozen=True):
    """What was said of an answer, the good verdict first and the bad one first; seconds of both together."""

    id: str
    right: bool
    first: str
    turned: str
    seconds: float

    @property
    def score(self) -> float | None:
        first, turned = (Reply((Choice(text=each),), Usage()) for each in (self.first, self.turned))
        return parse_verification("it", first, turned).score


def main() -> None:
    parser = arguments()
    parser.set_defaults(max_tokens=8)
    parser.add_argument("--recorded", action="store_true", help="ask nobody, read what was said")
    args = parser.parse_args()
    if not args.recorded:
        with served(args) as server:
            said = list(verified(server, exact(args.large)))
        VERDICTS.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in said))
    print("\n".join(table(recorded())))


def recorded() -> list[Said]:
    return [msgspec.json.decode(line, type=Said) for line in VERDICTS.read_bytes().splitlines()]


def answers() -> list[tuple[Recorded, str]]:
    """The small model's, each with its question; as many right as wrong."""
    rows = [msgspec.json.decode(row, type=Recorded) for row in (RECORDED / "outcomes.jsonl").read_bytes().splitlines()]
    small, asked = rows[0].model, {each.id: each.prompt for each in questions()}
    mine = sorted(
        (row for row in rows if row.model == small),
        key=lambda row: sha256(str(row.prompt_id).encode()).digest(),
    )
    kept = [row for right in (1.0, 0.0) for row in [each for each in mine if each.score == right][:EACH]]
    return [(row, asked[str(row.prompt_id)]) for row in kept]


def verified(server: Server, model: str) -> Iterator[Said]:
    server.ask(model, "Say hello.")  # loads the weights before any clock that counts
    for row, asked in answers():
        chat, reply = ChatRequest(model, [Message("user", asked)], {}), Reply((Choice(text=str(row.answer)),), Usage())
        heard = Heard(server, model)
        for turned in (False, True):
            heard.ask(verification_request(chat, reply, turned).messages[0].text)
        first, turned_said = heard.said
        yield Said(str(row.prompt_id), bool(row.score), first, turned_said, round(heard.seconds, 2))


def table(said: Sequence[Said]) -> Iterator[str]:
    yield "| answers | of them | found good | contradicted itself | found bad | unread |"
    yield "|---|---|---|---|---|---|"
    for name, right in (("right", True), ("wrong", False)):
        scores = [each.score for each in said if each.right is right]
        counts = [len(scores), *(scores.count(score) for score in (1.0, 0.5, 0.0, None))]
        yield f"| {name} | {' | '.join(map(str, counts))} |"
    letters = [each[:1] for its in said for each in (its.first, its.turned)]
    its = wilson_interval(letters.count("A"), len(letters))
    yield ""
    yield f"Of its verdicts {its.count} of {its.total} ({100 * its.low:.0f}-{100 * its.high:.0f} %) are A."
    middle = sorted(each.seconds for each in said)[len(said) // 2]
    yield f"{middle:.1f} seconds an opinion (median of two calls), {sum(each.seconds for each in said):.0f} in all."


if __name__ == "__main__":
    main()
