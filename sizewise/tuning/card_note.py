"""What a tuned model's card says: what it learned from, the probe of its memory, and what was erased since. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from sizewise.tuning.run_store import TuningRun


def card_note(run: TuningRun) -> str:
    of = f" of decision {run.decision[:12]}" if run.decision else ""
    day = datetime.fromtimestamp(run.created, UTC).date().isoformat()
    said = [f"{run.train_count:,} examples{of}, planned on {day}"]
    if run.memory is not None:
        said.append(f"{run.memory.revealed} of {run.memory.planted} planted canaries came out")
    if run.withdrawn:
        said.append(f"{run.withdrawn:,} of its examples were erased since: tune it anew")
    return "; ".join(said)
