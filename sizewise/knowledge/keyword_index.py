"""Turns the words of a text into keyed, counted numbers for keyword search; knows no vector store.

Ignores case, accents and plural endings. Scripts without spaces are split into pairs of characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import blake2b

WORD_PATTERN = re.compile(r"\w+")
MAX_WORD_CHARS = 40  # longer words are truncated
MAX_DISTINCT_WORDS = 4_000  # per passage
CACHE_SIZE = 50_000
_GAPLESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")


class KeywordHasher:
    """`key`: 32 bytes. Not thread-safe."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cache: dict[str, int] = {}

    def __call__(self, text: str) -> Mapping[int, int]:
        """Term (0..2^32-1) -> count, of the MAX_DISTINCT_WORDS most frequent words."""
        return dict(Counter(map(self._hash_word, tokenize(text))).most_common(MAX_DISTINCT_WORDS))

    def hash_text(self, text: str) -> str:
        """Keyed hash of a text that is compared for equality only, such as a tag."""
        return blake2b(text.encode("utf-8", "replace"), key=self._key, digest_size=12, person=b"tag").hexdigest()

    def _hash_word(self, word: str) -> int:
        found = self._cache.get(word)
        if found is None:
            if len(self._cache) >= CACHE_SIZE:
                self._cache.clear()
            made = blake2b(word.encode("utf-8", "replace"), key=self._key, digest_size=4, person=b"term").digest()
            found = self._cache[word] = int.from_bytes(made)
        return found


def tokenize(text: str) -> Iterator[str]:
    """Normalized words."""
    if not text.isascii():
        plain = unicodedata.normalize("NFKD", text)
        text = "".join(each for each in plain if not unicodedata.combining(each))
    for word in WORD_PATTERN.findall(text.casefold()):
        if word.isascii() or not _GAPLESS.search(word):
            yield _singular(word[:MAX_WORD_CHARS])
            continue
        for part in re.findall(f"{_GAPLESS.pattern}|[^{_GAPLESS.pattern[1:-2]}]+", word):
            if _GAPLESS.match(part) and len(part) > 1:
                yield from (part[at : at + 2] for at in range(len(part) - 1))
            else:
                yield part[:MAX_WORD_CHARS]


def _singular(word: str) -> str:
    """Harman's S stemmer ("How effective is suffixing?", 1991), a weak one that hardly harms other languages."""
    if len(word) < 4 or word[-1] != "s":
        return word
    if word.endswith("ies") and word[-4] not in "ae":
        return f"{word[:-3]}y"
    if word.endswith("es") and word[-3] not in "aeo":
        return word[:-1]
    return word[:-1] if word[-2] not in "us" else word
