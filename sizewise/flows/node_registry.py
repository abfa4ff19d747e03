"""Registry of the installed node types and their parameters; loads each once and knows none by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct, inspect

from sizewise import plugins
from sizewise.errors import ConfigError
from sizewise.flows.language import types
from sizewise.flows.language.types import JSON, Json, Type
from sizewise.flows.node import Node
from sizewise.tools.code_tool import CODE_TOOLS

_NAMES: Mapping[type, Type] = {
    inspect.StrType: types.TEXT,
    inspect.IntType: types.INTEGER,
    inspect.FloatType: types.NUMBER,
    inspect.BoolType: types.BOOLEAN,
}


class Parameter(Struct, frozen=True):
    """A parameter of a node type. `is_plain`: {{ }} is not evaluated in it. `is_static`: it may not contain {{ }}.

    `names`: the kind of name it holds (`models`, `knowledge`, `hosts`, ...), empty if none.
    """

    name: str
    type: Type
    msgspec_type: Any
    required: bool
    is_plain: bool = False
    is_static: bool = False
    names: str = ""


class NodeType(Struct, frozen=True):
    name: str
    node_class: type[Node]
    parameters: Mapping[str, Parameter]
    defaults: Mapping[str, Json] = {}
    """Of parameters that have a constant one."""

    @property
    def description(self) -> str:
        return (self.node_class.__doc__ or "").strip().partition("\n")[0]


class NodeRegistry:
    """Loads node types on first use; outlives the flows that are validated with it."""

    def __init__(self) -> None:
        self.names = plugins.plugin_names("nodes")
        self._node_types: dict[str, NodeType] = {}

    @cached_property
    def tools_before_flows(self) -> frozenset[str]:
        """Tools that are never flows: of two with one name, the installed function or sandboxed code is called."""
        return frozenset((*plugins.plugin_names("tools"), *CODE_TOOLS))

    def __call__(self, name: str) -> NodeType | None:
        """None if there is no such node type."""
        if name not in self.names:
            return None
        if name not in self._node_types:
            self._node_types[name] = describe_node(name, plugins.load_plugin("nodes", name))
        return self._node_types[name]


def describe_node(name: str, node_class: type[Node]) -> NodeType:
    """Raises ConfigError unless `node_class` is a subclass of Node."""
    if not (isinstance(node_class, type) and issubclass(node_class, Node)):
        raise ConfigError(f"the node kind {name!r} is not a Node class", "Derive it from sizewise.flows.node.Node.")
    shape = inspect.type_info(node_class)
    assert isinstance(shape, inspect.StructType)
    raw = {each.name: each.type for each in msgspec.structs.fields(node_class)}
    parameters = {each.encode_name: _parameter(each, raw[each.name]) for each in shape.fields}
    defaults = {each.encode_name: each.default for each in shape.fields if each.default is not NODEFAULT}
    return NodeType(name, node_class, parameters, defaults)


def _parameter(field: inspect.Field, shape: Any) -> Parameter:
    extra = field.type.extra or {} if isinstance(field.type, inspect.Metadata) else {}
    required = field.default is NODEFAULT and field.default_factory is NODEFAULT
    plain, settled = bool(extra.get("plain")), bool(extra.get("settled"))
    of = (field.type.extra_json_schema or {}).get("x-names", "") if isinstance(field.type, inspect.Metadata) else ""
    return Parameter(
        name=field.encode_name,
        type=parameter_type(field.type),
        msgspec_type=shape,
        required=required,
        is_plain=plain,
        is_static=settled or plain,
        names=of,
    )


def parameter_type(msgspec_type: inspect.Type) -> Type:
    """The flow type of a field of this type."""
    if isinstance(msgspec_type, inspect.Metadata):
        return parameter_type(msgspec_type.type)
    if isinstance(msgspec_type, inspect.UnionType):
        inner = [parameter_type(each) for each in msgspec_type.types if not isinstance(each, inspect.NoneType)]
        return inner[0] if len(inner) == 1 else JSON
    if isinstance(msgspec_type, (inspect.ListType, inspect.VarTupleType)):
        return types.list_of(parameter_type(msgspec_type.item_type))
    if isinstance(msgspec_type, inspect.DictType):
        return Type("object", open=True)
    if isinstance(msgspec_type, inspect.LiteralType):
        return Type("text", enum=tuple(str(each) for each in msgspec_type.values))
    if isinstance(msgspec_type, inspect.StructType):
        return Type(
            "object",
            fields={each.encode_name: parameter_type(each.type) for each in msgspec_type.fields if each.required},
        )
    return _NAMES.get(type(msgspec_type), JSON)
