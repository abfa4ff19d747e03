"""A policy's own tests: each case is one request, decided without asking anybody, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import SizewiseError
from sizewise.handler import Ask, Wishes
from sizewise.messages import Chat, Message
from sizewise.principal import Caller, named
from sizewise.routing.data_policy import Terms
from sizewise.routing.explain import Decision, explain
from sizewise.routing.model_aliases import Names
from sizewise.settings.routing import Case

NOBODY = "0" * 32
"""The trace of a question that is not asked."""


class Tried(Struct, frozen=True):
    """One case and where it failed, a sentence each; none: it holds. `models`: all that may be asked on any path."""

    policy: str
    name: str
    failures: tuple[str, ...]
    models: tuple[str, ...]
    why: str


def ask(case: Case, policy: str) -> Ask:
    model = case.model or f"auto:{policy}"
    messages = [Message("user", case.prompt)]
    fields = {"model": Raw(msgspec.json.encode(model)), "messages": Raw(msgspec.json.encode(messages))}
    caller = Caller(project=case.project, key="test", data_class=case.key_data_class)
    wishes = Wishes(data_class=case.data_class, online=case.online)
    return Ask(Chat(model, messages, fields), caller, NOBODY, 0.0, wishes)


def tried(case: Case, policy: str, names: Names, terms: Terms, passed: Callable[[Ask], Ask], number: int = 0) -> Tried:
    """All models are taken to be well: what is tested is who may be asked, not who is there today.

    `passed`: the request as the guards leave it. Raises what they refuse it with.
    """
    title = case.name or f"case {number}"
    try:
        decision = explain(passed(ask(case, policy)), names, lambda card: "", terms)
    except SizewiseError as error:
        return Tried(policy, title, tuple(_refused(case, error.code, error.message)), (), error.message)
    models = tuple(each.model for each in decision.candidates if each.may)
    failures = _refused(case, decision.error, decision.why) if decision.error else _broken(case, decision, models)
    return Tried(policy, title, tuple(failures), models, decision.why)


def _refused(case: Case, code: str, why: str) -> Iterator[str]:
    if case.expect_error != code:
        wanted = f"{case.expect_error!r} was expected" if case.expect_error else "an answer was expected"
        yield f"is refused with {code!r}, and {wanted}: {why}"


def _broken(case: Case, decision: Decision, models: Sequence[str]) -> Iterator[str]:
    if case.expect_error:
        yield f"is answered, and {case.expect_error!r} was expected"
    for model in models:
        if case.allowed_models and not any(named(each, model) for each in case.allowed_models):
            yield f"may reach {model}, which is none of {', '.join(case.allowed_models)}"
        for each in case.denied_models:
            if named(each, model):
                yield f"may reach {model}, and never should"
    first = decision.steps[0].models[0] if decision.steps else ""
    if case.first_model and first != case.first_model:
        yield f"asks {first or 'nobody'} first, and {case.first_model} was expected"
    if case.expect_data_class and decision.data_class != case.expect_data_class:
        yield f"counts as {decision.data_class} data, and {case.expect_data_class} was expected"
