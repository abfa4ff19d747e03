"""Prompt sketch: a few hashes of the prompts that something was learned from, to recognize them later. Holds no text.

The K smallest hashes of a set are a uniform sample of it (bottom-k sketch, or k minimum values: Bar-Yossef et al. 2002,
"Counting distinct elements in a data stream"; Cohen and Kaplan 2007, "Summarizing data using bottom-k sketches").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from sizewise.routing.text.prompt_features import fold_text

SKETCH_SIZE = 512
"""Hashes that are kept: a share of the prompts is estimated to 0.04 (twice the standard error at one half)."""


def sketch_prompts(prompts: Iterable[str]) -> tuple[str, ...]:
    """The smallest hashes of the folded prompts, in order; of all of them if they are few."""
    return tuple(sorted(set(map(_hash, prompts)))[:SKETCH_SIZE])


def known_share(sketch: Sequence[str], prompts: Iterable[str]) -> float:
    """Estimated share of the different `prompts` that the sketched set contains, 0..1; 0 without a sketch.

    A sketch of SKETCH_SIZE hashes knows all of its set up to its largest hash, and nothing beyond.
    """
    if not sketch:
        return 0.0
    known, most = set(sketch), sketch[-1] if len(sketch) >= SKETCH_SIZE else ""
    comparable = {each for each in map(_hash, prompts) if not most or each <= most}
    return len(comparable & known) / len(comparable) if comparable else 0.0


def _hash(prompt: str) -> str:
    return sha256(fold_text(prompt).encode("utf-8", "surrogatepass")).hexdigest()[:16]
