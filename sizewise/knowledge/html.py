"""Reads HTML into blocks of visible text, without scripts, styles and hidden elements; child process only."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from sizewise.errors import BadRequest
from sizewise.knowledge.document import Block, BlockType, Document
from sizewise.knowledge.text_formats import decode_text

SKIPPED = frozenset(
    {"script", "style", "template", "noscript", "svg", "math", "iframe", "object", "nav", "select", "canvas"},
)
BLOCKS = frozenset(
    {
        *("p", "div", "section", "article", "main", "aside", "header", "footer", "ul", "ol", "dl", "dd", "dt"),
        *("figure", "figcaption", "blockquote", "address", "form", "fieldset", "details", "summary", "table"),
        *("thead", "tbody", "tfoot", "caption", "hr", "body", "html"),
    },
)
EMPTY = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"},
)
OPEN = frozenset({"p", "li", "dd", "dt", "td", "th", "tr", "option", "tbody", "thead"})
"""Elements whose end tag is optional."""
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([A-Za-z0-9_-]{1,40})", re.IGNORECASE)
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|opacity\s*:\s*0(?![.\d])",
    re.IGNORECASE,
)
_SPACE = re.compile(r"\s+")


def read(data: bytes, name: str) -> Document:
    """Raises BadRequest if there is no visible text."""
    said, notes = _text(data)
    page = _Page()
    page.feed(said)
    page.close()
    page.flush()
    if not page.blocks:
        hint = "if a script renders the page, save it from the browser"
        raise BadRequest(f"{name[:200]!r} contains no visible text", hint)
    if page.unseen:
        notes.append(f"{page.unseen} hidden pieces of text were left out")
    title = _SPACE.sub(" ", page.title).strip()[:200]
    return Document("html", title, page.blocks, notes=notes)


def _text(data: bytes) -> tuple[str, list[str]]:
    named = _CHARSET.search(data[:2_048])
    if named and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return data.decode(named[1].decode(), "replace"), []
        except LookupError:
            pass
    return decode_text(data)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.title = ""
        self.unseen = 0
        self._said: list[str] = []
        self._sort: BlockType = "paragraph"
        self._level = 0
        self._skipping: list[str] = []  # open elements, from the outermost hidden one
        self._head: list[str] | None = None
        self._cells: list[str] | None = None
        self._first = False  # whether all cells of the row so far are <th>

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skipping and self._skipping[0] in OPEN and (tag in BLOCKS or tag == self._skipping[0]):
            self._skipping = []
        if self._skipping:
            if tag not in EMPTY:
                self._skipping.append(tag)
            return
        said = dict(attrs)
        hidden = "hidden" in said or _HIDDEN.search((said.get("style") or "")[:1_000]) is not None
        if (tag in SKIPPED or hidden) and tag not in EMPTY:
            self._skipping = [tag]
            return
        if tag == "title":
            self.flush()
        elif len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
            self.flush()
            self._sort, self._level = "heading", int(tag[1])
        elif tag == "pre":
            self.flush()
            self._sort = "code"
        elif tag == "li":
            self.flush()
            self._sort = "list"
        elif tag == "table":
            self.flush()
            self._head = None
        elif tag == "tr":
            self.flush()
            self._cells, self._first = [], True
        elif tag in ("td", "th"):
            self._said.clear() if self._cells is not None else self.flush()
            self._first = self._first and tag == "th"
        elif tag == "br":
            self._said.append("\n")
        elif tag in BLOCKS and self._cells is None:
            self.flush()

    def handle_endtag(self, tag: str) -> None:
        if self._skipping and tag not in self._skipping and self._skipping[0] in OPEN:
            self._skipping = []  # the end of its parent ends it too
        if self._skipping:
            if tag in self._skipping:
                del self._skipping[len(self._skipping) - 1 - self._skipping[::-1].index(tag) :]
            return
        if tag == "title":
            self.title = self.title or "".join(self._said)
            self._said.clear()
            self._sort = "paragraph"
        elif tag in ("td", "th") and self._cells is not None:
            self._cells.append(_SPACE.sub(" ", "".join(self._said)).strip())
            self._said.clear()
        elif tag == "tr" and self._cells is not None:
            self._row(self._cells)
            self._cells = None
        elif self._cells is None and (tag in BLOCKS or tag in ("li", "pre") or (len(tag) == 2 and tag[0] == "h")):
            self.flush()

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self._said.append(data if self._sort == "code" else _SPACE.sub(" ", data))
        elif data.strip() and not SKIPPED.intersection(self._skipping):
            self.unseen += 1

    def flush(self) -> None:
        """Ends the current block."""
        text = "".join(self._said)
        text = text.strip("\n").rstrip() if self._sort == "code" else _lines(text)
        if text.strip():
            self.blocks.append(Block(self._sort, text, self._level))
        self._said.clear()
        self._sort, self._level = "paragraph", 0

    def _row(self, cells: list[str]) -> None:
        self._said.clear()
        if self._first and self._head is None:
            self._head = cells
            said = "; ".join(filter(None, cells))
        else:
            head = self._head or []
            said = "; ".join(
                f"{head[at]}: {cell}" if at < len(head) and head[at] else cell for at, cell in enumerate(cells) if cell
            )
        if said:
            self.blocks.append(Block("row", said))


def _lines(text: str) -> str:
    """Collapses whitespace as a browser does; each <br> is a new line."""
    return "\n".join(filter(None, (_SPACE.sub(" ", line).strip() for line in text.split("\n"))))
