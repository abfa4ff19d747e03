"""Writes reference/sdk-methods.md: each method of the vendors' Python SDKs, with its endpoint here or without one.

Both lists are read from the installed packages and compared with the routes in our OpenAPI document.
"""

from __future__ import annotations

import dis
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from types import CodeType, FunctionType

from anthropic import Anthropic
from msgspec import Struct
from openai import OpenAI

from docs.sdk_alternatives import alternative
from sizewise.gateway.openapi import build_document

PAGE = Path(__file__).parent / "reference" / "sdk-methods.md"
VERBS: Mapping[str, str] = {
    "_get": "GET",
    "_get_api_list": "GET",
    "_post": "POST",
    "_put": "PUT",
    "_patch": "PATCH",
    "_delete": "DELETE",
}
"""Methods of an SDK's client that send a request."""
COMPOSED: Mapping[str, str] = {"anthropic.beta.messages.tool_runner": "create"}
"""Methods that call another one of their resource from a class of their own."""
OTHER_FORMATS = ("anthropic.files", "anthropic.beta.files")
"""Resources whose paths are another API's here: files are OpenAI's."""
RESOURCE_VARIABLES = ("self", "resource")
"""Names of the variable that holds a resource, in its methods and in the functions of `lib`."""
INTRODUCTION = """\
# Methods of the SDKs

*Generated from the installed SDKs and the routes by `python -m docs.build`; do not edit.*

You will know which methods of the Python SDKs `openai` and `anthropic` work with Sizewise. A test calls every method
that has an endpoint here, in front of each wire, and checks the answers against the SDK's own types
(`tests/gateway/test_sdk_methods.py`). A method without an endpoint gets a `404` with
[`not_found`](../errors/not_found.md).
"""


class SdkMethod(Struct, frozen=True):
    """`name`: with its SDK and resource, as `openai.chat.completions.create`. `requests`: verb and path of what it
    sends; empty for a method that sends nothing by HTTP itself.
    """

    name: str
    requests: frozenset[tuple[str, str]]

    @property
    def resource(self) -> str:
        return self.name.rpartition(".")[0]

    def has_endpoint(self, endpoints: frozenset[tuple[str, str]]) -> bool:
        return bool(self.requests) and self.requests <= endpoints and self.resource not in OTHER_FORMATS


def sdk_methods() -> list[SdkMethod]:
    """Every public method of every resource of both SDKs."""
    return [
        *_methods("openai", OpenAI(api_key="none", base_url="http://127.0.0.1/v1"), "/v1"),
        *_methods("anthropic", Anthropic(api_key="none", base_url="http://127.0.0.1"), ""),
    ]


def _methods(name: str, resource: object, prefix: str) -> Iterator[SdkMethod]:
    members = [each for each in inspect.getmembers_static(type(resource)) if not each[0].startswith(("_", "with_"))]
    functions = {key: inspect.unwrap(each) for key, each in members if inspect.isfunction(each)}
    if "." in name:  # not of the client itself: `get`, `post`, `close`
        for key in functions:
            yield SdkMethod(f"{name}.{key}", frozenset(_requests(f"{name}.{key}", functions, prefix)))
    for key, each in members:
        child = getattr(resource, key) if isinstance(each, cached_property) else None
        if any(kind.__name__ == "SyncAPIResource" for kind in type(child).__mro__):
            yield from _methods(f"{name}.{key}", child, prefix)


def _requests(name: str, functions: Mapping[str, FunctionType], prefix: str) -> Iterator[tuple[str, str]]:
    """What a method sends itself, or by the other methods of its resource that it calls."""
    key = name.rpartition(".")[2]
    called, paths = {COMPOSED.get(name, "")}, set[str]()
    for function in _with_library(functions[key]):
        for code in _codes(function.__code__):
            called |= _called_on(code)
            paths |= {text for text in code.co_consts if isinstance(text, str) and re.match("/[a-z]", text)}
    verbs = {VERBS[each] for each in called if each in VERBS}
    if paths and verbs:
        for path in paths:
            yield from ((verb, _normal(prefix + path)) for verb in verbs)
        return
    for other in sorted(called & functions.keys() - {key}):
        yield from _requests(f"{name.rpartition('.')[0]}.{other}", functions, prefix)


def _with_library(function: FunctionType) -> list[FunctionType]:
    """A method, and what it calls of its SDK's `lib`, where the longer ones are written."""
    found = [function]
    for each in found:
        called = (each.__globals__.get(name) for name in each.__code__.co_names)
        found += [it for it in called if isinstance(it, FunctionType) and ".lib." in it.__module__ and it not in found]
    return found


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function and of those inside it."""
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)


def _called_on(code: CodeType) -> set[str]:
    """The attributes that a function reads of the variable that holds the resource, such as `_post` and `create`."""
    found, variable = set[str](), ""
    for each in dis.get_instructions(code):
        if each.opname in ("LOAD_ATTR", "LOAD_METHOD") and variable in RESOURCE_VARIABLES:
            found.add(each.argval)
        variable = ""
        if each.opname.startswith(("LOAD_FAST", "LOAD_DEREF")):  # some load two at once
            variable = each.argval if isinstance(each.argval, str) else each.argval[-1]
    return found


def _normal(path: str) -> str:
    """A path without its query, and without the names of its parameters."""
    return re.sub(r"\{[^}]*\}", "{}", path.partition("?")[0])


def endpoints() -> frozenset[tuple[str, str]]:
    """Verb and path of every endpoint here."""
    paths: Mapping[str, Mapping[str, object]] = build_document()["paths"]
    return frozenset((verb.upper(), _normal(path)) for path, verbs in paths.items() for verb in verbs)


def pages() -> dict[Path, str]:
    return {PAGE: INTRODUCTION + "\n".join(_page())}


def _page() -> Iterator[str]:
    ours, every = endpoints(), sdk_methods()
    for sdk in ("openai", "anthropic"):
        methods = [each for each in every if each.name.startswith(f"{sdk}.")]
        served = [each for each in methods if each.has_endpoint(ours)]
        away = [each for each in methods if each.requests and each not in served]
        local = [each for each in methods if not each.requests]
        yield f"\n## `{sdk}` {version(sdk)}, with an endpoint here\n\n| method | endpoint |\n|---|---|"
        for each in served:
            yield f"| `{_short(each)}` | {_shown(each)} |"
        yield f"\n## `{sdk}`, without an endpoint here\n\n| resource | methods | instead |\n|---|---|---|"
        yield from _by_resource(away, alternative)
        yield f"\n## `{sdk}`, without an HTTP request of their own\n"
        yield "They repeat other methods, work on what you have, or open a WebSocket, which is not served here.\n"
        yield "| resource | methods |\n|---|---|"
        yield from _by_resource(local)
    yield ""


def _by_resource(methods: list[SdkMethod], instead: Callable[[str], str] | None = None) -> Iterator[str]:
    for resource, each in groupby(methods, lambda method: method.resource):
        names = ", ".join(f"`{method.name.rpartition('.')[2]}`" for method in each)
        yield f"| `{resource.partition('.')[2]}` | {names} |{f' {instead(resource)} |' if instead else ''}"


def _shown(method: SdkMethod) -> str:
    return ", ".join(f"`{verb} {path.replace('{}', '{id}')}`" for verb, path in sorted(method.requests))


def _short(method: SdkMethod) -> str:
    return method.name.partition(".")[2]
