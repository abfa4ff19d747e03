"""Splits a document into chunks along headings, blocks and sentences, with an overlap; knows no model.

Tokens are counted as the embedder counts them. A chunk is a contiguous part of the document's text with its position:
characters, pages and headings, so that a citation can be checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.knowledge.document import Block, Document

CountTokens = Callable[[str], int]

DEFAULT_TOKENS = 200
DEFAULT_OVERLAP = 30
MAX_CHUNKS = 100_000
"""Of one document."""
HEADING_TOKENS = 40
"""Maximum tokens of headings that are embedded with a chunk."""
FULL = 0.6
"""A chunk filled to this share is closed at the end of a block if the next block does not fit whole."""
TURNED = 0.2
"""A chunk filled to this share is closed at the end of a page, so that its citation has one page."""
_END = re.compile(r"[.!?][\"'»”)\]]{0,3}\s+|[。！？]|\n+")


class TextChunk(Struct, frozen=True):
    """`text` is the document's from character `start` to `end`. Pages count from 1; 0 if there are none."""

    text: str
    start: int
    end: int
    first_page: int
    last_page: int
    headings: tuple[str, ...]
    tokens: int

    def text_with_headings(self, title: str) -> str:
        """The text to embed: headings, or else the title, give it context."""
        above = " > ".join(self.headings) or title
        return f"{above}\n{self.text}" if above else self.text


class TextSegment(Struct, frozen=True):
    """A sentence or a line; split only if it is longer than a chunk."""

    start: int
    end: int
    page: int
    tokens: int
    ends_block: bool  # the last of its block


def chunk_document(
    document: Document,
    count_tokens: CountTokens,
    max_tokens: int = DEFAULT_TOKENS,
    overlap: int = DEFAULT_OVERLAP,
) -> list[TextChunk]:
    """In document order. Raises BadRequest for more than MAX_CHUNKS. Linear in the text."""
    text, found = document.text, list[TextChunk]()
    for headings, pieces in _sections(document, text, count_tokens, max_tokens):
        for start, end in _packed(pieces, max_tokens, overlap):
            some = pieces[start:end]
            pages = [each.page for each in some]
            begins, ends = some[0].start, some[-1].end
            found.append(
                TextChunk(
                    text=text[begins:ends],
                    start=begins,
                    end=ends,
                    first_page=min(pages),
                    last_page=max(pages),
                    headings=headings,
                    tokens=sum(each.tokens for each in some),
                )
            )
        if len(found) > MAX_CHUNKS:
            raise BadRequest(f"the document has more than {MAX_CHUNKS:,} passages", "split it into several files")
    return found


def _sections(
    document: Document,
    text: str,
    count: CountTokens,
    most: int,
) -> Iterator[tuple[tuple[str, ...], list[TextSegment]]]:
    """Segments under the same headings. A heading without content is a section of its own."""
    above: list[tuple[int, str]] = []
    bare: tuple[int, Block] | None = None
    pieces: list[TextSegment] = []
    for at, block in document.blocks_with_offsets():
        if block.sort != "heading":
            pieces += _pieces(at, block, text, count, most)
            bare = None
            continue
        if pieces:
            yield tuple(said for _, said in above), pieces
            pieces = []
        elif bare is not None and above and above[-1][0] >= block.level:
            yield tuple(said for _, said in above[:-1]), _pieces(*bare, text, count, most)
        while above and above[-1][0] >= block.level:
            above.pop()
        above.append((block.level, block.text))
        bare = at, block
    if pieces:
        yield tuple(said for _, said in above), pieces
    elif bare is not None:
        yield tuple(said for _, said in above[:-1]), _pieces(*bare, text, count, most)


def _pieces(at: int, block: Block, text: str, count: CountTokens, most: int) -> list[TextSegment]:
    ends = [at + match.end() for match in _END.finditer(block.text)]
    found, start, end = list[TextSegment](), at, at + len(block.text)
    for stop in (*ends, end):
        if stop > start and not text[start:stop].isspace():
            found += _short(start, stop, block.page, text, count, most)
            start = stop
    if found:
        last = found[-1]
        found[-1] = TextSegment(start=last.start, end=end, page=last.page, tokens=last.tokens, ends_block=True)
    return found


def _short(start: int, end: int, page: int, text: str, count: CountTokens, most: int) -> Iterator[TextSegment]:
    """The segment, split between words if it is longer than `most` tokens, and within a word only if necessary."""
    tokens = count(text[start:end])
    if tokens <= most:
        yield TextSegment(start=start, end=end, page=page, tokens=tokens, ends_block=False)
        return
    begun, size = start, 0
    for match in re.finditer(r"\S+\s*", text[start:end]):
        word_start, word_end = start + match.start(), start + match.end()
        tokens = count(match.group())
        if size and size + tokens > most:
            yield TextSegment(start=begun, end=word_start, page=page, tokens=size, ends_block=False)
            begun, size = word_start, 0
        while tokens > most:  # encoded data, or a language without spaces
            part = _fitting(text, begun, word_end, count, most)
            yield TextSegment(start=begun, end=part, page=page, tokens=count(text[begun:part]), ends_block=False)
            begun = part
            tokens = count(text[begun:word_end])
        size += tokens
    if size:
        yield TextSegment(start=begun, end=end, page=page, tokens=size, ends_block=False)


def _fitting(text: str, start: int, end: int, count: CountTokens, most: int) -> int:
    """End of a part of a word that has at most `most` tokens, but at least one character."""
    size = min(end - start, most * 4)
    while size > 1 and count(text[start : start + size]) > most:
        size = max(1, size * 2 // 3)
    return start + size


def _packed(pieces: Sequence[TextSegment], most: int, overlap: int) -> Iterator[tuple[int, int]]:
    """(first segment, last segment + 1) of each chunk."""
    start, size, rest = 0, 0, _to_the_end_of_blocks(pieces)
    for at, piece in enumerate(pieces):
        opens = at == 0 or pieces[at - 1].ends_block
        full = size + piece.tokens > most or (opens and size >= FULL * most and size + rest[at] > most)
        turned = at > start and piece.page != pieces[at - 1].page and size >= TURNED * most
        if at > start and (full or turned):
            yield start, at
            start, size = (at, 0) if turned else _shared(pieces, start, at, min(overlap, most - piece.tokens))
        size += piece.tokens
    if start < len(pieces):
        yield start, len(pieces)


def _to_the_end_of_blocks(pieces: Sequence[TextSegment]) -> list[int]:
    """Tokens from each segment to the end of its block."""
    found, total = [0] * len(pieces), 0
    for at in range(len(pieces) - 1, -1, -1):
        total = pieces[at].tokens + (0 if pieces[at].ends_block else total)
        found[at] = total
    return found


def _shared(pieces: Sequence[TextSegment], start: int, at: int, overlap: int) -> tuple[int, int]:
    """Start of the next chunk with up to `overlap` tokens of this one, and the tokens it shares."""
    size = 0
    while at - 1 > start and size + pieces[at - 1].tokens <= overlap:
        at -= 1
        size += pieces[at].tokens
    return at, size
