"""Forms as multipart/form-data (RFC 7578), written for an upstream: the parts around what streams; pure."""

from __future__ import annotations

from secrets import token_hex

CRLF = b"\r\n"


def new_boundary() -> str:
    return f"sizewise-{token_hex(16)}"


def field_part(boundary: str, name: str, value: str) -> bytes:
    """A whole part. A name or value cannot end it early: the boundary is random."""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n'
    return head.encode() + value.encode() + CRLF


def file_head(boundary: str, name: str, filename: str, content_type: str) -> bytes:
    """The head of a file's part; its bytes and a line break follow."""
    named = f'form-data; name="{_quoted(name)}"; filename="{_quoted(filename)}"'
    return f"--{boundary}\r\nContent-Disposition: {named}\r\nContent-Type: {content_type}\r\n\r\n".encode()


def form_end(boundary: str) -> bytes:
    return f"--{boundary}--\r\n".encode()


def _quoted(text: str) -> str:
    """As browsers write it (WHATWG HTML, multipart/form-data encoding algorithm)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
