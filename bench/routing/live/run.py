"""The table of the recorded set: small, large, cascade, chance and tier 0, kind by kind, flattering or not.

    python -m bench.routing.live.run [FOLDER]          # bench/routing/live/recorded, where none is named

The cascade is Sizewise's own judges at their declared default over what was recorded, not a second run. A question
that goes up pays for the small reply too. Chance goes up as often, drawn exactly.
"""

from __future__ import annotations

import json
import sys
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import unpack

import msgspec
from msgspec import Raw

from bench.first_light.report import page
from bench.first_light.statistics import Answer, Asked
from bench.routing.live.questions import RECORDED, VECTORS, Labelled, Question, questions, train
from bench.routing.live.record import Recorded
from bench.routing.live.text_classifier import Classifier, Vector, dense, learn, tfidf
from sizewise.messages import Choice, Reply, Usage
from sizewise.routing.judges.chain import JudgeChain
from sizewise.routing.judges.confidence import confidence
from sizewise.routing.judges.rules import rules
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policy import RequestFeatures

SURE = 0.5
"""From this probability tier 0 answers: a declared default like that of the cascade, chosen before the run."""
PROVEN = 0.8
"""Share right in its own folds from which a kind is left to tier 0. Chosen after the first table had been seen."""


@dataclass(frozen=True, slots=True)
class Line:
    """What was made of one question; `words`, `vectors`: tier 0 by these, None where nothing is classified."""

    question: Question
    asked: Asked
    score: float  # the small reply's trust, 0..1
    words: Guess | None
    vectors: Guess | None


@dataclass(frozen=True, slots=True)
class Guess:
    """`proven`: share of its training texts that the classifier got right when it had not learned from them, 0..1."""

    right: bool
    sure: float  # 0..1
    proven: float
    seconds: float


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else RECORDED
    lines = recorded(folder)
    print(table(lines))
    print()
    print(page([line.asked for line in lines]))
    print()
    print("\n".join(notes(lines)))


def recorded(folder: Path) -> list[Line]:
    asked = questions()
    outcomes = [
        msgspec.json.decode(row, type=Recorded) for row in (folder / "outcomes.jsonl").read_bytes().splitlines()
    ]
    small, large = dict.fromkeys(each.model for each in outcomes)
    said = {(each.model, each.prompt_id): each for each in outcomes}
    words, vectors = by_words(asked, train()), by_vectors(asked, train())
    return [
        line(each, said[small, each.id], said[large, each.id], words.get(each.id), vectors.get(each.id))
        for each in asked
    ]


def line(question: Question, small: Recorded, large: Recorded, words: Guess | None, vectors: Guess | None) -> Line:
    judged = JudgeChain((rules, confidence))(RequestFeatures(prompt_tokens=0, max_tokens=1), (_reply(small),))
    score = 1.0 if judged.score is None else judged.score
    up = score < CascadePolicy().threshold
    kept, gone = _answer(small), _answer(large)
    both = Answer(gone.right, kept.tokens + gone.tokens, kept.seconds + gone.seconds)
    return Line(question, Asked(up, len(question.prompt), both if up else kept, kept, gone), score, words, vectors)


def _answer(outcome: Recorded) -> Answer:
    tokens = round((outcome.tokens_in or 0) + (outcome.tokens_out or 0))
    return Answer(outcome.score == 1.0, tokens, outcome.seconds or 0.0)


def _reply(outcome: Recorded) -> Reply:
    logprobs = Raw(json.dumps({"content": [{"logprob": each} for each in outcome.logprobs]}).encode())
    return Reply((Choice(0, str(outcome.answer), outcome.finish, logprobs=logprobs),), Usage())


# ---- tier 0


def by_words(asked: Sequence[Question], learned: Sequence[Labelled]) -> dict[str, Guess]:
    found = {}
    for kind in {each.kind: None for each in learned}:
        texts, labels = _of(kind, learned)
        classifier = learn(tfidf(texts, texts), labels)
        for each in asked:
            if each.kind == kind:
                began = time.perf_counter()
                [vector] = tfidf([each.text], texts)
                found[each.id] = _guess(classifier, vector, each, time.perf_counter() - began)
    return found


def by_vectors(asked: Sequence[Question], learned: Sequence[Labelled]) -> dict[str, Guess]:
    rows = [json.loads(row) for row in VECTORS.read_text(encoding="utf-8").splitlines()]
    vectors = {row["text"]: dense(unpack("384b", b64decode(row["vector"]))) for row in rows}
    took = {row["text"]: float(row["seconds"]) for row in rows}
    found = {}
    for kind in {each.kind: None for each in learned}:
        texts, labels = _of(kind, learned)
        classifier = learn([vectors[text] for text in texts], labels)
        for each in asked:
            if each.kind == kind:
                found[each.id] = _guess(classifier, vectors[each.text], each, took[each.text])
    return found


def _of(kind: str, learned: Sequence[Labelled]) -> tuple[list[str], list[str]]:
    ours = [each for each in learned if each.kind == kind]
    return [each.text for each in ours], [each.label for each in ours]


def _guess(classifier: Classifier, vector: Vector, question: Question, before: float) -> Guess:
    began = time.perf_counter()
    label, sure = classifier.says(vector)
    return Guess(label == question.reference, sure, classifier.proven, before + time.perf_counter() - began)


# ---- the page


HEAD = (
    f"{'':12}{'n':>4}{'small':>8}{'large':>8}{'cascade':>9}{'chance':>8}{'words':>8}{'MiniLM':>8}"
    f"{'kept small':>12}{'tokens':>9}{'seconds':>9}"
)


def table(lines: Sequence[Line]) -> str:
    kinds = list(dict.fromkeys(each.question.kind for each in lines))
    rows = [_row(kind, [each for each in lines if each.question.kind == kind]) for kind in kinds]
    told = "Share right, in percent. Chance: up as often. Tokens, seconds: the cascade's, as shares of all large."
    return "\n".join([told, "", HEAD, *rows, "-" * len(HEAD), _row("all", lines)])


def _row(name: str, lines: Sequence[Line]) -> str:
    n, asked = len(lines), [each.asked for each in lines]
    small, large = sum(a.small.right for a in asked), sum(a.large.right for a in asked)
    up = sum(a.escalated for a in asked)
    chance = small + (large - small) * up / n
    shares = [small, large, sum(a.auto.right for a in asked), chance]
    guessed = [[each.words for each in lines], [each.vectors for each in lines]]
    tier0 = [_percent(sum(g.right for g in row if g), n) if all(row) else "-" for row in guessed]
    tokens = sum(a.auto.tokens for a in asked) / sum(a.large.tokens for a in asked)
    seconds = sum(a.auto.seconds for a in asked) / sum(a.large.seconds for a in asked)
    a, b, c, d = (_percent(share, n) for share in shares)
    return (
        f"{name:12}{n:>4}{a:>8}{b:>8}{c:>9}{d:>8}{tier0[0]:>8}{tier0[1]:>8}"
        f"{_percent(n - up, n):>12}{tokens:>9.2f}{seconds:>9.2f}"
    )


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f}"


def notes(lines: Sequence[Line]) -> Iterator[str]:
    right = [each.score for each in lines if each.asked.small.right]
    wrong = [each.score for each in lines if not each.asked.small.right]
    yield (
        f"The small model's trust tells its {len(right)} right from its {len(wrong)} wrong replies "
        f"at AUROC {auroc(right, wrong):.2f} (0.5: not at all)."
    )
    yield f"\nTier 0 answers what it is at least {SURE} sure of, for no token; the rest goes to who is named:\n"
    yield f"{'':38}{'right':>6}{'tier 0':>8}{'of it right':>13}{'tokens':>9}{'seconds':>9}"
    for name, guesses in (
        ("words", {each.question.id: each.words for each in lines}),
        ("MiniLM", {each.question.id: each.vectors for each in lines}),
    ):
        for then in ("large", "cascade"):
            yield _first(f"tier 0 by {name}, then {then}", lines, guesses, then)
        yield _first("  only kinds proven in its folds, large", lines, guesses, "large", PROVEN)
        proofs = {each.question.kind: g.proven for each in lines if (g := guesses[each.question.id])}
        yield "  proven in its folds: " + ", ".join(f"{kind} {proof:.2f}" for kind, proof in proofs.items())


def _first(
    name: str,
    lines: Sequence[Line],
    guesses: Mapping[str, Guess | None],
    then: str,
    proven: float = 0.0,
) -> str:
    right = kept = kept_right = tokens = 0
    seconds = 0.0
    for each in lines:
        guess = guesses[each.question.id]
        if guess and guess.proven >= proven:
            seconds += guess.seconds
            if guess.sure >= SURE:
                right, kept, kept_right = right + guess.right, kept + 1, kept_right + guess.right
                continue
        answer = each.asked.auto if then == "cascade" else each.asked.large
        right, tokens, seconds = right + answer.right, tokens + answer.tokens, seconds + answer.seconds
    return f"{name:38}{right:>6}{kept:>8}{kept_right:>13}{tokens:>9}{seconds:>9.1f}"


def auroc(right: Sequence[float], wrong: Sequence[float]) -> float:
    """Chance that a right reply has more trust than a wrong one, ties half."""
    pairs = len(right) * len(wrong)
    return sum((r > w) + 0.5 * (r == w) for r in right for w in wrong) / pairs if pairs else 0.5


if __name__ == "__main__":
    main()
