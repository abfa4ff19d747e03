"""Promotes a trained tuning run that passed its gate: its adapter becomes a model, and a rung of its decision."""

from __future__ import annotations

import msgspec

from sizewise.catalog import user_models
from sizewise.catalog.loader import local_card, local_entry, weights_path
from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.decision_certification import certify_with_tuned
from sizewise.cli.reload_server import reload_running_server
from sizewise.errors import Conflict
from sizewise.settings.load import Settings
from sizewise.tuning.card_note import card_note
from sizewise.tuning.run_store import RunStore, TuningRun


async def promote_run(store: RunStore, run: TuningRun, found: Settings) -> tuple[str, bool]:
    """The model's name, and whether a running server has reloaded. Of one decision one model answers: the one before
    becomes a trained run again, which can be promoted back. Raises Conflict.
    """
    if run.tuned is None:
        raise Conflict(f"the run {run.name!r} is not trained yet", f"Train it: sizewise tune run {run.name}")
    if run.refused:
        raise Conflict(
            f"the run {run.name!r} did not pass its gate: {run.refused}", "Add examples, and plan a new run."
        )
    card = local_card(run.base, found)
    assert card.weights is not None  # a local model has them
    if card.weights.sha256 != run.base_sha256:
        raise Conflict(f"{run.base} is another file than the one that was tuned", "Plan a new run.")
    model = await user_models.add_adapter(
        store.folder(run.name) / "adapter.gguf",
        local_entry(run.base, found),
        weights_path(card.weights, found.cache_dir),
        found.home,
        run.name,
        decides=run.decision,
        tuned=card_note(run),
    )
    store.save(msgspec.structs.replace(run, state="promoted", model=model))
    for other in store.list():
        if run.decision and other.decision == run.decision and other.model and other.name != run.name:
            await user_models.remove_model(other.model, found.home)
            store.save(msgspec.structs.replace(other, state="trained", model=""))
    return model, await reload_running_server(found)


async def put_on_ladder(store: RunStore, run: TuningRun, client: ApiClient) -> tuple[TuningRun, operations.Decision]:
    """Certifies the ladder of its decision with the promoted model. It can be stopped: the next call goes on. Raises
    SizewiseError.
    """
    decision = await certify_with_tuned(client, run.decision)
    run = msgspec.structs.replace(store.require(run.name), is_on_ladder=True)
    store.save(run)
    return run, decision
