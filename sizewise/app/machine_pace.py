"""The pace that local models reached on this machine, by the requests to its server or by self-tests; measures nothing.

No server needs to run: figures are read from the home.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from sizewise.app.pace_store import stored_figures
from sizewise.catalog.current_catalog import current_catalog
from sizewise.catalog.loader import ready_local_cards
from sizewise.catalog.memory_estimate import format_bytes
from sizewise.catalog.model_info import ModelInfo
from sizewise.catalog.self_tests import read_self_tests
from sizewise.errors import StorageError
from sizewise.model_card import ModelCard
from sizewise.routing.pace_figures import LoadPace, PaceFigures
from sizewise.settings.load import Settings
from sizewise.storage.database import open_database, sqlite_url

MIN_ANSWERS = 3
MIN_PROMPT_TOKENS = 64
"""Mean prompt from which the time to the first token is that of reading, not of starting."""


@dataclass(frozen=True, slots=True)
class MachinePace:
    """One model's. `gb_per_s`: weights read for output, in GB per second. `tflops`: of reading prompts, if known.
    `how`: such as `smollm2-135m (98 MB of weights) wrote 96.4 tokens/s, 12 requests`.
    """

    model: str
    weights: int  # bytes
    gb_per_s: Fraction
    tflops: Fraction | None
    how: str


def machine_pace(settings: Settings, model: str = "") -> MachinePace | None:
    """Of the catalog's `model` if it was measured here, else of the largest model that was; None if none was."""
    found = list(_measured(settings))
    own = [each for each in found if each.model == model]
    return max(own or found, key=lambda each: each.weights, default=None)


def _measured(settings: Settings) -> Iterator[MachinePace]:
    served, tested = _served(settings), read_self_tests(settings.home)
    cards = [card for card in ready_local_cards(settings) if card.task == "chat" and card.weights is not None]
    infos = current_catalog(settings).find_models(card.model for card in cards)
    for card in cards:
        pace, test = served.get(card.name), tested.get(card.name)
        alone = None if pace is None else pace.loads.get(1)
        if alone is not None and alone.answers >= MIN_ANSWERS and alone.output_per_second:
            rates = alone.output_per_second, _reading_rate(alone)
            yield _pace(card, infos.get(card.model), rates, f"{alone.answers:,} requests")
        elif test is not None and test.output_tokens_per_s > 0:
            rates = test.output_tokens_per_s, test.prompt_tokens_per_s or None
            yield _pace(card, infos.get(card.model), rates, f"its self-test of {test.date}")


def _served(settings: Settings) -> Mapping[str, PaceFigures]:
    """By the requests of the server of this home; of a shared database, by those of this machine's."""
    path = settings.home / "sizewise.db"
    if settings.database.url or not path.exists():
        return {}
    try:
        database = open_database(sqlite_url(str(path)), ())  # without schemas, so it is not migrated
        try:
            return stored_figures(database.read_transaction)
        finally:
            database.close()
    except StorageError:  # damaged, or busy: `sizewise doctor` reports it
        return {}


def _reading_rate(pace: LoadPace) -> float | None:
    """Prompt tokens per second; None if the prompts were too short to show it."""
    its = pace.first
    return its.per_second if its.weight and its.x / its.weight >= MIN_PROMPT_TOKENS else None


def _pace(card: ModelCard, info: ModelInfo | None, rates: tuple[float, float | None], how: str) -> MachinePace:
    """`rates`: tokens per second of output, and of reading prompts.

    A token reads the weights that are active, and a token of a prompt takes two operations for each of them.
    """
    assert card.weights is not None
    output, reading = rates
    active = Fraction(1)
    if info is not None and info.active is not None and info.parameters is not None:
        active = Fraction(info.active.value, info.parameters.value)
    wrote = f"wrote {output:,.1f} tokens/s" + ("" if reading is None else f" and read {reading:,.0f}")
    per_token = None if card.parameters is None else 2 * active * card.parameters
    return MachinePace(
        model=info.name if info is not None else card.model,
        weights=card.weights.bytes,
        gb_per_s=Fraction(round(output * 1000), 1000) * active * card.weights.bytes / 10**9,
        tflops=None if reading is None or per_token is None else Fraction(round(reading)) * per_token / 10**12,
        how=f"{card.model} ({format_bytes(card.weights.bytes)} of weights) {wrote}, {how}",
    )
