"""Reads what an entry of `model_list` says of its model: task, window, abilities, prices; and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from sizewise.migration.litellm_prices import CatalogModel, catalog_model, facts_of, find_base_model
from sizewise.migration.litellm_providers import ProviderTable, Target
from sizewise.migration.litellm_values import days, dollars, fits, number, per_million, whole
from sizewise.migration.migration_report import ConfigNode, MigrationReport
from sizewise.migration.settings_draft import Value
from sizewise.settings.validators import price_amount, unit_price_amount

TASKS: Mapping[str, str] = {
    "embedding": "embed",
    "audio_transcription": "transcribe",
    "audio_speech": "speak",
    "image_generation": "image",
    "rerank": "rerank",
    "moderation": "moderate",
}
"""`mode` -> task, of models that answer no chats."""
PRICES: Mapping[str, str] = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_reasoning_token": "reasoning",
}
UNIT_PRICES: Mapping[str, tuple[str, str]] = {
    "input_cost_per_second": ("second", "transcribe"),
    "output_cost_per_second": ("second", "transcribe"),
    "input_cost_per_character": ("character", "speak"),
    "input_cost_per_image": ("image", "image"),
    "output_cost_per_image": ("image", "image"),
    "input_cost_per_query": ("request", "rerank"),
}
"""Price of a unit -> ours, and the task of models that are priced so."""
NO_UNIT = "not a price of this task: tokens, or the audio, characters, images or requests of its own task"
SIZES: Mapping[str, str] = {"max_input_tokens": "context", "max_tokens": "context", "max_output_tokens": "max_output"}
MODALITIES: Mapping[str, str] = {
    "supports_vision": "image",
    "supports_audio_input": "audio",
    "supports_pdf_input": "file",
}
RATES: Mapping[str, str] = {"rpm": "requests_per_minute", "tpm": "tokens_per_minute"}
MAX_RATE = 1_000_000_000_000
MAX_BUDGET = 1_000_000
READ_FACTS = frozenset(
    ("mode", *PRICES, *UNIT_PRICES, *SIZES, *MODALITIES, *RATES, "supports_function_calling", "base_model")
)
SOURCE = "a configuration of LiteLLM"
MORE_RATES = "the higher one of long prompts or of some times and inputs"


def read_facts(
    entry: ConfigNode, params: ConfigNode, target: Target, preset: str, table: ProviderTable, report: MigrationReport
) -> dict[str, Value]:
    """Of [models.NAME]. `preset`: whose price it has if nothing else is said; empty: it has none."""
    info = entry.get("model_info") or replace(entry, value={})
    facts = _task(info, target, report)
    own, named = catalog_model(preset, target.model), params.get("base_model") or info.get("base_model")
    base = find_base_model(table, str(named.value)) if named else None
    if params.get("base_model"):
        report.changed(info.get("base_model"), "another base model is in `litellm_params`")
    known = base if base is not None and base.price is not None else own
    if price := _price((info, params), known, facts.get("task"), report):
        facts["price"] = price
    for key, ours in SIZES.items():
        if node := info.get(key):
            size = whole(node.value)
            if not size:
                report.refused(node, "not a number of tokens")
            elif ours in facts:
                report.changed(node, f"[models] {ours} is set by another key")
            else:
                facts[ours] = size
                report.carried(node, f"[models] {ours}")
    modalities = [ours for key, ours in MODALITIES.items() if (node := info.get(key)) and node.value is True]
    if modalities:
        facts["input_modalities"] = modalities
    if node := info.get("supports_function_calling"):
        facts["tools"] = node.value is True
    for key in (*MODALITIES, "supports_function_calling"):
        report.carried(info.get(key), "[models] input_modalities" if key in MODALITIES else "[models] tools")
    for key in ("supports_function_calling", *MODALITIES):
        report.refused(params.get(key), "LiteLLM reads it in `model_info` alone")
    if named is not None:
        _add_base_model(facts, named, base, own, report)
    report.by_rules("model_info", info)
    for key, node in info.fields():
        if key not in READ_FACTS and not report.by_rule("model_info", key, node):
            report.refused(node, "a fact of your own: models have those of [models.NAME]")
    return facts


def _task(info: ConfigNode, target: Target, report: MigrationReport) -> dict[str, Value]:
    node, is_completion = info.get("mode"), target.row.completions
    if node is None and target.task:
        return {"task": target.task}
    if node is None or node.value in ("chat", "responses"):
        report.carried(node, "a chat model, which is the default")
    elif (task := TASKS.get(str(node.value))) is not None:
        report.carried(node, "[models] task")
        return {"task": task}
    elif node.value == "completion":
        report.carried(node, "[models] completions")
        is_completion = True
    else:
        report.refused(node, "there is no such task here")
    return {"completions": True} if is_completion else {}


def _price(
    sources: tuple[ConfigNode, ConfigNode], known: CatalogModel, task: Value | None, report: MigrationReport
) -> dict[str, Value]:
    """A price takes the place of the catalog's, so that what is not given of it is copied from there."""
    price: dict[str, Value] = {}
    of_tokens = list[tuple[ConfigNode, str]]()
    for source in sources:
        for key, ours in PRICES.items():
            if node := source.get(key):
                amount = per_million(node.value)
                if amount and fits(price_amount, amount):
                    price[ours] = amount
                    of_tokens.append((node, ours))
                else:
                    report.refused(node, "not a number")
        for key, (ours, priced) in UNIT_PRICES.items():
            if (unit := source.get(key)) is None:
                continue
            amount = "" if (of_unit := number(unit.value)) is None else dollars(of_unit)
            if amount and task == priced and fits(unit_price_amount, amount):
                price[ours] = amount
                report.carried(unit, f"[models] price.{ours}")
            else:
                report.refused(unit, NO_UNIT)
    kept = {rate: amount for rate, amount in known.rates().items() if rate not in price} if of_tokens else {}
    lacking = [rate for rate in ("input", "output") if rate not in {**price, **kept}] if task in (None, "chat") else []
    for node, ours in of_tokens:
        message = f"[models] price.{ours}, per million tokens"
        message += f"; the catalog's of {', '.join(kept)}" if kept else ""
        if lacking:
            report.changed(node, f"{message}; that of {' and '.join(lacking)} is unknown: add it")
        elif kept and known.has_more_rates:
            report.changed(node, f"{message}, without {MORE_RATES}")
        else:
            report.carried(node, message)
    if not price:
        return {}
    return {**price, **kept, "source": f"{SOURCE}; {', '.join(kept)}: {known.source}" if kept else SOURCE}


def _add_base_model(
    facts: dict[str, Value],
    named: ConfigNode,
    base: CatalogModel | None,
    own: CatalogModel,
    report: MigrationReport,
) -> None:
    """What is not given, and the catalog does not say of the deployment's own name, it says of the base model."""
    if base is None:
        report.refused(named, "the catalog has no such model: [models.NAME] has its price and facts")
        return
    is_given = "price" in facts
    if not is_given and base.price is not None and base.rates() != own.rates():
        facts["price"] = {**base.rates(), "source": base.price.source, "date": base.price.date}
    known = facts_of(own.info())
    for fact, value in facts_of(base.info()).items():
        if known.get(fact) != value:
            facts.setdefault(fact, value)
    message = f"[models] facts of {base.name!r} in the catalog"
    if base.price is None:
        (report.carried if is_given else report.changed)(
            named, message + ("" if is_given else ", which has no price of it")
        )
    elif not is_given and "price" in facts and base.has_more_rates:
        report.changed(named, f"{message}, and the price at {base.endpoint!r}, without {MORE_RATES}")
    else:
        report.carried(named, message + ("" if is_given else f", and the price at {base.endpoint!r}"))


def read_limits(entry: ConfigNode, params: ConfigNode, report: MigrationReport) -> dict[str, Value]:
    """Of [limits."model:NAME"]. LiteLLM takes a rate from the entry, else from its parameters, else from its facts."""
    found: dict[str, Value] = {}
    for key, ours in RATES.items():
        for node in filter(None, (each.get(key) for each in (entry, params, entry.get("model_info")) if each)):
            count = whole(node.value)
            if count is None or count > MAX_RATE:
                report.refused(node, "not a whole number, or more than 1,000,000,000,000")
            elif ours in found:
                report.changed(node, f"[limits] {ours} is set by another key")
            else:
                found[ours] = count
                report.carried(node, f"[limits] {ours}")
    if budget := params.get("max_budget"):
        found.update(read_budget(budget, params.get("budget_duration"), report))
    return found


def refuse_limits(entry: ConfigNode, params: ConfigNode, report: MigrationReport) -> None:
    """Of a pattern."""
    for key in (*RATES, "max_budget", "budget_duration"):
        for node in filter(None, (each.get(key) for each in (entry, params, entry.get("model_info")) if each)):
            report.refused(node, "a limit is of one model: sizewise budgets set model:PROVIDER/NAME for each")


def added_limits(one: Value, other: Value) -> Value:
    """Of two deployments that share their requests, at most what a setting can say."""
    if isinstance(one, int) and isinstance(other, int):
        return min(one + other, MAX_RATE)
    return dollars(min(Decimal(str(one)) + Decimal(str(other)), Decimal(MAX_BUDGET)))


def read_budget(amount: ConfigNode, span: ConfigNode | None, report: MigrationReport) -> dict[str, Value]:
    """`usd_per_day` or `usd_per_month`; empty, with a word in the report, if it is neither."""
    found, length = number(amount.value), days(span.value) if span else None
    name = "" if length is None else "usd_per_day" if length == 1 else "usd_per_month" if 28 <= length <= 31 else ""
    if found is None or not name or found > MAX_BUDGET:
        report.refused(
            amount, "a budget is of up to a million dollars a day or a month: say 1d or 30d, and import again"
        )
        report.refused(span, "neither a day nor a month")
        return {}
    limit = dollars(round(found, 6))
    report.carried(amount, f"[limits] {name} = {limit}")
    report.changed(span, "days and months of the calendar, in UTC")
    return {name: limit}
