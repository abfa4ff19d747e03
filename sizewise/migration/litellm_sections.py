"""What becomes of LiteLLM's settings besides its models: router, budgets, cache, logging, guardrails, MCP and keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from sizewise.migration.litellm_facts import read_budget
from sizewise.migration.litellm_guardrails import read_guardrails
from sizewise.migration.litellm_values import days, fits, names_secret, number, reference, secret_argument, slug, whole
from sizewise.migration.migration_report import ConfigNode, MigrationReport
from sizewise.migration.settings_draft import SettingsDraft, Value
from sizewise.settings.guardrails import tool_pattern
from sizewise.settings.validators import header
from sizewise.settings.validators import url as valid_url

STRATEGIES: Mapping[str, tuple[str, str]] = {
    "simple-shuffle": ("fixed", "replicas share requests by weight; different models are asked in their order"),
    "cost-based-routing": ("cheapest", "[policies] kind = 'cheapest'"),
    "latency-based-routing": ("fixed", "replicas share requests by weight; different models are asked in their order"),
    "least-busy": ("fixed", "replicas share requests by weight; different models are asked in their order"),
    "usage-based-routing": ("fixed", "replicas share requests by weight; limits hold for each model"),
    "usage-based-routing-v2": ("fixed", "replicas share requests by weight; limits hold for each model"),
}
CALLBACK_KEYS = ("callbacks", "success_callback", "failure_callback")
MAX_CACHE_TTL_S = 31_536_000
NO_RULES = (
    'add [alerts.NAME] with `to = ["slack"]`, such as `metric = "error_rate"`, `alert = 0.05`; "p95_s", the seconds of '
    'slow answers; "budget_forecast", `alert = 1.0`'
)
CACHE_TTL_S = 600.0
"""LiteLLM's, where none is set (litellm/caching/in_memory_cache.py)."""


def read_sections(root: ConfigNode, draft: SettingsDraft, report: MigrationReport) -> None:
    """All but `model_list`, `credential_list` and what the router says of groups."""
    for name, section in root.fields():
        report.by_rule("sections", name, section)
        if name in _READERS:
            report.by_rules(name, section)
            _READERS[name](section, draft, report)
        elif name == "router_settings":
            report.by_rules(name, section)
    _read_timeout(root, draft, report)
    _read_mcp(root.get("mcp_servers"), draft, report)
    _read_search(root.get("search_tools"), draft, report)
    read_guardrails(root, draft, report)


def _read_litellm(section: ConfigNode, draft: SettingsDraft, report: MigrationReport) -> None:
    if budget := section.get("max_budget"):
        draft.table("limits", "organization").update(read_budget(budget, section.get("budget_duration"), report))
    else:
        report.refused(section.get("budget_duration"), "it has no `max_budget` beside it")
    _read_cache(section, draft, report)
    if (node := section.get("json_logs")) is not None:
        if node.value is True:
            draft.table("logs")["format"] = "json"
        report.carried(node, "[logs] format")
    if node := section.get("log_level"):
        level = str(node.value).lower()
        if level in ("debug", "info", "warning", "error"):
            draft.table("logs")["level"] = level
            report.carried(node, "[logs] level")
        else:
            report.refused(node, "levels are debug, info, warning and error")
    for key in CALLBACK_KEYS:
        node = section.get(key)
        for each in () if node is None else [node] if isinstance(node.value, str) else node.items():
            if not report.by_rule("callbacks", str(each.value), each):
                report.by_rule("callbacks", "code" if "." in str(each.value) else "other", each)


def _read_timeout(root: ConfigNode, draft: SettingsDraft, report: MigrationReport) -> None:
    """The router's goes before that of all requests, as in LiteLLM."""
    router, general = root.get("router_settings"), root.get("litellm_settings")
    found = (section and section.get(key) for section in (router, general) for key in ("timeout", "request_timeout"))
    for node in filter(None, found):
        seconds = float(number(node.value) or 0)
        if not 0.001 <= seconds <= 86_400:
            report.refused(node, "not a number of seconds from 0.001 to 86400")
        elif draft.table("router").setdefault("timeout_s", seconds) == seconds:
            report.carried(node, "[router] timeout_s")
        else:
            report.changed(node, "another timeout of this file goes before it")


def _read_cache(section: ConfigNode, draft: SettingsDraft, report: MigrationReport) -> None:
    """Only identical requests share a response, also where LiteLLM's cache took similar ones."""
    node, params = section.get("cache"), section.get("cache_params")
    kind = params.text("type") if params else ""
    if node is not None and node.value is not True:
        report.carried(node, "the cache is off")
        report.changed(params, "the cache is off")
        return
    if node is not None:
        given = params.get("ttl") if params else None
        ttl = number(given.value) if given else None
        is_span = ttl is not None and 0 < ttl <= MAX_CACHE_TTL_S
        draft.table("response_cache")["ttl_s"] = float(ttl) if ttl and is_span else CACHE_TTL_S
        report.carried(node, "[response_cache], in the memory of each server and in their Postgres")
        (report.carried if is_span else report.refused)(given, f"[response_cache] ttl_s, up to {MAX_CACHE_TTL_S}")
    if params is None:
        return
    for key, each in params.fields():
        if key == "type" and kind.endswith("semantic"):
            report.refused(
                each, "answers to similar requests are reused only where that is certified: only identical ones are"
            )
        elif key in (
            "similarity_threshold",
            "redis_semantic_cache_embedding_model",
            "qdrant_semantic_cache_embedding_model",
        ):
            report.refused(each, "only identical requests share a response")
        elif key == "type" and kind == "local":
            report.carried(each, "[response_cache]")
        elif key == "ttl" and node is not None:
            pass  # read above
        else:
            report.changed(each, "in the memory of each server and in their Postgres, without Redis or a bucket")


def _read_general(section: ConfigNode, draft: SettingsDraft, report: MigrationReport) -> None:
    if node := section.get("master_key"):
        name = reference(node.value).removeprefix("env:")
        report.changed(
            node,
            f"the first key is SIZEWISE_KEY, of at least 24 characters{f': it may be that of {name}' if name else ''}",
        )
    if node := section.get("database_url"):
        if found := reference(node.value):
            draft.table("database")["url"] = found
            report.changed(node, "[database] url: an empty database of its own, postgresql+psycopg://...")
        else:
            report.refused(node, "a database's URL is given by reference: os.environ/NAME")
    if node := section.get("alerting"):
        for each in node.items():
            if each.value == "slack":
                draft.table("receivers", "slack").update({"kind": "slack", "url": "env:SLACK_WEBHOOK_URL"})
                report.changed(each, f"[receivers.slack], which gets nothing yet: {NO_RULES}")
            else:
                report.refused(each, "see [receivers.NAME] for where alerts can go")
    if node := section.get("maximum_spend_logs_retention_period"):
        length = days(node.value)
        if length is not None and length == int(length) and 1 <= length <= 36_500:
            draft.table("records")["retention_days"] = int(length)
            report.carried(node, "[records] retention_days")
        else:
            report.refused(node, "not a number of whole days, as 90d")
    if (node := section.get("store_model_in_db")) is not None:
        (report.carried if node.value is False else report.refused)(
            node, "models are in this file; kill -HUP applies it"
        )
    if (node := section.get("store_prompts_in_spend_logs")) is not None:
        if node.value is True:
            draft.table("records")["contents"] = True
        report.carried(node, "[records] contents, encrypted")


def _read_mcp(section: ConfigNode | None, draft: SettingsDraft, report: MigrationReport) -> None:
    for name, server in section.fields() if section else ():
        url, command = server.get("url"), server.get("command")
        is_remote = url is not None and isinstance(url.value, str) and fits(valid_url, url.value)
        if not is_remote and not (command is not None and isinstance(command.value, str) and command.value):
            report.refused(server, "a server has a `url`, without a password or a query, or a `command`")
            continue
        if server.text("transport") == "sse":
            report.refused(server, "the transport sse is not spoken: use http")
            continue
        given = server.get("args")
        args = [str(each.value) for each in (given.items() if given else ())]
        if not is_remote and command is not None and secret_argument([*str(command.value).split(), *args]):
            report.refused(server, "its arguments hold a key: give it to the program by `env`, as os.environ/NAME")
            continue
        table = draft.table("mcp", slug(name))
        if is_remote and url is not None:
            table["url"] = str(url.value)
            table.update(_references(server, "headers", ("headers", "static_headers"), report))
        elif command is not None:
            table["command"] = [str(command.value), *args]
            table["place"] = "machine"
            table.update(_references(server, "env", ("env",), report))
        for key, ours in (("url", "url"), ("command", "command"), ("args", "command"), ("transport", "url or command")):
            report.carried(server.get(key), f"[mcp] {ours}")
        if token := server.get("authentication_token") or server.get("auth_value"):
            found = reference(token.value)
            if found:
                table["key"] = found
                report.carried(token, "[mcp] key")
            else:
                report.refused(token, "a key is given by reference: os.environ/NAME")
        kind = server.text("auth_type")
        if kind not in ("", "none", "bearer_token", "api_key"):
            report.by_rule("mcp_servers", "oauth2", server.get("auth_type"))
        else:
            report.carried(server.get("auth_type"), "`auth` in [mcp.NAME]")
            if kind == "api_key":
                table["auth"] = "x-api-key"
        _read_tools(server, table, report)
        report.by_rules("mcp_servers", server)


def _references(server: ConfigNode, ours: str, keys: Sequence[str], report: MigrationReport) -> dict[str, Value]:
    """Of [mcp.NAME]; a plain value is carried only in a header whose name is that of no secret."""
    found = dict[str, Value]()
    for name, node in (each for key in keys if (given := server.get(key)) for each in given.fields()):
        is_plain = ours == "headers" and isinstance(node.value, str) and not names_secret(name)
        text = reference(node.value) or (str(node.value) if is_plain else "")
        if text and fits(header, text) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
            found[name] = text
            report.carried(node, f"[mcp] {ours}")
        else:
            report.refused(node, "given by reference alone: os.environ/NAME")
    return {ours: found} if found else {}


def _read_tools(server: ConfigNode, table: dict[str, Value], report: MigrationReport) -> None:
    given = server.get("allowed_tools")
    names = [each for each in (given.items() if given else ()) if isinstance(each.value, str)]
    allowed = [str(each.value) for each in names if fits(tool_pattern, str(each.value))]
    if allowed:
        table["allowed_tools"] = allowed
        for each in names:
            if each.value in allowed:
                report.carried(each, "[mcp] allowed_tools")


def _read_search(section: ConfigNode | None, draft: SettingsDraft, report: MigrationReport) -> None:
    for tool in section.items() if section else ():
        params = tool.get("litellm_params")
        engine = params.text("search_provider") if params else ""
        key = params.get("api_key") if params else None
        if engine not in ("searxng", "brave") or draft.table("web_search"):
            report.refused(tool, "one search engine can be set, searxng or brave: [web_search]")
            continue
        base = params.text("api_base") if params else ""
        if base and not fits(valid_url, base):
            report.refused(tool, "its `api_base` is not a URL such as 'https://host'")
            continue
        table = draft.table("web_search")
        table.update({"engine": engine, "url": base or "https://api.search.brave.com"})
        if key is not None and (found := reference(key.value)):
            table["key"] = found
        report.carried(tool, "[web_search]; [projects.NAME] web_search allows its use")


_READERS: Mapping[str, Callable[[ConfigNode, SettingsDraft, MigrationReport], None]] = {
    "litellm_settings": _read_litellm,
    "general_settings": _read_general,
}


def read_retries(*sections: ConfigNode | None, report: MigrationReport) -> tuple[int, ConfigNode] | None:
    """Of the first section that has `num_retries`, with where it is set; what becomes of it depends on the policies."""
    found = None
    for section in sections:
        if section is None or (node := section.get("num_retries")) is None:
            continue
        count = whole(node.value)
        if count is None:
            report.refused(node, "not a whole number")
        elif found is not None:
            report.changed(node, "the other section's holds")
        else:
            found = (count, node)
    return found
