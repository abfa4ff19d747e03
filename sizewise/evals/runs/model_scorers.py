"""Scorers that ask a model: a judge by a rubric or by preference, and the similarity of embeddings; keeps nothing.

similarity   cosine of two embeddings, below 0 as 0 (N. Reimers and I. Gurevych 2019, arXiv:1908.10084).
pairwise     blind, in both orders (L. Zheng et al. 2023, arXiv:2306.05685): 1 no worse than the reference, 0.5 a tie in
             one order alone or a contradiction, 0 worse in both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import sqrt

from msgspec import Struct

from sizewise.data_class import DataClass
from sizewise.errors import ContextLengthExceeded, SizewiseError
from sizewise.evals.llm_judge import compare_answers
from sizewise.evals.runs.eval_items import EvalItem
from sizewise.evals.runs.eval_spec import ScorerSpec
from sizewise.evals.runs.item_scorers import (
    CRITERIA,
    Score,
    TargetAnswer,
    expected_of,
    judge_prompt,
    missing,
    parse_judgement,
    skipped,
)
from sizewise.evals.scorers import references

PIECE_BYTES = 250
"""No text of so many bytes has more than the 256 tokens that the smallest model takes."""
MAX_PIECES = 64


class EmbeddedTexts(Struct, frozen=True):
    """`cost`: pico-dollars; None: unknown."""

    vectors: tuple[tuple[float, ...], ...]
    cost: int | None = None


AskJudge = Callable[[str, str, int | None, DataClass | None], Awaitable[TargetAnswer]]
"""(model, prompt, maximum cost in pico-dollars, class of the prompt) -> its verdict. Raises SizewiseError."""
EmbedTexts = Callable[[str, Sequence[str], int | None, DataClass | None], Awaitable[EmbeddedTexts]]
"""(model, texts, maximum cost in pico-dollars, class of the texts) -> a vector each. Raises SizewiseError."""


class ModelScoring:
    """Scores one answer by one scorer. `left`: pico-dollars that it may still cost; None: no maximum. `costs`: of what
    it has asked, None where unknown.
    """

    def __init__(self, ask_judge: AskJudge, embed: EmbedTexts | None, left: int | None) -> None:
        self._ask_judge, self._embed = ask_judge, embed
        self.left = left
        self.costs: list[int | None] = []

    async def __call__(self, spec: ScorerSpec, item: EvalItem, answer: TargetAnswer) -> Score:
        """Raises SizewiseError; what was asked before is in `costs`."""
        if spec.kind == "judge" and CRITERIA in spec.rubric and not item.criteria:
            return skipped("the item has no criteria")
        if not answer.text.strip():
            return Score(0.0, "the answer is empty")
        if spec.kind == "judge":
            prompt = judge_prompt(spec, item, answer)
            return parse_judgement(spec, await self._ask(spec.model, prompt, item.data_class))
        known = [str(each) for each in references(expected_of(spec, item)) if each not in (None, "")]
        if not known:
            return skipped("the item has nothing expected")
        if spec.kind == "pairwise":
            return await self._preference(spec, item, answer.text, known[0])
        return await self._similarity(spec, item, answer.text, known)

    async def _ask(self, model: str, prompt: str, data_class: DataClass | None) -> str:
        found = await self._ask_judge(model, prompt, self.left, data_class)
        self._pay(found.cost)
        return found.text

    async def _preference(self, spec: ScorerSpec, item: EvalItem, text: str, reference: str) -> Score:
        async def ask(prompt: str) -> str:
            return await self._ask(spec.model, prompt, item.data_class)

        found = await compare_answers(ask, item.question(), text, reference)
        return missing(found.why) if found.worse is None else Score(1.0 - found.worse, found.why)

    async def _similarity(self, spec: ScorerSpec, item: EvalItem, text: str, known: Sequence[str]) -> Score:
        vector, *others = await self._vectors(spec.model or "auto", [text, *known], item.data_class)
        nearest = min(1.0, max(0.0, *(cosine(vector, other) for other in others)))
        return Score(nearest if spec.threshold is None else float(nearest >= spec.threshold))

    async def _vectors(
        self, model: str, texts: Sequence[str], data_class: DataClass | None
    ) -> Sequence[Sequence[float]]:
        """Of texts that are too long for the model: the mean of their pieces, by length."""
        try:
            return await self._embedded(model, texts, data_class)
        except ContextLengthExceeded:
            pieces = [split_text(each) for each in texts]
        vectors = iter(await self._embedded(model, [each for its in pieces for each in its], data_class))
        return [weighted_mean([(len(each), next(vectors)) for each in its]) for its in pieces]

    async def _embedded(
        self, model: str, texts: Sequence[str], data_class: DataClass | None
    ) -> Sequence[Sequence[float]]:
        if self._embed is None:
            raise SizewiseError("there is no embedding model", "sizewise models pull minilm-l6-v2")
        found = await self._embed(model, texts, self.left, data_class)
        self._pay(found.cost)
        return found.vectors

    def _pay(self, cost: int | None) -> None:
        self.costs.append(cost)
        self.left = None if self.left is None else max(0, self.left - (cost or 0))


def split_text(text: str) -> list[str]:
    """Pieces of at most PIECE_BYTES, at spaces where there are any; of a very long text the beginning."""
    pieces, piece = list[str](), ""
    for word in text.split():
        while len(word.encode("utf-8", "replace")) > PIECE_BYTES:
            pieces.append(word[: PIECE_BYTES // 4])
            word = word[PIECE_BYTES // 4 :]
        longer = f"{piece} {word}" if piece else word
        if len(longer.encode("utf-8", "replace")) > PIECE_BYTES:
            pieces.append(piece)
            longer = word
        piece = longer
        if len(pieces) >= MAX_PIECES:
            break
    return [each for each in [*pieces, piece] if each][:MAX_PIECES]


def weighted_mean(vectors: Sequence[tuple[int, Sequence[float]]]) -> list[float]:
    """By (weight, vector), of one length and at least one."""
    whole = sum(weight for weight, _ in vectors)
    columns = zip(*(vector for _, vector in vectors), strict=True)
    return [sum(weight * each for (weight, _), each in zip(vectors, column, strict=True)) / whole for column in columns]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """0 if one of them is 0."""
    sizes = sqrt(sum(each * each for each in one) * sum(each * each for each in other))
    return sum(a * b for a, b in zip(one, other, strict=True)) / sizes if sizes else 0.0
