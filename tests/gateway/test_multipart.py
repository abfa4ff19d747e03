"""Forms read piece by piece: the same parts wherever the bytes are cut, and a clear error for what is no form."""

from __future__ import annotations

import pytest

from sizewise.errors import BadBody
from sizewise.gateway.multipart import MultipartParser, PartHeader, boundary_of
from sizewise.http import multipart

FORM = (
    b"preamble\r\n--b\r\nContent-Disposition: form-data; name=model\r\n\r\nwhisper\r\n"
    b'--b  \r\nContent-Disposition: form-data; name="f\\"ile"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n'
    b'\r\n--other\r\n\r\n--b\r\nContent-Disposition: form-data; name="empty"\r\n\r\n\r\n--b--\r\nepilogue'
)
PARTS = [("model", None, b"whisper"), ('f"ile', "a.mp3", b"\r\n--other\r\n"), ("empty", None, b"")]


def parts(*pieces: bytes, boundary: bytes = b"b") -> list[tuple[str, str | None, bytes]]:
    parser, found = MultipartParser(boundary), list[tuple[str, str | None, bytes]]()
    for data in pieces:
        for piece in parser.feed(data):
            if isinstance(piece, PartHeader):
                found.append((piece.name, piece.filename, b""))
            elif isinstance(piece, bytes):
                name, filename, content = found[-1]
                found[-1] = name, filename, content + piece
            else:
                assert piece is None
    parser.finish()
    return found


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_a_form_is_the_same_however_it_is_cut(step: int) -> None:
    assert parts(*(FORM[at : at + step] for at in range(0, len(FORM), step))) == PARTS


def test_a_form_is_the_same_cut_in_two_anywhere() -> None:
    for at in range(len(FORM)):
        assert parts(FORM[:at], FORM[at:]) == PARTS


def test_a_long_file_comes_in_pieces_and_none_is_kept() -> None:
    parser = MultipartParser(b"b")
    list(parser.feed(b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n'))
    sizes = [sum(len(piece) for piece in parser.feed(bytes(10_000)) if isinstance(piece, bytes)) for _ in range(20)]
    assert sum(sizes) >= 199_990 and len(parser._buffer) < 10


def test_what_we_write_reads_as_it_was() -> None:
    mark = multipart.new_boundary()
    written = (
        multipart.field_part(mark, "prompt", "a\r\n--b\r\nü")
        + multipart.file_head(mark, "file", 'a".mp3', "audio/mpeg") + b"\0\r\n" + multipart.CRLF
        + multipart.form_end(mark)
    )  # fmt: skip
    assert parts(written, boundary=mark.encode()) == [
        ("prompt", None, "a\r\n--b\r\nü".encode()),
        ("file", "a%22.mp3", b"\0\r\n"),
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "ends before its final boundary"),
        (b"no form at all", "ends before its final boundary"),
        (FORM[:60], "ends before its final boundary"),
        (FORM.partition(b"--b--")[0], "ends before its final boundary"),
        (b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--", "no name"),
        (b"--b\r\n\r\nx\r\n--b--", "no name"),
        (b"--b and more\r\n\r\nx\r\n--b--", "text behind a boundary"),
        (b"--b\r\nx: " + b"a" * 20_000, "header of the form is larger"),
        (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 300 + b"--b--", "more than 32 parts"),
    ],
    ids=[
        "nothing",
        "no boundary",
        "cut",
        "no end",
        "no name",
        "no headers",
        "a longer boundary",
        "a long head",
        "many",
    ],
)
def test_what_is_no_form_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(BadBody, match=said):
        parts(body)


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [("multipart/form-data; boundary=a1", b"a1"), ('Multipart/Form-Data; charset=x; boundary="a b"', b"a b")],
)
def test_the_boundary_is_in_the_header(kind: str, boundary: bytes) -> None:
    assert boundary_of(kind) == boundary


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/mixed; boundary=a", "multipart/form-data"])
def test_another_content_type_is_refused(kind: str) -> None:
    with pytest.raises(BadBody):
        boundary_of(kind)
