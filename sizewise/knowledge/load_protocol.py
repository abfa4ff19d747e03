"""What passes between load.py and its child: the order before a file's bytes, and a refusal in place of a document."""

from __future__ import annotations

from msgspec import Struct

from sizewise.knowledge.document import Kind

REFUSED = 7
"""The child's exit code where it says in words what is wrong with a file."""


class Order(Struct, frozen=True):
    """`seconds` of CPU time."""

    kind: Kind
    name: str
    seconds: int


class Refused(Struct, frozen=True):
    message: str
    hint: str
