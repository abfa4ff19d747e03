"""Generates queries.ts in each room of web/src from its queries.graphql and the schema; knows no page.

A fragment becomes an interface; an operation becomes a constant that holds its text and the types of what it takes and
returns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
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
    strip_ignored_characters,
    type_from_ast,
    validate,
)

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "sizewise" / "graphql" / "schema.graphql"
ROOMS = ROOT / "web" / "src"
HEADER = """\
// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';
"""
SCALARS: Mapping[str, str] = {
    "Boolean": "boolean",
    "Dollars": "string",
    "Float": "number",
    "ID": "string",
    "Int": "number",
    "JSON": "unknown",
    "NonNegativeSafeInt": "number",
    "SafeInt": "number",
    "String": "string",
    "Timestamp": "number",
}
"""Scalars of the schema and the TypeScript type of their JSON."""


def pages() -> dict[Path, str]:
    schema = build_schema(SCHEMA.read_text("utf-8"))
    return {
        path.with_suffix(".ts"): generate(schema, path.read_text("utf-8"))
        for path in sorted(ROOMS.glob("*/queries.graphql"))
    }


def generate(schema: GraphQLSchema, operations: str) -> str:
    """The text of the module. Raises ValueError if an operation is not valid or uses more than this generator knows."""
    document = parse(operations)
    errors = validate(schema, document, specified_rules)
    if errors:
        raise ValueError("\n".join(str(error) for error in errors))
    return "\n".join([HEADER, *_Module(schema, document).lines()])


class _Module:
    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        each = document.definitions
        self._fragments = {one.name.value: one for one in each if isinstance(one, FragmentDefinitionNode)}
        self._operations = [one for one in each if isinstance(one, OperationDefinitionNode)]

    def lines(self) -> Iterator[str]:
        for name, fragment in self._fragments.items():
            kind = self._schema.type_map[fragment.type_condition.name.value]
            assert isinstance(kind, GraphQLObjectType)
            yield f"export type {name} = {self._object(kind, fragment.selection_set)};\n"
        for operation in self._operations:
            yield from self._operation(operation)

    def _operation(self, node: OperationDefinitionNode) -> Iterator[str]:
        if node.name is None:
            raise ValueError("an operation has no name")
        name = node.name.value
        root = self._schema.get_root_type(node.operation)
        assert root is not None
        variables = " ".join(
            f"{each.variable.name.value}{'' if self._required(each) else '?'}: {self._variable(each)};"
            for each in node.variable_definitions or ()
        )
        text = strip_ignored_characters(" ".join([print_ast(node), *self._used(node.selection_set)]))
        constant = name[:1].lower() + name[1:]
        yield f"export type {name} = {self._object(root, node.selection_set)};"
        taken = f"{{ {variables} }}" if variables else "object"
        yield f"export const {constant}Document: Document<{name}, {taken}> = {{"
        yield f"  text: `{text}`,".replace("\\", "\\\\")
        yield "};\n"

    def _object(self, kind: GraphQLObjectType | GraphQLInterfaceType, selected: SelectionSetNode) -> str:
        bases, fields = [], []
        for each in selected.selections:
            if isinstance(each, FragmentSpreadNode):
                bases.append(each.name.value)
            elif isinstance(each, FieldNode):
                of = kind.fields[each.name.value].type
                fields.append(f"{(each.alias or each.name).value}: {self._type(of, each.selection_set)};")
            else:
                raise ValueError(f"{kind.name}: inline fragments are not supported")
        return " & ".join([*bases, *([f"{{ {' '.join(fields)} }}"] if fields else [])])

    def _type(self, kind: object, selected: SelectionSetNode | None = None) -> str:
        if is_non_null_type(kind):
            return self._bare(kind.of_type, selected)
        return f"{self._bare(kind, selected)} | null"

    def _bare(self, kind: object, selected: SelectionSetNode | None) -> str:
        if is_list_type(kind):
            return f"Array<{self._type(kind.of_type, selected)}>"
        named = get_named_type(kind)  # type: ignore[call-overload]  # any type of the schema
        if isinstance(named, GraphQLObjectType | GraphQLInterfaceType):
            assert selected is not None
            return self._object(named, selected)
        if isinstance(named, GraphQLEnumType):
            return " | ".join(f"'{each}'" for each in named.values)
        if isinstance(named, GraphQLInputObjectType):
            fields = named.fields.items()
            return f"{{ {' '.join(f'{name}?: {self._type(each.type)};' for name, each in fields)} }}"
        return SCALARS[str(named)]

    def _required(self, variable: VariableDefinitionNode) -> bool:
        return is_non_null_type(type_from_ast(self._schema, variable.type)) and variable.default_value is None

    def _variable(self, variable: VariableDefinitionNode) -> str:
        return self._type(type_from_ast(self._schema, variable.type))

    def _used(self, selected: SelectionSetNode, known: set[str] | None = None) -> Iterator[str]:
        known = set() if known is None else known
        for each in selected.selections:
            if isinstance(each, FragmentSpreadNode) and each.name.value not in known:
                known.add(each.name.value)
                fragment = self._fragments[each.name.value]
                yield print_ast(fragment)
                yield from self._used(fragment.selection_set, known)
            elif isinstance(each, FieldNode) and each.selection_set is not None:
                yield from self._used(each.selection_set, known)
