"""Says at each imported budget which models the server refuses because of it: those whose price it does not know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sizewise.catalog.current_catalog import PACKAGED
from sizewise.catalog.offered_models import ALL_MODELS
from sizewise.migration.litellm_prices import facts_of
from sizewise.migration.migration_report import ConfigNode, MigrationReport
from sizewise.migration.settings_draft import SettingsDraft, Value
from sizewise.money import UNKNOWN_PRICE, MediaUnits, Price
from sizewise.settings.models import PriceSettings
from sizewise.settings.toml_reader import read_table

BUDGETS = ("usd_per_day", "usd_per_month")
MAX_NAMED = 20
EVERY_MODEL = "organization"
MEDIA_TASKS = ("transcribe", "speak", "image")
OF_EACH = MediaUnits(audio_ms=1_000, characters=1, images=1)


def report_unpriced(draft: SettingsDraft, budgets: Sequence[tuple[str, ConfigNode]], report: MigrationReport) -> None:
    """`budgets`: what each is a budget of, as in [limits], and where it is set. Refused ones are left out."""
    limits = draft.tables("limits")
    carried = [(scope, node) for scope, node in budgets if {*BUDGETS} & {*limits.get(scope, ())}]
    unpriced = list(_unpriced(draft)) if carried else []
    for scope, node in carried:
        names = unpriced if scope == EVERY_MODEL else [each for each in unpriced if scope == f"model:{each}"]
        if names:
            amounts = ", ".join(f"{key} = {limits[scope][key]}" for key in BUDGETS if key in limits[scope])
            report.changed(node, f"[limits] {amounts}; {_refusal(names)}")


def _refusal(names: Sequence[str]) -> str:
    shown = [
        f"those of {each} without a known price" if each.endswith(f"/{ALL_MODELS}") else each
        for each in names[:MAX_NAMED]
    ]
    shown += [f"{len(names) - MAX_NAMED} more"] if len(names) > MAX_NAMED else []
    return (
        f"these answer 402, because their price is unknown: {', '.join(shown)}. "
        'Set `input` and `output` of [models."PROVIDER/MODEL".price], in dollars per million tokens; '
        'with `unpriced = "allow"` in [budgets] they count as free, as in LiteLLM'
    )


def _unpriced(draft: SettingsDraft) -> Iterator[str]:
    """Full names; `PROVIDER/*` for models that the provider lists."""
    given = draft.tables("models")
    for provider, table in draft.tables("providers").items():
        models = [str(each) for each in listed] if isinstance(listed := table.get("models"), list) else []
        prices = PACKAGED.prices(str(table.get("endpoint", "")), models)
        infos = PACKAGED.find_models(models)
        for model in models:
            facts: dict[str, Value] = {**facts_of(infos.get(model)), **given.get(f"{provider}/{model}", {})}
            written = read_table(PriceSettings, facts["price"], "price", []) if "price" in facts else None
            price = written.price() if written else prices.get(model, UNKNOWN_PRICE)
            if not _is_bounded(price, facts):
                yield f"{provider}/{model}"


def _is_bounded(price: Price, facts: Mapping[str, Value]) -> bool:
    """Whether a budget can bound what a request costs. `facts`: of [models.NAME] and the catalog."""
    task, context, most = facts.get("task", "chat"), facts.get("context"), facts.get("max_output")
    if task not in MEDIA_TASKS:
        return price.upper_bound(1, int(task in ("chat", "moderate"))) is not None
    kinds = price.units.image_kinds if price.units else ()
    units = replace(OF_EACH, image_kind=kinds[0][0]) if kinds else OF_EACH
    bound = price.media_upper_bound(
        units, context if isinstance(context, int) else None, most if isinstance(most, int) else None
    )
    return bound is not None
