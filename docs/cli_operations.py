"""Generates sizewise/cli/operations.py from operations.graphql and the schema; knows no command.

A fragment becomes a class, an operation becomes an async function. A fragment that starts with another fragment
extends its class.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLInputType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableDefinitionNode,
    build_schema,
    get_named_type,
    is_list_type,
    is_non_null_type,
    parse,
    print_ast,
    specified_rules,
    type_from_ast,
    validate,
)

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "sizewise" / "graphql" / "schema.graphql"
OPERATIONS = ROOT / "sizewise" / "cli" / "operations.graphql"
MODULE = ROOT / "sizewise" / "cli" / "operations.py"
HEADER = '''\
"""Typed functions for the GraphQL operations of the CLI, generated from operations.graphql by `make docs`.

A parameter that you leave out is left out of the request; None is sent as null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from sizewise.cli.api_client import ApiClient
'''
BUILT_IN_SCALARS: Mapping[str, str] = {
    "Boolean": "bool",
    "Float": "float",
    "ID": "str",
    "Int": "int",
    "String": "str",
}
SCALARS: Mapping[str, str] = {
    "Dollars": "str",
    "JSON": "object",
    "NonNegativeSafeInt": "int",
    "SafeInt": "int",
    "Timestamp": "int",
}
"""Scalars of the schema and the Python type of their JSON."""
MAX_LINE = 120


def pages() -> dict[Path, str]:
    return {MODULE: generate(SCHEMA.read_text("utf-8"), OPERATIONS.read_text("utf-8"))}


def generate(schema_text: str, operations_text: str) -> str:
    """The text of the module. Raises ValueError if an operation is not valid or uses more than this generator knows."""
    schema, document = build_schema(schema_text), parse(operations_text)
    errors = validate(schema, document, specified_rules)
    if errors:
        raise ValueError("\n".join(str(error) for error in errors))
    return "\n".join([*_Module(schema, document).lines(), ""])


class _Module:
    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        definitions = document.definitions
        self._fragments = {each.name.value: each for each in definitions if isinstance(each, FragmentDefinitionNode)}
        self._operations = [each for each in definitions if isinstance(each, OperationDefinitionNode)]
        self._aliases: dict[str, list[str]] = {}
        self._classes: dict[str, list[str]] = {}

    def lines(self) -> Iterator[str]:
        for each in self._fragments:
            self._fragment_class(each)
        fragment_classes = list(self._classes)
        operations = [self._operation(each) for each in self._operations]
        yield HEADER
        for alias in sorted(self._aliases):
            yield from self._aliases[alias]
        for name in fragment_classes:
            yield from ("", "", *self._classes[name])
        for operation in operations:
            yield from operation

    # ---- classes

    def _fragment_class(self, name: str) -> str:
        fragment = self._fragments[name]
        kind = self._schema.type_map[fragment.type_condition.name.value]
        assert isinstance(kind, GraphQLObjectType)
        return self._class(name, kind, fragment.selection_set)

    def _selected(self, name: str, kind: GraphQLObjectType, selected: SelectionSetNode) -> str:
        """The class of a selection: its fragment's own where the fragment is all that is selected."""
        first, *more = selected.selections
        if isinstance(first, FragmentSpreadNode) and not more:
            return self._fragment_class(first.name.value)
        return self._class(name, kind, selected)

    def _class(self, name: str, kind: GraphQLObjectType, selected: SelectionSetNode) -> str:
        if name in self._classes:
            return name
        base, fields = 'Struct, frozen=True, rename="camel"', []
        for number, each in enumerate(selected.selections):
            if each.directives:
                raise ValueError(f"{name}: directives of a query are not supported")
            if isinstance(each, FragmentSpreadNode) and number == 0:
                base = f'{self._fragment_class(each.name.value)}, frozen=True, rename="camel"'
            elif isinstance(each, FieldNode):
                fields.append(f"    {self._field(name, kind, each)}")
            else:
                raise ValueError(f"{name}: put the fragment first; inline fragments are not supported")
        self._classes[name] = [f"class {name}({base}):", *fields]
        return name

    def _field(self, parent: str, kind: GraphQLObjectType, node: FieldNode) -> str:
        key = (node.alias or node.name).value
        return _declaration(key, self._output(parent + _pascal(key), kind.fields[node.name.value].type, node))

    def _output(self, name: str, kind: GraphQLOutputType, node: FieldNode) -> str:
        if is_non_null_type(kind):
            return self._bare_output(name, kind.of_type, node)
        return f"{self._bare_output(name, kind, node)} | None"

    def _bare_output(self, name: str, kind: GraphQLOutputType, node: FieldNode) -> str:
        if is_list_type(kind):
            return f"list[{self._output(name, kind.of_type, node)}]"
        named = get_named_type(kind)
        if isinstance(named, GraphQLObjectType):
            assert node.selection_set is not None  # the document is valid
            return self._selected(name, named, node.selection_set)
        return self._leaf(named)

    def _leaf(self, kind: object) -> str:
        assert isinstance(kind, (GraphQLScalarType, GraphQLEnumType)), f"{kind} is not supported"
        if kind.name in BUILT_IN_SCALARS:
            return BUILT_IN_SCALARS[kind.name]
        if isinstance(kind, GraphQLEnumType):
            values = [f"    {str(each)!r},".replace("'", '"') for each in kind.values]
            one_line = f"{kind.name}: TypeAlias = Literal[{' '.join(value.strip() for value in values)[:-1]}]"
            lines = [one_line] if len(one_line) <= MAX_LINE else [f"{kind.name}: TypeAlias = Literal[", *values, "]"]
        else:
            lines = [f"{kind.name}: TypeAlias = {SCALARS[kind.name]}"]
        self._aliases[kind.name] = [*lines, *([f'"""{_escaped(kind.description)}"""'] if kind.description else [])]
        return kind.name

    # ---- operations

    def _operation(self, node: OperationDefinitionNode) -> list[str]:
        if node.name is None:
            raise ValueError("an operation has no name")
        name = node.name.value
        root = self._schema.get_root_type(node.operation)
        assert root is not None
        keys = [each for each in node.selection_set.selections if isinstance(each, FieldNode)]
        before = set(self._classes)
        response = f"{name}Response"
        body = [f"    {self._root_field(name, root, each, single=len(keys) == 1)}" for each in keys]
        nested = [each for each in self._classes if each not in before]
        only = _snake((keys[0].alias or keys[0].name).value) if len(keys) == 1 else ""
        returns = body[0].partition(": ")[2].partition(" = ")[0] if only else response
        constant = _snake(name).upper()
        lines = ["", "", f'{constant} = """\\', *_wrapped(self._text(node)), '"""']
        for each in nested:
            lines += ["", "", *self._classes[each]]
        lines += ["", "", f'class {response}(Struct, frozen=True, rename="camel"):', *body, "", ""]
        return [*lines, *self._function(node, _snake(name), returns, constant, response, only)]

    def _root_field(self, operation: str, root: GraphQLObjectType, node: FieldNode, single: bool) -> str:
        key = (node.alias or node.name).value
        name = f"{operation}Result" if single else operation + _pascal(key)
        return _declaration(key, self._output(name, root.fields[node.name.value].type, node))

    def _function(
        self, node: OperationDefinitionNode, name: str, returns: str, constant: str, response: str, only: str
    ) -> Iterator[str]:
        variables = node.variable_definitions or ()
        given = sorted((self._parameter(each) for each in variables), key=lambda each: each.endswith("= UNSET"))
        parameters = ["client: ApiClient", *(("*", *given) if given else ())]
        one_line = f"async def {name}({', '.join(parameters)}) -> {returns}:"
        if len(one_line) <= MAX_LINE:
            yield one_line
        else:
            yield from (f"async def {name}(", *(f"    {each}," for each in parameters), f") -> {returns}:")
        sent = [f'"{each.variable.name.value}": {_snake(each.variable.name.value)}' for each in variables]
        if len(one_line := f"    variables = {{{', '.join(sent)}}}") > MAX_LINE:
            yield from ("    variables = {", *(f"        {each}," for each in sent), "    }")
        elif sent:
            yield one_line
        called = f"await client.graphql({constant}, {response}{', variables' if sent else ''})"
        yield from (f"    response = {called}", f"    return response.{only}") if only else (f"    return {called}",)

    def _parameter(self, node: VariableDefinitionNode) -> str:
        kind = type_from_ast(self._schema, node.type)
        assert kind is not None
        name = _snake(node.variable.name.value)
        annotation = self._input(kind)  # type: ignore[arg-type]  # a variable's type is an input type
        if node.default_value is None and is_non_null_type(kind):
            return f"{name}: {annotation}"
        bare, null, _ = annotation.rpartition(" | None") if annotation.endswith(" | None") else (annotation, "", "")
        return f"{name}: {bare} | UnsetType{null} = UNSET"

    def _input(self, kind: GraphQLInputType) -> str:
        nullable = not is_non_null_type(kind)
        bare = kind.of_type if is_non_null_type(kind) else kind
        said = f"Sequence[{self._input(bare.of_type)}]" if is_list_type(bare) else self._leaf(get_named_type(bare))
        return f"{said} | None" if nullable else said

    def _text(self, node: OperationDefinitionNode) -> str:
        used: dict[str, None] = {}
        _fragments_of(node.selection_set, self._fragments, used)
        return " ".join([print_ast(node), *(print_ast(self._fragments[each]) for each in used)])


def _fragments_of(
    selected: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode], used: dict[str, None]
) -> None:
    for each in selected.selections:
        if isinstance(each, FragmentSpreadNode) and each.name.value not in used:
            used[each.name.value] = None
            _fragments_of(fragments[each.name.value].selection_set, fragments, used)
        elif isinstance(each, FieldNode) and each.selection_set is not None:
            _fragments_of(each.selection_set, fragments, used)


def _wrapped(text: str) -> list[str]:
    """White space means nothing in a query without string literals."""
    if '"' in text or "\\" in text:
        raise ValueError("pass strings as variables")
    return textwrap.wrap(" ".join(text.split()), MAX_LINE, break_long_words=False, break_on_hyphens=False)


def _declaration(key: str, annotation: str) -> str:
    name = _snake(key)
    return f"{name}: {annotation}" if _camel(name) == key else f'{name}: {annotation} = field(name="{key}")'


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _camel(name: str) -> str:
    """As msgspec does for `rename="camel"`."""
    first, *more = name.split("_")
    return first + "".join(each.title() for each in more)


def _pascal(name: str) -> str:
    return name[:1].upper() + name[1:]


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace('"', "'")
