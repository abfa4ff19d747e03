"""Typed Python functions as tools: the schema comes from the signature, the description from the docstring.

Functions are code that an administrator has installed (entry points `sizewise.tools`); no flow, request or model can
add one. A parameter annotated `ToolInvocation` receives the invocation and is not part of the schema.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import BadRequest, ConfigError, SizewiseError
from sizewise.plugins import PluginRegistry
from sizewise.principal import APPROVER_PATTERN, Principal
from sizewise.tools.tool import MAX_DESCRIPTION_CHARS, NAME_PATTERN, Tool, ToolInvocation, ToolOutput

log = logging.getLogger("sizewise.tools")

_encode = msgspec.json.Encoder().encode


def function_tool(
    handler: Callable[..., object],
    name: str = "",
    *,
    needs_approval: bool = False,
    approvers: Sequence[str] = (),
    exclusive: bool = False,
    untrusted: bool = False,
    timeout_s: float = 60.0,
) -> Tool:
    """`handler` as a tool. A function that is not `async` runs on a thread, which a timeout cannot stop.

    A returned string or ToolOutput is passed on as it is; any other value is encoded as JSON. Raises ConfigError if the
    signature has no JSON Schema, or an approver has a wrong form.
    """
    called = name or str(getattr(handler, "__name__", ""))
    if not NAME_PATTERN.match(called):
        raise ConfigError(f"{called[:100]!r} is not a valid tool name", "use 1 to 64 letters, digits, '_' and '-'")
    if any(not re.match(APPROVER_PATTERN, each) for each in approvers):
        raise ConfigError(
            f"the tool {called!r} has approvers of a wrong form", "name them as user:EMAIL, role:NAME or key:ID"
        )
    given, wants = _signature(handler, called)
    doing = _FunctionRunner(handler, given, wants)
    says = inspect.cleandoc(handler.__doc__ or "")[:MAX_DESCRIPTION_CHARS]
    return Tool(
        called,
        says,
        _schema(given),
        doing,
        needs_approval=needs_approval,
        approvers=tuple(approvers),
        exclusive=exclusive,
        untrusted=untrusted,
        timeout_s=timeout_s,
    )


class FunctionTools:
    """A ToolProvider of the installed functions, each loaded once. Every caller may use them."""

    def __init__(self, extra_tools: Sequence[Tool] = (), load: PluginRegistry | None = None) -> None:
        """Raises ConfigError for an entry point that is neither a Tool nor a function that can become one."""
        load = load or PluginRegistry()
        found = [load("tools", each) for each in load.names("tools")]
        made = [each if isinstance(each, Tool) else function_tool(each) for each in found]
        self._tools = (*extra_tools, *made)

    async def tools(self, principal: Principal) -> Sequence[Tool]:
        return self._tools


class _FunctionRunner:
    def __init__(self, handler: Callable[..., object], arguments_type: type[Struct], invocation_parameter: str) -> None:
        self._handler = handler
        self._arguments_type = arguments_type
        self._invocation_parameter = invocation_parameter

    async def __call__(self, invocation: ToolInvocation) -> ToolOutput:
        try:
            seen = msgspec.convert(invocation.arguments, self._arguments_type)
        except msgspec.ValidationError as error:
            raise BadRequest(
                f"invalid arguments: {error}", "call the tool again with arguments that match its schema"
            ) from error
        named: dict[str, object] = {field: getattr(seen, field) for field in self._arguments_type.__struct_fields__}
        if self._invocation_parameter:
            named[self._invocation_parameter] = invocation
        try:
            if inspect.iscoroutinefunction(self._handler):
                value = await self._handler(**named)
            else:
                value = await asyncio.to_thread(self._handler, **named)
        except (SizewiseError, TimeoutError):
            raise
        except Exception as fault:
            # Third-party code may raise anything. The message is not logged or returned: it may contain the arguments.
            log.warning("a tool function failed: %s in %s", type(fault).__name__, self._arguments_type.__name__)
            return ToolOutput(f"the tool failed ({type(fault).__name__})", failed=True)
        return _to_output(value)


def _to_output(value: object) -> ToolOutput:
    if isinstance(value, ToolOutput):
        return value
    if isinstance(value, str):
        return ToolOutput(value)
    try:
        data = _encode(value)
    except (TypeError, ValueError, RecursionError):
        return ToolOutput(f"the tool returned a {type(value).__name__}, which is not JSON", failed=True)
    return ToolOutput(data.decode(), data=Raw(data))


def _signature(of: Callable[..., object], name: str) -> tuple[type[Struct], str]:
    """The arguments as a struct, and the name of the ToolInvocation parameter, if any."""
    hint = "annotate each parameter with a JSON type, and use neither *args nor **kwargs"
    fields: list[tuple[str, object] | tuple[str, object, object]] = []
    wants = ""
    try:
        hints = get_type_hints(of, include_extras=True)
        for parameter in inspect.signature(of).parameters.values():
            kind = hints.get(parameter.name)
            if _bare(kind) is ToolInvocation:
                wants = parameter.name
            elif kind is None or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise ConfigError(f"the type of {parameter.name!r} in the tool {name!r} is not a JSON type", hint)
            elif parameter.default is parameter.empty:
                fields.append((parameter.name, kind))
            else:
                fields.append((parameter.name, kind, parameter.default))
        given = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
        msgspec.json.schema(given)
    except (TypeError, NameError) as error:
        raise ConfigError(f"the signature of the tool {name!r} cannot be expressed in JSON", hint) from error
    return given, wants


def _bare(kind: object) -> object:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _schema(arguments_type: type[Struct]) -> Mapping[str, object]:
    """The struct's schema at the top level, with the definitions it refers to in `$defs`."""
    whole = msgspec.json.schema(arguments_type)
    parts: dict[str, dict[str, object]] = dict(whole.get("$defs", {}))
    top = parts.pop(arguments_type.__name__)
    top.pop("title", None)
    return top | ({"$defs": parts} if parts else {})
