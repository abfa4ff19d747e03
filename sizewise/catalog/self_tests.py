"""What self-tests measured of local models on this machine, in `<home>/self-tests.json`; measures nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct, field

from sizewise.atomic_file import write_file_atomically
from sizewise.catalog.file_lock import file_lock

FILE = "self-tests.json"


class SelfTest(Struct, frozen=True):
    """`date`: YYYY-MM-DD. `tools`: whether a question that needs a tool led to one well-formed call.

    By ISO 639 code of the language: `tokens_per_character`, and `right_answers`, the share of a few simple questions,
    0..1, of the languages that the test had time for. `questions_right` of `questions_asked`: of 200 short
    questions, as many as there was time for; 0 in tests of older releases.
    """

    date: str
    prompt_tokens_per_s: float
    output_tokens_per_s: float
    memory_bytes: int | None
    tools: bool
    tokens_per_character: Mapping[str, float]
    right_answers: Mapping[str, float] = field(default_factory=dict)
    questions_asked: int = 0
    questions_right: int = 0


def read_self_tests(home: Path) -> Mapping[str, SelfTest]:
    """By model name; empty if there is no readable file."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=dict[str, SelfTest])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


async def store_self_test(home: Path, name: str, found: SelfTest) -> None:
    """Replaces the earlier one of the model. Raises OSError."""
    home.mkdir(parents=True, exist_ok=True)
    async with file_lock(home / "self-tests.lock"):
        every = {**read_self_tests(home), name: found}
        write_file_atomically(home / FILE, msgspec.json.format(msgspec.json.encode(every), indent=1), 0o600)
