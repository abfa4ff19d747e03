"""Policy tests: each case is one request that is routed without calling a model and compared with expectations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import SizewiseError
from sizewise.handler import Request, RequestOptions
from sizewise.messages import ChatRequest, Message
from sizewise.principal import Principal, name_matches
from sizewise.routing.data_policy import DataPolicy
from sizewise.routing.explain import RoutingDecision, explain
from sizewise.routing.model_aliases import ModelAliases
from sizewise.settings.routing import PolicyTestSettings

NO_TRACE = "0" * 32
"""The trace id of a request that is not sent."""


class PolicyTestResult(Struct, frozen=True):
    """`failures`: a sentence each; empty if the case passed. `models`: all models that may be called on any path."""

    policy: str
    name: str
    failures: tuple[str, ...]
    models: tuple[str, ...]
    why: str


def test_request(case: PolicyTestSettings, policy: str) -> Request:
    model = case.model or f"auto:{policy}"
    messages = [Message("user", case.prompt)]
    fields = {"model": Raw(msgspec.json.encode(model)), "messages": Raw(msgspec.json.encode(messages))}
    principal = Principal(project=case.project, key_id="test", data_class=case.key_data_class)
    options = RequestOptions(data_class=case.data_class, online=case.online)
    return Request(
        payload=ChatRequest(model, messages, fields),
        principal=principal,
        trace_id=NO_TRACE,
        started_at=0.0,
        options=options,
    )


def run_policy_test(
    case: PolicyTestSettings,
    policy: str,
    aliases: ModelAliases,
    data_policy: DataPolicy,
    apply_guardrails: Callable[[Request], Request],
    number: int = 0,
) -> PolicyTestResult:
    """Assumes that all models are available: the test is about which may be called, not about their current health.

    `apply_guardrails` returns the request after the guardrails, or raises their error.
    """
    title = case.name or f"case {number}"
    try:
        decision = explain(apply_guardrails(test_request(case, policy)), aliases, lambda card: "", data_policy)
    except SizewiseError as error:
        return PolicyTestResult(
            policy=policy,
            name=title,
            failures=tuple(_refusal_failures(case, error.code, error.message)),
            models=(),
            why=error.message,
        )
    models = tuple(each.model for each in decision.candidates if each.eligible)
    failures = (
        _refusal_failures(case, decision.error, decision.why)
        if decision.error
        else _decision_failures(case, decision, models)
    )
    return PolicyTestResult(policy=policy, name=title, failures=tuple(failures), models=models, why=decision.why)


def _refusal_failures(case: PolicyTestSettings, code: str, why: str) -> Iterator[str]:
    if case.expect_error != code:
        wanted = f"{case.expect_error!r} is expected" if case.expect_error else "an answer is expected"
        yield f"is refused with {code!r}, but {wanted}: {why}"


def _decision_failures(case: PolicyTestSettings, decision: RoutingDecision, models: Sequence[str]) -> Iterator[str]:
    if case.expect_error:
        yield f"is answered, but {case.expect_error!r} is expected"
    for model in models:
        if case.allowed_models and not any(name_matches(each, model) for each in case.allowed_models):
            yield f"may reach {model}, which is not in {', '.join(case.allowed_models)}"
        for each in case.denied_models:
            if name_matches(each, model):
                yield f"may reach {model}, which is denied"
    first = decision.steps[0].models[0] if decision.steps else ""
    if case.first_model and first != case.first_model:
        yield f"asks {first or 'no model'} first, but {case.first_model} is expected"
    if case.expect_data_class and decision.data_class != case.expect_data_class:
        yield f"counts as {decision.data_class} data, but {case.expect_data_class} is expected"
