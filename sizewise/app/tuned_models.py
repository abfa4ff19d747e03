"""Tuned models and the answers that they learned from: their cards say how many of these were erased since."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from sizewise.catalog.user_models import record_tuning
from sizewise.decisions.decision_store import DecisionStore
from sizewise.tuning.card_note import card_note
from sizewise.tuning.run_store import RunStore


async def note_erased_examples(home: Path, decisions: DecisionStore) -> bool:
    """Whether a model's card has changed. A run that is not promoted says so too. Raises StorageError."""
    store, changed = RunStore(home), False
    for run in store.list():
        gone = len(run.rows) - await decisions.count_kept(run.rows) if run.rows else 0
        if gone != run.withdrawn:
            noted = replace(run, withdrawn=gone)
            store.save(noted)
            if run.model:
                await record_tuning(run.model, home, card_note(noted))
                changed = True
    return changed
