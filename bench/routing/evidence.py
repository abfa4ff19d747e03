"""What careless evidence does to a promise: folders with a known truth, made here and calibrated; asks no model.

`python -m bench.routing.evidence [--draws N]`. Each draw makes a folder of outcomes, calibrates it as a user would, and
replays what was certified on other questions of the same making. Broken: the policy keeps less there than it promises.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from random import Random
from statistics import fmean

from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import BadRequest
from sizewise.evals.calibration import Calibration, calibrate
from sizewise.evals.outcomes import OutcomeDataset, RecordedOutcome, RecordedPrompt, build_dataset
from sizewise.evals.policy_loader import certificate_models
from sizewise.evals.replay import replay, replay_cases
from sizewise.model_card import ModelCard, ModelEndpoint
from sizewise.money import Price
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.policies.certified import CertifiedPolicy
from sizewise.routing.policy import Verdict

QUALITY = 0.95
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va", "we", "xi")
VOCABULARY = [one + other + one for one in SYLLABLES for other in SYLLABLES]
TELLING = "zozo"  # a word of the questions that the small model does not know
FRAMES = (
    "tell me about {}",
    "what do we know of {} today",
    "in one sentence, explain {}",
    "{}: how does that work",
    "my question is this one: {}",
)


class Draw(Struct, frozen=True):
    """One calibration. `kept`: quality on new questions relative to the large model; None if nothing was certified.
    `refused`: the reason why nothing was calibrated.
    """

    kept: float | None = None
    saved: float = 0.0  # share of the cost of the large model alone, on the certifying prompts
    refused: str = ""

    @property
    def is_broken(self) -> bool:
        return self.kept is not None and self.kept < QUALITY - 0.005  # the new questions are a sample too


def recorded(number: int, small: float, large: float) -> Iterator[RecordedOutcome]:
    for model, score in (("small", small), ("large", large)):
        yield RecordedOutcome(number, model, score, "A" if score else "B")


def paraphrased(count: int, seed: int, *, forms: int = 1, telling: bool = False) -> OutcomeDataset:
    """`count` questions in `forms` forms each, in another order or frame. The small model is right on 6 of 10, and no
    answer depends on the form. `telling`: a word says which; otherwise nothing does.
    """
    chance, prompts, outcomes = Random(seed), list[RecordedPrompt](), list[RecordedOutcome]()
    for _ in range(count):
        words, small, large = chance.sample(VOCABULARY, 7), chance.random() < 0.6, chance.random() < 0.95
        if telling and not small:
            words[0] = TELLING
        for form in range(forms):
            said = chance.sample(words, len(words)) if form % 2 else words
            prompts.append(RecordedPrompt(len(prompts), FRAMES[(form or len(prompts)) % 5].format(" ".join(said))))
            outcomes += recorded(len(prompts) - 1, float(small), float(large))
    return build_dataset(prompts, outcomes)


def reworded(count: int, seed: int, forms: int) -> OutcomeDataset:
    """Questions in forms with no more words in common than other questions have; a column says which belong together.
    The small model is right or wrong on all forms of a question.
    """
    known = paraphrased(count * forms, seed)
    groups = {row: (f"group {row // forms}",) for row in range(len(known.ids))}
    scores = {
        name: [column.score[row - row % forms] for row in range(len(known.ids))]
        for name, column in known.columns.items()
    }
    columns = {name: replace(column, score=scores[name]) for name, column in known.columns.items()}
    return replace(known, columns=columns, declared_groups=groups)


def traffic(count: int, seed: int) -> OutcomeDataset:
    """Requests: half are one of ten frequent questions, of which the small model knows four; it knows nearly all of the
    others, which are all different.
    """
    frequent = [" ".join(each) for each in (Random(number).sample(VOCABULARY, 7) for number in range(10))]
    chance, prompts, outcomes = Random(seed), list[RecordedPrompt](), list[RecordedOutcome]()
    for number in range(count):
        place = chance.randrange(10) if chance.random() < 0.5 else None
        text = " ".join(chance.sample(VOCABULARY, 7)) if place is None else frequent[place]
        prompts.append(RecordedPrompt(number, text))
        outcomes += recorded(number, float(chance.random() < 0.98 if place is None else place < 4), 1.0)
    return build_dataset(prompts, outcomes)


def crashing(count: int, seed: int) -> OutcomeDataset:
    """The small model crashes on most questions that it would get wrong, and no outcome is recorded then."""
    known, chance = paraphrased(count, seed), Random(seed)
    small = known.columns["small"]
    scores = [float("nan") if score == 0.0 and chance.random() < 0.95 else score for score in small.score]
    return replace(known, columns={**known.columns, "small": replace(small, score=scores)})


def kept_by(found: Calibration, fresh: OutcomeDataset) -> Draw:
    """What the certified policy keeps on other questions."""
    if found.certificate is None or found.best is None:
        return Draw()
    here = ModelEndpoint("recorded", place="process")
    cards = (
        ModelCard("small", here, "small", quality=0.0, price=Price(input=1, output=1)),
        ModelCard("large", here, "large", quality=1.0, price=Price(input=10, output=10)),
    )
    policy = CertifiedPolicy(found.certificate, found.guarantee)
    its = certificate_models(policy, cards, lambda features, replies: Verdict(None, "no rule"))
    cases = replay_cases(fresh, cards, its.prediction, its.judge)
    score = replay(policy, cases, fresh, cards).quality
    return Draw(score / fmean(fresh.column("large").score), found.best.savings)


def draw(dataset: OutcomeDataset, fresh: OutcomeDataset, *, per_request: bool = False) -> Draw:
    target = QualityGuarantee(QUALITY)
    try:
        found = calibrate(dataset, ("small",), "large", target, costs=(0.1, 1.0), per_request=per_request)
    except BadRequest as error:
        return Draw(refused=error.message)
    return kept_by(found, fresh)


FRESH = 2_000  # new prompts, of as many forms a question
KINDS: Mapping[str, Callable[[int], Draw]] = {
    "100 questions in 5 forms, nothing tells": lambda seed: draw(
        paraphrased(100, seed, forms=5), paraphrased(FRESH // 5, -1, forms=5)
    ),
    "400 questions in 3 forms, a word tells": lambda seed: draw(
        paraphrased(400, seed, forms=3, telling=True), paraphrased(FRESH // 3, -1, forms=3, telling=True)
    ),
    "100 questions in 5 forms in other words, by `group`": lambda seed: draw(
        reworded(100, seed, 5), reworded(FRESH // 5, -1, 5)
    ),
    "600 requests, half of them frequent, each question once": lambda seed: draw(
        traffic(600, seed), traffic(FRESH, -1)
    ),
    "the same by `--per-request`": lambda seed: draw(traffic(600, seed), traffic(FRESH, -1), per_request=True),
    "500 questions, most wrong answers missing": lambda seed: draw(crashing(500, seed), paraphrased(FRESH, -1)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=100, help="folders of each kind")
    draws = parser.parse_args().draws
    print("| evidence | refused | certified | broken | kept in the mean | saved, % |\n|---|---|---|---|---|---|")
    for name, kind in KINDS.items():
        found = [kind(seed) for seed in range(draws)]
        kept = [each.kept for each in found if each.kept is not None]
        mean = f"{fmean(kept):.3f}" if kept else "-"
        refused, broken = sum(bool(each.refused) for each in found), sum(each.is_broken for each in found)
        saved = 100 * fmean([each.saved for each in found])
        print(f"| {name} | {refused} | {len(kept)} | {broken} | {mean} | {saved:.0f} |", flush=True)


if __name__ == "__main__":
    main()
