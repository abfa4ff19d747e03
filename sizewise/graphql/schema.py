"""The executable schema: binds each root field of schema.graphql to its resolver and enforces its directives."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from inspect import isawaitable, isfunction
from types import ModuleType
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
    get_directive_values,
    specified_directives,
)

from sizewise.errors import Forbidden, PathNotFound
from sizewise.graphql import (
    adapters,
    advise,
    alerts,
    annotation,
    ask,
    audit,
    authors,
    batches,
    bias,
    budgets,
    calibration,
    canary,
    conversations,
    decisions,
    edges,
    encryption,
    environments,
    erasure,
    eval_comparison,
    eval_data,
    evals,
    explain,
    facts,
    flow_check,
    flow_editing,
    flow_trials,
    flow_vocabulary,
    flows,
    identity_providers,
    jobs,
    keys,
    knowledge,
    memories,
    models,
    prompts,
    quality,
    receivers,
    records,
    releases,
    run_events,
    sampled_pairs,
    savings,
    scores,
    server_status,
    tuning,
    usage,
    users,
    widgets,
)
from sizewise.graphql.context import RequestContext
from sizewise.graphql.extension import GraphQLExtension, Resolver, load_extensions
from sizewise.graphql.query_cost import ASSUMED_SIZE, COST
from sizewise.money import PICO_PER_DOLLAR

MODULES: Sequence[ModuleType] = (
    adapters,
    advise,
    alerts,
    annotation,
    ask,
    audit,
    authors,
    batches,
    bias,
    budgets,
    calibration,
    canary,
    conversations,
    decisions,
    edges,
    encryption,
    environments,
    erasure,
    eval_comparison,
    eval_data,
    evals,
    explain,
    facts,
    flow_check,
    flow_editing,
    flow_trials,
    flow_vocabulary,
    flows,
    identity_providers,
    jobs,
    keys,
    knowledge,
    memories,
    models,
    prompts,
    quality,
    receivers,
    records,
    releases,
    run_events,
    sampled_pairs,
    savings,
    scores,
    server_status,
    tuning,
    usage,
    users,
    widgets,
)
"""A root field is resolved by the function of its name in one of these: `createKey` by `keys.create_key`. It is called
with the RequestContext and the field's arguments in snake_case, if the caller has one of the permissions of the
field's @permission on any resource; the function itself checks the resource. A subscription returns a stream of
{field: value}."""
Resolvers = Mapping[str, Mapping[str, tuple[Resolver, tuple[str, ...]]]]
"""Root type -> field -> resolver, and permissions, any of which suffices."""

RESOURCE_ARGUMENTS = (
    *("id", "key", "scope", "user", "policy", "base", "organization", "namespace", "trace", "flow", "workflow_id"),
    *("request_id", "name"),
)
"""The argument that names the resource of a change, the first that is set. Never an email address: the audit log cannot
be erased."""

EXTENSIONS: Sequence[GraphQLExtension] = load_extensions()


def schema_text() -> str:
    return files("sizewise.graphql").joinpath("schema.graphql").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class ServedSchema:
    """The executable schema, without its directives, and the resolvers of its root fields."""

    schema: GraphQLSchema
    resolvers: Resolvers


def build_served_schema(text: str, functions: Iterable[Resolver]) -> ServedSchema:
    """Raises ValueError for a root field without @permission or without a function of its name."""
    schema = build_schema(text)
    resolvers = _bind(schema, functions)
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLObjectType):
            for field in kind.fields.values():
                _set_cost(schema, field)
    for name, known in resolvers.items():
        root = schema.type_map[name]
        assert isinstance(root, GraphQLObjectType)
        for field_name, (resolver, actions) in known.items():
            field = root.fields[field_name]
            if name == "Subscription":
                field.subscribe = _changing(field_name, resolver, actions)
            else:
                wrap = _changing if name == "Mutation" else _resolved
                field.resolve = wrap(field_name, resolver, actions)
            for argument, spec in field.args.items():
                spec.out_name = _snake(argument)
    _set_values(schema)
    schema.directives = specified_directives  # our directives are for this module; clients neither see nor use them
    return ServedSchema(schema, resolvers)


def module_functions(modules: Iterable[ModuleType]) -> list[Resolver]:
    """The public functions defined in these modules, not imported by them."""
    return [
        each
        for module in modules
        for name, each in vars(module).items()
        if isfunction(each) and each.__module__ == module.__name__ and not name.startswith("_")
    ]


def _bind(schema: GraphQLSchema, functions: Iterable[Resolver]) -> Resolvers:
    by_name: dict[str, list[Resolver]] = {}
    for each in functions:
        by_name.setdefault(each.__name__, []).append(each)
    return {
        root.name: {
            name: (_resolver(name, by_name), _permissions(schema, f"{root.name}.{name}", field))
            for name, field in root.fields.items()
        }
        for root in (schema.query_type, schema.mutation_type, schema.subscription_type)
        if root is not None
    }


def _resolver(field: str, by_name: Mapping[str, Sequence[Resolver]]) -> Resolver:
    found = by_name.get(_snake(field), ())
    if len(found) != 1:
        places = ", ".join(each.__module__ for each in found) or "no module"
        raise ValueError(f"the field {field!r} needs one function {_snake(field)!r}, and {places} has it")
    return found[0]


def _permissions(schema: GraphQLSchema, name: str, field: GraphQLField) -> tuple[str, ...]:
    said = _directive(schema, field, "permission")
    if said is None:
        raise ValueError(f"the field {name} has no @permission")
    return tuple(said["any"])


def _set_cost(schema: GraphQLSchema, field: GraphQLField) -> None:
    """For query_cost.py, which reads no directives: fields of flows are not parsed from text and have none."""
    cost, size = _directive(schema, field, "cost"), _directive(schema, field, "listSize")
    field.extensions = {
        **(field.extensions or {}),
        **({COST: cost["weight"]} if cost else {}),
        **({ASSUMED_SIZE: size["assumedSize"]} if size else {}),
    }


def _directive(schema: GraphQLSchema, field: GraphQLField, name: str) -> dict[str, Any] | None:
    directive = schema.get_directive(name)
    if directive is None or field.ast_node is None:
        return None
    return get_directive_values(directive, field.ast_node)


def _set_values(schema: GraphQLSchema) -> None:
    """Sets how scalars are parsed, and names that differ in Python."""
    for name, read in (
        ("Dollars", _pico),
        ("NonNegativeSafeInt", _whole),
        ("Timestamp", _whole),
        ("SafeInt", _integer),
    ):
        scalar = schema.type_map[name]
        assert isinstance(scalar, GraphQLScalarType)
        scalar.coerce_input_value = read
    file = schema.type_map["File"]
    assert isinstance(file, GraphQLObjectType)
    file.fields["mediaType"].resolve = lambda source, info: source.get("media_type")
    for each in schema.type_map.values():
        if isinstance(each, GraphQLInputObjectType):
            for field_name, input_field in each.fields.items():
                input_field.out_name = _snake(field_name)


def _resolved(field: str, resolver: Resolver, actions: tuple[str, ...]) -> Callable[..., object]:
    def resolve(_: object, info: GraphQLResolveInfo[RequestContext], **arguments: Any) -> object:
        info.context.require(*actions)
        return resolver(info.context, **arguments)

    return resolve


def _changing(field: str, resolver: Resolver, actions: tuple[str, ...]) -> Callable[..., object]:
    """Writes to the audit log if the change is denied or its resource is not visible to the caller."""

    async def resolve(_: object, info: GraphQLResolveInfo[RequestContext], **arguments: Any) -> object:
        try:
            info.context.require(*actions)
            done = resolver(info.context, **arguments)
            return await done if isawaitable(done) else done
        except (Forbidden, PathNotFound) as error:
            resource = next((arguments[name] for name in RESOURCE_ARGUMENTS if arguments.get(name)), "")
            await info.context.audit_refusal(field, str(resource), error.code)
            raise

    return resolve


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _pico(value: object) -> int:
    """Dollars to whole pico-dollars, exactly. Raises ValueError."""
    match = re.fullmatch(r"(\d{1,9})(?:\.(\d{1,12}))?", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('is not an amount of dollars like "0.25", with at most twelve decimals')
    return int(match[1]) * PICO_PER_DOLLAR + int((match[2] or "").ljust(12, "0"))


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 53:
        raise ValueError("is not a whole number within 2^53 on either side of 0")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 53:
        raise ValueError("is not a whole number from 0 to 2^53 - 1")
    return value


SERVED = build_served_schema(
    schema_text(),
    [*module_functions(MODULES), *(function for each in EXTENSIONS for function in each.resolvers)],
)
RESOLVERS = SERVED.resolvers
