"""Files as people have them, made here: PDF, DOCX and what is wrong with some; shares no code with what reads them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def pdf(pages: Sequence[str], outline: Sequence[tuple[str, int]] = (), title: str = "") -> bytes:
    """Each page in lines of Helvetica; `outline`: titles with their pages, from 1."""
    objects: list[bytes] = []

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    count = len(pages)
    first = 5
    kids = " ".join(f"{first + 2 * at} 0 R" for at in range(count))
    marks = first + 2 * count
    outlines = f"/Outlines {marks} 0 R" if outline else ""
    add(f"<< /Type /Catalog /Pages 2 0 R {outlines} >>".encode())
    add(f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode())
    add(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    add(f"<< /Title ({title}) >>".encode())
    for at, text in enumerate(pages):
        lines = "".join(f"({_escaped(line)}) Tj 0 -14 Td\n" for line in text.split("\n")) if text else ""
        stream = f"BT /F1 11 Tf 50 780 Td\n{lines}ET".encode("cp1252")
        resources = "/Resources << /Font << /F1 3 0 R >> >>"
        body = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] {resources} /Contents {first + 2 * at + 1} 0 R >>"
        add(body.encode())
        add(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream))
    if outline:
        last = marks + len(outline)
        add(f"<< /Type /Outlines /First {marks + 1} 0 R /Last {last} 0 R /Count {len(outline)} >>".encode())
        for at, (name, page) in enumerate(outline):
            where = f"/Dest [{first + 2 * (page - 1)} 0 R /Fit] /Parent {marks} 0 R"
            before = f"/Prev {marks + at} 0 R" if at else ""
            behind = f"/Next {marks + at + 2} 0 R" if at + 1 < len(outline) else ""
            add(f"<< /Title ({_escaped(name)}) {where} {before} {behind} >>".encode("cp1252"))
    return _written(objects)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _written(objects: Sequence[bytes]) -> bytes:
    out, places = io.BytesIO(), list[int]()
    out.write(b"%PDF-1.4\n")
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%b\nendobj\n" % (number, body))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    out.write(b"trailer\n<< /Size %d /Root 1 0 R /Info 4 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table))
    return out.getvalue()


def docx(body: str, styles: str = "", **members: str) -> bytes:
    """`body`: the inside of w:body."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", f"<w:document {W}><w:body>{body}</w:body></w:document>")
        if styles:
            archive.writestr("word/styles.xml", f"<w:styles {W}>{styles}</w:styles>")
        for name, said in members.items():
            archive.writestr(name, said)
    return out.getvalue()


def said(text: str, style: str = "", run: str = "") -> str:
    """A paragraph of Word's."""
    named = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{named}<w:r><w:rPr>{run}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'
