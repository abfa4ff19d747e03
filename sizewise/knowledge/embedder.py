"""Texts -> vectors, by whichever embedding model of the house a base names; every question goes through the onion.

So the vectors of confidential passages are made where confidential data may go, are paid for and recorded, and a key
that may not ask a model makes no vectors by it either.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from sizewise.data_class import DataClass, strictest
from sizewise.errors import ConfigError, ModelUnavailable, StoreFailed, TooLong, UpstreamGarbled, nearest
from sizewise.handler import Answerer, Ask, quiet
from sizewise.knowledge.chunk import ABOVE, Cut
from sizewise.limits.middleware import OURS
from sizewise.messages import Embed
from sizewise.model_card import Card
from sizewise.providers.local.wordpiece_tokenizer import WordPiece

TOGETHER = 32
"""Texts of one question: a second or two of a small machine, after which progress is told."""
WINDOW = 512  # tokens, of a model that does not say
SPARE = 8
"""Tokens that a model puts around a text, and by which its own count may differ from ours."""
LONG = 7
"""Characters of a token at most, as they are counted here: a key of a thousand letters is one word for BERT."""
Vector = tuple[float, ...]


class Embedder:
    """For one house. Safe from any thread, but for `vectors`, which is for the event loop."""

    def __init__(self, answer: Answerer, cards: Sequence[Card], fetchable: Sequence[str]) -> None:
        """`fetchable`: embedding models that could be fetched, for a hint."""
        self._answer = answer
        self._cards = {card.name: card for card in cards if card.task == "embed"}
        self._fetchable = fetchable
        self._words: WordPiece | None = None
        self._turn = threading.Lock()

    def model(self, said: str) -> str:
        """The name of the model, `said` or the only one there is. Raises ModelUnavailable, ConfigError."""
        known = list(self._cards)
        if said:
            if said in self._cards:
                return said
            hint = nearest(said, known) or f"known: {', '.join(known) or 'none'}"
            raise ModelUnavailable(f"there is no embedding model {said!r}", hint)
        here = [name for name, card in self._cards.items() if card.place == "process"] or known
        if len(here) == 1:
            return here[0]
        if not here:
            fetch = f"sizewise models pull {self._fetchable[0]}, then sizewise up" if self._fetchable else "add one"
            raise ModelUnavailable("there is no embedding model", f"fetch one for this machine: {fetch}")
        hint = f'embed = "{here[0]}" in [knowledge.NAME] of sizewise.toml'
        raise ConfigError(f"there are several embedding models: {', '.join(here)}", hint)

    def room(self, model: str) -> int:
        """Tokens of a passage at most, beside the headings above it."""
        card = self._cards.get(model)
        return max(20, (card.context if card and card.context else WINDOW) - SPARE - ABOVE)

    def count(self, text: str) -> int:
        """Tokens of BERT's vocabulary, which is the local model's own and near to others'."""
        with self._turn:
            if self._words is None:
                self._words = WordPiece()
            return max(self._words.count(text), math.ceil(len(text) / LONG))

    def said(self, cut: Cut, title: str) -> str:
        """What a passage's vector is made of, within the window."""
        whole = cut.embedded(title)
        above = whole[: len(whole) - len(cut.text)]
        while above.strip() and self.count(above) > ABOVE:
            above = f"{above[: len(above) * 2 // 3].rstrip()}\n"
        return f"{above}{cut.text}"

    async def vectors(self, ask: Ask, model: str, texts: Sequence[str], data_class: DataClass | None) -> list[Vector]:
        """One for each text. `ask`: whose, and on what terms, never looser than `data_class`. Raises as the house."""
        found: list[Vector] = []
        for start in range(0, len(texts), TOGETHER):
            found += await self._some(ask, model, texts[start : start + TOGETHER], data_class)
        return found

    async def _some(self, ask: Ask, model: str, texts: Sequence[str], data_class: DataClass | None) -> list[Vector]:
        """What a model finds too long after all is cut: its beginning is found all the same."""
        try:
            reply = await self._answer(_asking(ask, model, texts, data_class), quiet)
        except TooLong:
            if len(texts) == 1:
                if len(texts[0]) < 8:
                    raise
                return await self._some(ask, model, [texts[0][: len(texts[0]) * 2 // 3]], data_class)
            half = len(texts) // 2
            return [
                *await self._some(ask, model, texts[:half], data_class),
                *await self._some(ask, model, texts[half:], data_class),
            ]
        if len(reply.vectors) != len(texts):
            told = f"{model!r} gave {len(reply.vectors)} vectors for {len(texts)} texts"
            raise UpstreamGarbled(told, "is it an embedding model?")
        return list(reply.vectors)


def _asking(ask: Ask, model: str, texts: Sequence[str], data_class: DataClass | None) -> Ask:
    inputs = [" ".join(text.split()) or "-" for text in texts]
    fields = {"model": Raw(msgspec.json.encode(model)), "input": Raw(msgspec.json.encode(inputs))}
    wishes = ask.wishes
    classes = [each for each in (wishes.data_class, data_class) if each is not None]
    wishes = msgspec.structs.replace(
        wishes, policy=None, idempotency_key=None, session=None, data_class=strictest(*classes) if classes else None
    )
    door = ask.door if ask.door in OURS else "embeddings"
    return msgspec.structs.replace(
        ask, what=Embed(model, inputs, fields), wishes=wishes, door=door, found=None, fence=None
    )


def same_length(vectors: Sequence[Vector], dimension: int) -> int:
    """How many numbers each has. Raises StoreFailed where a model changed under its name."""
    lengths = {len(each) for each in vectors}
    if len(lengths) != 1 or (dimension and lengths != {dimension}):
        told = f"the model makes vectors of {sorted(lengths)} numbers, and the base holds such of {dimension}"
        raise StoreFailed(told, "name another model, or remove the base and fill it anew")
    return lengths.pop()
