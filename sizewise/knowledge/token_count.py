"""Counts the tokens of a passage as the embedder does: by BERT's vocabulary, exact for the local model."""

from __future__ import annotations

import math

from sizewise.providers.local.wordpiece_tokenizer import WordPieceTokenizer

MAX_CHARS_PER_TOKEN = 7
"""A token counts for at most this many characters: BERT takes a key of a thousand letters for one word."""


def count_tokens(tokenizer: WordPieceTokenizer, text: str) -> int:
    return max(tokenizer.count_tokens(text), math.ceil(len(text) / MAX_CHARS_PER_TOKEN))
