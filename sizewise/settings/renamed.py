"""Renamed settings, old path to new; an old name is refused with the new one as the hint.

`docs/names.tsv` lists the same (a test compares the two). NAME is any key of a table, `[]` each table of a list, and
`path=value` a value. A path is written as it was, below a section that may have been renamed itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

RENAMED: Mapping[str, str] = {
    # sections
    "conversations": "stored_responses",
    "exact_cache": "response_cache",
    "guards": "guardrails",
    "reach": "egress",
    "sessions": "login_sessions",
    "store": "database",
    "vault": "encryption",
    # keys
    "agents.NAME.hands_to": "agents.NAME.handoffs",
    "agents.NAME.max_s": "agents.NAME.timeout_s",
    "agents.NAME.unasked": "agents.NAME.auto_approve",
    "agents.NAME.wait_s": "agents.NAME.approval_timeout_s",
    "agents.NAME.workers": "agents.NAME.subagents",
    "budgets.answer_tokens": "budgets.default_max_tokens",
    "conversations.keep_days": "stored_responses.retention_days",
    "flows.keep_days": "flows.retention_days",
    "flows.running": "flows.max_concurrent_runs",
    "flows.running_each": "flows.max_concurrent_runs_per_organization",
    "graphql.aliases": "graphql.max_aliases",
    "graphql.cost": "graphql.max_cost",
    "graphql.depth": "graphql.max_depth",
    "graphql.kept": "graphql.max_persisted_queries",
    "graphql.listed": "graphql.trusted_documents",
    "graphql.queries=listed": "graphql.queries=trusted",
    "graphql.streams": "graphql.max_subscriptions",
    "graphql.wait_s": "graphql.timeout_s",
    "guards.about": "guardrails.denied_topics",
    "guards.canary": "guardrails.add_canary",
    "guards.datamark": "guardrails.datamarking",
    "guards.detected": "guardrails.detected_data_class",
    "guards.injection_in": "guardrails.injection_sources",
    "guards.mark": "guardrails.spotlighting",
    "guards.others": "guardrails.custom",
    "guards.tools": "guardrails.allowed_tools",
    "guards.unmasked": "guardrails.unmasked_place",
    "idempotency.keep_hours": "idempotency.retention_hours",
    "knowledge.NAME.embed": "knowledge.NAME.embedding_model",
    "knowledge.NAME.overlap": "knowledge.NAME.chunk_overlap",
    "knowledge.NAME.store": "knowledge.NAME.vector_store",
    "knowledge.NAME.suspect": "knowledge.NAME.on_injection",
    "knowledge.NAME.tokens": "knowledge.NAME.chunk_tokens",
    "limits.organisation": "limits.organization",
    "limits.NAME.requests_minute": "limits.NAME.requests_per_minute",
    "limits.NAME.tokens_minute": "limits.NAME.tokens_per_minute",
    "limits.NAME.usd_day": "limits.NAME.usd_per_day",
    "limits.NAME.usd_month": "limits.NAME.usd_per_month",
    "mcp.NAME.approved": "mcp.NAME.approved_hashes",
    "mcp.NAME.ask_first": "mcp.NAME.require_approval",
    "mcp.NAME.organisations": "mcp.NAME.organizations",
    "mcp.NAME.result_chars": "mcp.NAME.max_result_chars",
    "mcp.NAME.tools": "mcp.NAME.allowed_tools",
    "memory.keep_days": "memory.retention_days",
    "memory.most": "memory.max_per_user",
    "models.NAME.licence": "models.NAME.license",
    "models.NAME.resumes": "models.NAME.prefill",
    "models.NAME.sees": "models.NAME.input_modalities",
    "models.NAME.wait_s": "models.NAME.queue_timeout_s",
    "oidc.NAME.claim": "oidc.NAME.roles_claim",
    "oidc.NAME.organisation": "oidc.NAME.organization",
    "policies.NAME.canary": "policies.NAME.add_canary",
    "policies.NAME.datamark": "policies.NAME.datamarking",
    "policies.NAME.guards": "policies.NAME.guardrails",
    "policies.NAME.hedge_s": "policies.NAME.hedge_delay_s",
    "policies.NAME.kind=promised": "policies.NAME.kind=certified",
    "policies.NAME.mark": "policies.NAME.spotlighting",
    "policies.NAME.patience_s": "policies.NAME.max_retry_delay_s",
    "policies.NAME.promise": "policies.NAME.target",
    "policies.NAME.promise.of": "policies.NAME.target.reference",
    "policies.NAME.promise.sure": "policies.NAME.target.confidence",
    "policies.NAME.proof": "policies.NAME.certificate",
    "policies.NAME.reach": "policies.NAME.egress",
    "policies.NAME.tests[].first": "policies.NAME.tests[].first_model",
    "policies.NAME.tests[].key_class": "policies.NAME.tests[].key_data_class",
    "policies.NAME.tests[].expect_class": "policies.NAME.tests[].expect_data_class",
    "policies.NAME.tests[].may": "policies.NAME.tests[].allowed_models",
    "policies.NAME.tests[].never": "policies.NAME.tests[].denied_models",
    "policies.NAME.tests[].refused": "policies.NAME.tests[].expect_error",
    "policies.NAME.tools": "policies.NAME.allowed_tools",
    "policies.NAME.trust": "policies.NAME.threshold",
    "policies.NAME.unforeseen": "policies.NAME.fallback",
    "policies.NAME.worth": "policies.NAME.min_gain",
    "providers.NAME.bills": "providers.NAME.reports_cost",
    "providers.NAME.leave_out": "providers.NAME.drop_params",
    "providers.NAME.pool": "providers.NAME.max_connections",
    "providers.NAME.rename": "providers.NAME.rename_params",
    "providers.NAME.timeouts.first_s": "providers.NAME.timeouts.first_byte_s",
    "records.contents_days": "records.contents_retention_days",
    "records.keep_days": "records.retention_days",
    "roles.NAME.may": "roles.NAME.permissions",
    "roles.NAME.permissions=found_organisations": "roles.NAME.permissions=create_organizations",
    "roles.NAME.permissions=manage_vault": "roles.NAME.permissions=manage_encryption",
    "router.learned": "router.predictor",
    "router.session_s": "router.session_ttl_s",
    "router.total_s": "router.timeout_s",
    "sandbox.confined": "sandbox.require_isolation",
    "sandbox.memory": "sandbox.max_memory_bytes",
    "sandbox.on": "sandbox.enabled",
    "sandbox.processes": "sandbox.max_concurrent",
    "sandbox.time_s": "sandbox.timeout_s",
    "server.body_bytes": "server.max_body_bytes",
    "server.body_s": "server.body_timeout_s",
    "server.drain_s": "server.drain_timeout_s",
    "server.fast_lane": "server.fast_path",
    "server.hosts": "server.allowed_hosts",
    "server.proxies": "server.trusted_proxies",
    "sessions.after": "login_sessions.redirect_path",
    "sessions.idle_s": "login_sessions.idle_timeout_s",
    "sessions.total_s": "login_sessions.max_age_s",
    "shadow.asked_again_s": "shadow.repeat_window_s",
    "shadow.at_once": "shadow.max_concurrent",
    "shadow.budget_usd_day": "shadow.budget_usd_per_day",
    "shadow.share": "shadow.sample_rate",
    "shadow.sure": "shadow.confidence",
    "webhooks.NAME.events=promise.broken": "webhooks.NAME.events=target.missed",
}


OPTIONS_OF = frozenset({"cascade", "certified", "cheapest", "fixed", "learned"})
"""Policy kinds with these options: a third-party kind may have other options of the same name."""
_OPTIONS = frozenset({"hedge_s", "patience_s", "promise", "proof", "trust", "unforeseen", "worth"})


def move(tables: dict[str, object], wrong: list[str]) -> None:
    """Moves each renamed setting in `tables` to its new name, so that its value is checked too, and adds an error to
    `wrong`. Tables of a wrong shape are left unchanged.
    """
    for old, new in sorted(RENAMED.items(), key=lambda pair: (pair[1].count("."), ".kind=" not in pair[0])):
        above, _, last = new.partition("=")[0].rpartition(".")
        for place, table in _tables(tables, above.split(".") if above else [], ""):
            if "=" in old:
                _value(table, last, f"{place}{last}", old.partition("=")[2], new.partition("=")[2], wrong)
                continue
            name = old.rpartition(".")[2]
            if name in table and (above != "policies.NAME" or name not in _OPTIONS or _ours(table)):
                value, too = table.pop(name), "" if last not in table else f", which is there too: remove {name!r}"
                table.setdefault(last, value)
                wrong.append(f"{place}{name}: there is no such setting. It was renamed to {last!r}{too}.")


def _ours(policy: object) -> bool:
    return isinstance(policy, dict) and policy.get("kind", "cascade") in OPTIONS_OF


def _tables(table: object, steps: list[str], place: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Every table at `steps` below `table`, with the path before its keys."""
    if not isinstance(table, dict):
        return
    if not steps:
        yield place, table
        return
    name, rest = steps[0], steps[1:]
    found = list(table) if name == "NAME" else [name.removesuffix("[]")]
    for key in found:
        here = f"{place}{key if key.isidentifier() else repr(key)}"
        below = table.get(key)
        if place == "policies." and rest == ["target"] and not _ours(below):
            continue
        if name.endswith("[]"):
            for index, each in enumerate(below if isinstance(below, list) else ()):
                yield from _tables(each, rest, f"{here}[{index}].")
        else:
            yield from _tables(below, rest, f"{here}.")


def _value(table: dict[str, object], key: str, place: str, old: str, new: str, wrong: list[str]) -> None:
    value = table.get(key)
    if value == old:
        table[key] = new
        wrong.append(f"{place}: {old!r} was renamed to {new!r}")
    elif isinstance(value, list) and old in value:
        table[key] = [new if each == old else each for each in value]
        wrong.append(f"{place}: {old!r} was renamed to {new!r}")
