"""Measurement of a tuned model on the kept inputs of its decision, some at a time; certifies nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from sizewise.app.option_model import OptionModel
from sizewise.decisions.decision_store import DecisionStore, KeptInput
from sizewise.decisions.tables import QuestionRow
from sizewise.errors import ExternalFailure
from sizewise.handler import Handler, Request
from sizewise.messages import ChatRequest, Message
from sizewise.principal import Principal
from sizewise.tuning.examples import is_held_out
from sizewise.tuning.run_store import RunStore

MOST_AT_ONCE = 200
SLICE_S = 5.0
"""How long one call asks: its caller shows how far it is, and stops where it likes."""


class TunedMeasurement(Struct, frozen=True):
    """Kept inputs of which the model was asked in this call, and those that are left."""

    model: str
    asked: int
    left: int


async def measure_tuned(
    handler: Handler, store: DecisionStore, home: Path, principal: Principal, trace: str, row: QuestionRow, model: str
) -> TunedMeasurement:
    """Asks about the next inputs, through all layers as in use, and keeps what was said. Raises SizewiseError."""
    found = await store.unmeasured(row.tenant, row.project, row.question, model, MOST_AT_ONCE)
    learned = await asyncio.to_thread(_learned_by, home, model)
    asking, until = OptionModel(handler), time.monotonic() + SLICE_S
    said = list[tuple[KeptInput, Sequence[float], bool]]()
    try:
        for each in found.inputs:
            request = _request(found.question.instructions, each.learned.text, model, principal, trace)
            shares = await asking.ask(request, found.question.options, model)
            if shares is None or len(shares) != row.options:
                raise ExternalFailure(f"{model} gave no probabilities", "Promote it again: sizewise tune promote")
            said.append((each, shares, learned(each)))
            if time.monotonic() > until:
                break
    finally:
        if said:
            await store.keep_shares(row.tenant, row.project, row.question, model, said)
    return TunedMeasurement(model, len(said), found.count - len(said))


def _learned_by(home: Path, model: str) -> Callable[[KeptInput], bool]:
    """Whether the model was trained on an input; of a model without its run: whatever teaches."""
    rows = next((frozenset(run.rows) for run in RunStore(home).list() if run.model == model), None)
    return lambda each: (each.teaches if rows is None else each.id in rows) and not is_held_out(each.learned.text)


def _request(instructions: str, text: str, model: str, principal: Principal, trace: str) -> Request:
    """As its examples had it. It counts as no request of the caller, and lets others go first."""
    system = [{"role": "system", "content": instructions}] if instructions else []
    said = Raw(msgspec.json.encode([*system, {"role": "user", "content": text}]))
    fields = {"model": Raw(msgspec.json.encode(model)), "messages": said}
    chat = ChatRequest(model, msgspec.json.decode(said, type=list[Message]), fields)
    return Request(
        payload=chat,
        principal=principal,
        trace_id=trace,
        started_at=time.perf_counter(),
        endpoint="shadow",
        background=True,
    )
