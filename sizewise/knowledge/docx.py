"""Reads Word .docx files into blocks, with size limits and without DTDs; runs in a child process only."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from xml.parsers import expat

from sizewise.errors import BadRequest
from sizewise.knowledge.document import Block, Document

MEMBER = 200_000_000  # bytes of one member, uncompressed
MAIN, STYLES, NOTES, ABOUT = "word/document.xml", "word/styles.xml", "word/footnotes.xml", "docProps/core.xml"
_NAMED = re.compile(r"heading ([1-9])\Z", re.IGNORECASE)


class _Refused(Exception):
    """The file has a DTD, which allows entity expansion to gigabytes and reading local files."""


def read(data: bytes, name: str) -> Document:
    """Raises BadRequest: damaged, password-protected, without text, or too large when uncompressed."""
    shown = repr(name[:200])
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            styles = _Styles(_member(archive, STYLES, shown))
            main = _Words(styles.levels)
            main.parse(_member(archive, MAIN, shown))
            feet = _Words({})
            feet.parse(_member(archive, NOTES, shown))
            title = _Title(_member(archive, ABOUT, shown)).text
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError, RuntimeError) as error:
        raise BadRequest(f"{shown} is damaged or encrypted", "save it again without a password") from error
    except expat.ExpatError as error:
        raise BadRequest(f"{shown} is damaged", "open it and save it again") from error
    except _Refused as error:
        raise BadRequest(
            f"{shown} contains a DTD, which word processors never write", "do not trust this file"
        ) from error
    blocks = [*main.blocks, *feet.blocks]
    if not blocks:
        raise BadRequest(f"{shown} contains no text", "if its pages are images, run OCR first")
    notes = [f"{main.unseen} hidden pieces of text were left out"] if main.unseen else []
    return Document(kind="docx", title=title, blocks=blocks, pages=main.page if main.paged else 0, notes=notes)


def _member(archive: zipfile.ZipFile, name: str, shown: str) -> bytes:
    """Empty if the archive has no such member. Raises BadZipFile if MAIN is missing."""
    if name not in archive.namelist():
        if name == MAIN:
            raise zipfile.BadZipFile(name)
        return b""
    with archive.open(name) as member:
        data = member.read(MEMBER + 1)
    if len(data) > MEMBER:
        raise BadRequest(f"{shown} is larger than {MEMBER:,} bytes when unpacked", "split it into several files")
    return data


class _Reader:
    """An expat parser that resolves no external entities and strips namespaces from names."""

    def parse(self, data: bytes) -> None:
        if not data:
            return
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = lambda tag, said: self.start(_bare(tag), {_bare(k): v for k, v in said.items()})
        parser.EndElementHandler = lambda tag: self.end(_bare(tag))
        parser.CharacterDataHandler = self.words
        parser.Parse(data, True)

    def _refuse(self, *_: object) -> None:
        raise _Refused

    def start(self, tag: str, said: dict[str, str]) -> None: ...
    def end(self, tag: str) -> None: ...
    def words(self, text: str) -> None: ...


def _bare(name: str) -> str:
    return name.rpartition(" ")[2]


class _Styles(_Reader):
    """`levels`: style -> heading level, by the style's name or outline level."""

    def __init__(self, data: bytes) -> None:
        self.levels: dict[str, int] = {}
        self._style = ""
        self.parse(data)

    def start(self, tag: str, said: dict[str, str]) -> None:
        if tag == "style":
            self._style = said.get("styleId", "")
        elif tag == "name" and (named := _NAMED.match(said.get("val", ""))):
            self.levels[self._style] = int(named[1])
        elif tag == "name" and said.get("val", "").lower() == "title":
            self.levels[self._style] = 1
        elif tag == "outlineLvl" and said.get("val", "") in "012345":
            self.levels.setdefault(self._style, int(said["val"] or 0) + 1)


class _Title(_Reader):
    def __init__(self, data: bytes) -> None:
        self.text = ""
        self._inside = False
        self.parse(data)
        self.text = " ".join(self.text.split())[:200]

    def start(self, tag: str, said: dict[str, str]) -> None:
        self._inside = tag == "title"

    def end(self, tag: str) -> None:
        self._inside = False

    def words(self, text: str) -> None:
        if self._inside:
            self.text += text


class _Words(_Reader):
    """Paragraphs, headings and table rows in document order, without hidden or deleted text."""

    def __init__(self, levels: dict[str, int]) -> None:
        self.blocks: list[Block] = []
        self.page, self.paged, self.unseen = 1, False, 0
        self._levels = levels
        self._said: list[str] = []
        self._level = 0
        self._listed = self._text = self._hidden = False
        self._rows = 0  # nesting depth of tables
        self._cells: list[str] = []
        self._head: list[str] | None = None

    def start(self, tag: str, said: dict[str, str]) -> None:
        if tag == "p":
            self._level, self._listed = 0, False
        elif tag == "pStyle":
            self._level = self._levels.get(said.get("val", ""), 0)
        elif tag == "outlineLvl" and said.get("val", "") in "012345" and not self._level:
            self._level = int(said["val"] or 0) + 1
        elif tag == "numPr":
            self._listed = True
        elif tag == "r":
            self._hidden = False
        elif tag == "vanish":
            self._hidden = said.get("val", "1") not in ("0", "false")
        elif tag == "t":
            self._text = True
            self.unseen += self._hidden
        elif tag == "tab":
            self._said.append("\t")
        elif tag in ("br", "cr"):
            self._said.append("\n")
            self.page += said.get("type") == "page"
        elif tag == "lastRenderedPageBreak":
            self.page += 1
            self.paged = True
        elif tag == "tbl":
            self._rows += 1
            self._head = None if self._rows == 1 else self._head
        elif tag == "tr" and self._rows == 1:
            self._cells = []

    def words(self, text: str) -> None:
        if self._text and not self._hidden:
            self._said.append(text)

    def end(self, tag: str) -> None:
        if tag == "t":
            self._text = False
        elif tag == "p":
            self._paragraph()
        elif tag == "tc" and self._rows == 1:
            self._cells.append("".join(self._said).strip())
            self._said.clear()
        elif tag == "tr" and self._rows == 1:
            self._row()
        elif tag == "tbl":
            self._rows -= 1

    def _paragraph(self) -> None:
        if self._rows:
            self._said.append("\n")
            return
        said = "".join(self._said).strip()
        self._said.clear()
        if not said:
            return
        page = self.page if self.paged else 0
        if self._level:
            self.blocks.append(Block("heading", " ".join(said.split()), min(self._level, 6), page))
        else:
            self.blocks.append(Block("list" if self._listed else "paragraph", said, 0, page))

    def _row(self) -> None:
        """The first row names the columns of the others."""
        if self._head is None:
            self._head = self._cells
            said = "; ".join(filter(None, self._cells))
        else:
            head = self._head
            said = "; ".join(
                f"{head[at]}: {cell}" if at < len(head) and head[at] else cell
                for at, cell in enumerate(self._cells)
                if cell
            )
        if said:
            self.blocks.append(Block("row", said, 0, self.page if self.paged else 0))
