"""The kinds of nodes that are installed, each loaded once, with what its parameters take; knows none by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct, inspect

from sizewise import plugins
from sizewise.errors import ConfigError
from sizewise.flows.language import types
from sizewise.flows.language.types import JSON, Type
from sizewise.flows.node import Kind

_NAMES: Mapping[type, Type] = {
    inspect.StrType: types.TEXT,
    inspect.IntType: types.INTEGER,
    inspect.FloatType: types.NUMBER,
    inspect.BoolType: types.BOOLEAN,
}


class Parameter(Struct, frozen=True):
    """`plain`: {{ means nothing in it. `shape` is what msgspec converts to; `settled`: no {{ }} may stand in it.
    `names`: it is the name of one of these, which an installation has (models, knowledge, hosts, ...)."""

    name: str
    type: Type
    shape: Any
    required: bool
    plain: bool = False
    settled: bool = False
    names: str = ""


class Known(Struct, frozen=True):
    """A kind and its parameters."""

    name: str
    kind: type[Kind]
    parameters: Mapping[str, Parameter]

    @property
    def says(self) -> str:
        return (self.kind.__doc__ or "").strip().partition("\n")[0]


class Kinds:
    """Looks each up once; outlives the flows that are checked by it."""

    def __init__(self) -> None:
        self.names = plugins.names("nodes")
        self._found: dict[str, Known] = {}

    def __call__(self, name: str) -> Known | None:
        """None where there is no such kind."""
        if name not in self.names:
            return None
        if name not in self._found:
            self._found[name] = known(name, plugins.load("nodes", name))
        return self._found[name]


def known(name: str, kind: type[Kind]) -> Known:
    """Raises ConfigError where it is none."""
    if not (isinstance(kind, type) and issubclass(kind, Kind)):
        raise ConfigError(f"the node kind {name!r} is no Kind", "Derive it from sizewise.flows.node.Kind.")
    shape = inspect.type_info(kind)
    assert isinstance(shape, inspect.StructType)
    raw = {each.name: each.type for each in msgspec.structs.fields(kind)}
    parameters = {each.encode_name: _parameter(each, raw[each.name]) for each in shape.fields}
    return Known(name, kind, parameters)


def _parameter(field: inspect.Field, shape: Any) -> Parameter:
    extra = field.type.extra or {} if isinstance(field.type, inspect.Metadata) else {}
    required = field.default is NODEFAULT and field.default_factory is NODEFAULT
    plain, settled = bool(extra.get("plain")), bool(extra.get("settled"))
    of = (field.type.extra_json_schema or {}).get("x-names", "") if isinstance(field.type, inspect.Metadata) else ""
    return Parameter(field.encode_name, wanted(field.type), shape, required, plain, settled or plain, of)


def wanted(shape: inspect.Type) -> Type:
    """What may stand where a field of this shape is."""
    if isinstance(shape, inspect.Metadata):
        return wanted(shape.type)
    if isinstance(shape, inspect.UnionType):
        inner = [wanted(each) for each in shape.types if not isinstance(each, inspect.NoneType)]
        return inner[0] if len(inner) == 1 else JSON
    if isinstance(shape, (inspect.ListType, inspect.VarTupleType)):
        return types.list_of(wanted(shape.item_type))
    if isinstance(shape, inspect.DictType):
        return Type("object", open=True)
    if isinstance(shape, inspect.LiteralType):
        return Type("text", one_of=tuple(str(each) for each in shape.values))
    if isinstance(shape, inspect.StructType):
        return Type("object", fields={each.encode_name: wanted(each.type) for each in shape.fields if each.required})
    return _NAMES.get(type(shape), JSON)
