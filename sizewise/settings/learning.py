"""Settings of learning from traffic: what is kept of it, and for how long. Off by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sizewise.settings.toml_reader import setting


@dataclass(frozen=True, slots=True)
class LearnSettings:
    """What decisions learn from the answers of larger models, encrypted."""

    keep: Literal["off", "vectors", "text"] = setting(
        "off",
        "What is kept of each question with a closed set of answers: `off`: nothing; `vectors`: a vector of its input "
        "and the answer; `text`: the input's text too. Never kept of confidential data.",
    )
    model: str = setting(
        "",
        "An embedded chat model that is asked where the head is not trusted, and about each answer that is learned. "
        "Unset: none.",
    )
    retention_days: int = setting(365, "Days until a learned answer is deleted.", minimum=1, maximum=36_500)
    max_rows: int = setting(1_000_000, "Maximum learned answers in total; the oldest are deleted first.", minimum=1_000)
    max_bytes: int = setting(4_000_000_000, "Maximum bytes in total; the oldest are deleted first.", minimum=1_000_000)
