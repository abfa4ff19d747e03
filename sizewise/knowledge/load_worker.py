"""The child process that parses one untrusted file, with limits on time, memory and files.

`python -m sizewise.knowledge.load_worker` reads a LoadRequest as a line of JSON and then the file from stdin, and
writes the document as JSON to stdout. A parser that hangs or crashes ends only this process.
"""

from __future__ import annotations

import resource
import sys

import msgspec

from sizewise.errors import BadRequest
from sizewise.knowledge import docx, html, pdf, text_formats
from sizewise.knowledge.load_protocol import EXIT_REFUSED, LoadRefusal, LoadRequest

MAX_ADDRESS_SPACE = 1_500_000_000  # bytes


def main() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.readline(1 << 20), type=LoadRequest)
    data = sys.stdin.buffer.read()
    for what, most in (
        (resource.RLIMIT_AS, MAX_ADDRESS_SPACE),
        (resource.RLIMIT_CPU, order.cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    sys.setrecursionlimit(2_000)
    try:
        if order.file_type == "pdf":
            document = pdf.read(data, order.name)
        elif order.file_type == "docx":
            document = docx.read(data, order.name)
        elif order.file_type == "html":
            document = html.read(data, order.name)
        else:
            document = text_formats.read(order.file_type, data, order.name)
    except BadRequest as error:
        sys.stdout.buffer.write(msgspec.json.encode(LoadRefusal(error.message, error.hint)))
        sys.exit(EXIT_REFUSED)
    sys.stdout.buffer.write(msgspec.json.encode(document))


if __name__ == "__main__":
    main()
