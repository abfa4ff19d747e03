"""Reads what an entry of `model_list` says of its model: task, window, abilities, prices; and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sizewise.migration.litellm_providers import Target
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
READ_FACTS = frozenset(("mode", *PRICES, *UNIT_PRICES, *SIZES, *MODALITIES, *RATES, "supports_function_calling"))


def read_facts(entry: ConfigNode, params: ConfigNode, target: Target, report: MigrationReport) -> dict[str, Value]:
    """Of [models.NAME]."""
    info = entry.get("model_info") or replace(entry, value={})
    facts = _task(info, target, report)
    if price := _price((info, params), facts.get("task"), report):
        facts["price"] = {**price, "source": "a configuration of LiteLLM"}
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


def _price(sources: tuple[ConfigNode, ConfigNode], task: Value | None, report: MigrationReport) -> dict[str, Value]:
    price: dict[str, Value] = {}
    for source in sources:
        for key, ours in PRICES.items():
            if node := source.get(key):
                amount = per_million(node.value)
                if amount and fits(price_amount, amount):
                    price[ours] = amount
                    report.carried(node, f"[models] price.{ours}, per million tokens")
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
    return price


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


def read_budget(amount: ConfigNode, span: ConfigNode | None, report: MigrationReport) -> dict[str, Value]:
    """`usd_per_day` or `usd_per_month`; empty, with a word in the report, if it is neither."""
    found, length = number(amount.value), days(span.value) if span else None
    name = "" if length is None else "usd_per_day" if length == 1 else "usd_per_month" if 28 <= length <= 31 else ""
    if found is None or not name or found > 1_000_000:
        report.refused(
            amount, "a budget is of up to a million dollars a day or a month: say 1d or 30d, and import again"
        )
        report.refused(span, "neither a day nor a month")
        return {}
    limit = dollars(round(found, 6))
    report.carried(amount, f"[limits] {name} = {limit}")
    report.changed(span, "days and months of the calendar, in UTC")
    return {name: limit}
