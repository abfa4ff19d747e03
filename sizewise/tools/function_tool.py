"""A typed Python function of this installation as a tool: schema from its signature, text from its docstring.

Functions are code that an administrator has installed (entry points `sizewise.tools`); no flow, request or model ever
brings one. A parameter annotated `Call` is given the call and is no argument.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import BadRequest, ConfigError, SizewiseError
from sizewise.plugins import Once
from sizewise.principal import Caller
from sizewise.tools.tool import DESCRIPTION, NAME, Call, Result, Tool

log = logging.getLogger("sizewise.tools")

_encode = msgspec.json.Encoder().encode


def function(
    of: Callable[..., object],
    name: str = "",
    *,
    dangerous: bool = False,
    alone: bool = False,
    foreign: bool = False,
    timeout_s: float = 60.0,
) -> Tool:
    """`of` as a tool: awaited where it is `async`, else run on a thread (which nobody can stop: it bounds itself).

    What it returns is told as it is where it is a text or a Result, else as JSON. Raises ConfigError where the
    signature cannot be said as a schema.
    """
    called = name or str(getattr(of, "__name__", ""))
    if not NAME.match(called):
        raise ConfigError(f"{called[:100]!r} is no name of a tool", "1 to 64 letters, digits, '_' and '-'")
    given, wants = _signature(of, called)
    doing = _Doing(of, given, wants)
    says = inspect.cleandoc(of.__doc__ or "")[:DESCRIPTION]
    return Tool(
        called, says, _schema(given), doing, dangerous=dangerous, alone=alone, foreign=foreign, timeout_s=timeout_s
    )


class Functions:
    """The functions of this installation as an Offering, each loaded once. Everybody may use them."""

    def __init__(self, beside: Sequence[Tool] = (), load: Once | None = None) -> None:
        """Raises ConfigError for an entry point that is neither a Tool nor a function which can be one."""
        load = load or Once()
        found = [load("tools", each) for each in load.names("tools")]
        made = [each if isinstance(each, Tool) else function(each) for each in found]
        self._tools = (*beside, *made)

    async def tools(self, caller: Caller) -> Sequence[Tool]:
        return self._tools


class _Doing:
    def __init__(self, of: Callable[..., object], given: type[Struct], wants: str) -> None:
        self._of = of
        self._given = given
        self._wants = wants

    async def __call__(self, call: Call) -> Result:
        try:
            seen = msgspec.convert(call.arguments, self._given)
        except msgspec.ValidationError as error:
            raise BadRequest(f"the arguments do not fit: {error}", "call it again as its schema says") from error
        named: dict[str, object] = {field: getattr(seen, field) for field in self._given.__struct_fields__}
        if self._wants:
            named[self._wants] = call
        try:
            if inspect.iscoroutinefunction(self._of):
                value = await self._of(**named)
            else:
                value = await asyncio.to_thread(self._of, **named)
        except (SizewiseError, TimeoutError):
            raise
        except Exception as fault:
            # Others wrote it, so it may raise anything; the fault may hold what it was called with, and is not told.
            log.warning("a tool's function failed: %s in %s", type(fault).__name__, self._given.__name__)
            return Result(f"the tool failed ({type(fault).__name__})", failed=True)
        return _told(value)


def _told(value: object) -> Result:
    if isinstance(value, Result):
        return value
    if isinstance(value, str):
        return Result(value)
    try:
        data = _encode(value)
    except (TypeError, ValueError, RecursionError):
        return Result(f"the tool gave a {type(value).__name__}, which is no JSON", failed=True)
    return Result(data.decode(), data=Raw(data))


def _signature(of: Callable[..., object], name: str) -> tuple[type[Struct], str]:
    """The arguments as a struct, and the parameter that wants the call."""
    hint = "annotate each parameter with a type that JSON has, and use no *args or **kwargs"
    fields: list[tuple[str, object] | tuple[str, object, object]] = []
    wants = ""
    try:
        hints = get_type_hints(of, include_extras=True)
        for parameter in inspect.signature(of).parameters.values():
            kind = hints.get(parameter.name)
            if _bare(kind) is Call:
                wants = parameter.name
            elif kind is None or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise ConfigError(f"the tool {name!r} cannot say what {parameter.name!r} is", hint)
            elif parameter.default is parameter.empty:
                fields.append((parameter.name, kind))
            else:
                fields.append((parameter.name, kind, parameter.default))
        given = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
        msgspec.json.schema(given)
    except (TypeError, NameError) as error:
        raise ConfigError(f"the tool {name!r} has a signature that JSON cannot say", hint) from error
    return given, wants


def _bare(kind: object) -> object:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _schema(given: type[Struct]) -> Mapping[str, object]:
    """The struct's own schema on top, what it refers to below."""
    whole = msgspec.json.schema(given)
    parts: dict[str, dict[str, object]] = dict(whole.get("$defs", {}))
    top = parts.pop(given.__name__)
    top.pop("title", None)
    return top | ({"$defs": parts} if parts else {})
