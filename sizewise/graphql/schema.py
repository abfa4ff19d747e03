"""The executable schema: schema.graphql with the resolver and the required permissions of each field."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from inspect import isawaitable
from types import MappingProxyType
from typing import Any

from graphql import (
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
)

from sizewise.errors import Forbidden, PathNotFound
from sizewise.graphql import (
    ask,
    audit,
    budgets,
    encryption,
    explain,
    flows,
    keys,
    knowledge,
    memories,
    models,
    quality,
    records,
    sampled_pairs,
    savings,
    server_status,
    users,
)
from sizewise.graphql.context import RequestContext
from sizewise.graphql.extension import GraphQLExtension, Resolver, Resolvers, load_extensions
from sizewise.money import PICO_PER_DOLLAR

MODEL_ACTIONS = ("ask", "read_models")
FLOW_ACTIONS = ("ask", "manage_flows")
RUN_ACTIONS = ("ask", "read_records")
KNOWLEDGE_ACTIONS = ("ask", "manage_knowledge")
BUILT_IN: Mapping[str, Mapping[str, tuple[Resolver, tuple[str, ...]]]] = {
    "Query": {
        "flows": (flows.flows, FLOW_ACTIONS),
        "flow": (flows.flow, FLOW_ACTIONS),
        "flowVersions": (flows.flow_versions, FLOW_ACTIONS),
        "checkFlow": (flows.check_flow, FLOW_ACTIONS),
        "flowRuns": (flows.flow_runs, RUN_ACTIONS),
        "flowRun": (flows.flow_run, RUN_ACTIONS),
        "waiting": (flows.waiting, RUN_ACTIONS),
        "me": (keys.me, ()),
        "health": (server_status.health, ()),
        "models": (models.models, MODEL_ACTIONS),
        "model": (models.model, MODEL_ACTIONS),
        "catalogModel": (models.catalog_model, MODEL_ACTIONS),
        "catalog": (models.catalog, MODEL_ACTIONS),
        "modelAliases": (models.model_aliases, MODEL_ACTIONS),
        "records": (records.records, ("read_records",)),
        "record": (records.record, ("read_records",)),
        "samples": (sampled_pairs.samples, ("read_records",)),
        "savings": (savings.savings, ("read_records",)),
        "quality": (quality.quality, ("read_records",)),
        "keys": (keys.keys, ("read_keys",)),
        "users": (users.users, ("read_users",)),
        "invitations": (users.invitations, ("read_users",)),
        "signInSessions": (users.sign_in_sessions, ()),
        "roles": (users.roles, ("read_users",)),
        "organizations": (users.organizations, ("found_organisations",)),
        "budgets": (budgets.budgets, ("read_budgets",)),
        "audit": (audit.audit, ("read_audit",)),
        "encryption": (encryption.encryption, ("manage_vault",)),
        "explain": (explain.explain, MODEL_ACTIONS),
        "knowledge": (knowledge.bases, KNOWLEDGE_ACTIONS),
        "documents": (knowledge.documents, KNOWLEDGE_ACTIONS),
        "document": (knowledge.document, KNOWLEDGE_ACTIONS),
        "passages": (knowledge.passages, ("ask",)),
        "memories": (memories.memories, ("read_contents",)),
    },
    "Mutation": {
        "publishFlow": (flows.publish_flow, ("manage_flows",)),
        "withdrawFlow": (flows.withdraw_flow, ("manage_flows",)),
        "startFlowRun": (flows.start_flow_run, ("ask",)),
        "cancelFlowRun": (flows.cancel_flow_run, ("ask",)),
        "resumeFlowRun": (flows.resume_flow_run, ("ask",)),
        "decide": (flows.decide, ("ask",)),
        "createKey": (keys.create_key, ("manage_keys",)),
        "rotateKey": (keys.rotate_key, ("manage_keys",)),
        "revokeKey": (keys.revoke_key, ("manage_keys",)),
        "inviteUser": (users.invite_user, ("manage_users",)),
        "withdrawInvitation": (users.withdraw_invitation, ("manage_users",)),
        "setRole": (users.set_role, ("manage_users",)),
        "disableUser": (users.disable_user, ("manage_users",)),
        "enableUser": (users.enable_user, ("manage_users",)),
        "signOut": (users.sign_out, ()),
        "createOrganization": (users.create_organization, ("found_organisations",)),
        "inviteOwner": (users.invite_owner, ("found_organisations",)),
        "releaseEmail": (users.release_email, ("found_organisations",)),
        "feedback": (quality.feedback, ("ask", "manage_policies")),
        "restorePolicy": (quality.restore_policy, ("manage_policies",)),
        "eraseRecords": (records.erase_records, ("erase_records",)),
        "forgetMemories": (memories.forget_memories, ("erase_records",)),
        "rotateEncryptionKeys": (encryption.rotate_encryption_keys, ("manage_vault",)),
        "setBudget": (budgets.set_budget, ("manage_budgets",)),
        "addDocument": (knowledge.add_document, ("manage_knowledge",)),
        "embedDocuments": (knowledge.embed_documents, ("manage_knowledge",)),
        "syncKnowledge": (knowledge.sync_knowledge, ("manage_knowledge",)),
        "approveDocument": (knowledge.approve_document, ("manage_knowledge",)),
        "removeDocument": (knowledge.remove_document, ("manage_knowledge",)),
        "removeKnowledge": (knowledge.remove_knowledge, ("manage_knowledge",)),
        "reload": (server_status.reload, ("manage_settings",)),
    },
    "Subscription": {
        "ask": (ask.ask, ("ask",)),
    },
}
"""Each is called with the RequestContext and the field's arguments in snake_case, for callers who have one of its
permissions on anything at all; the function itself checks the resource. Subscriptions return a stream of {field:
value}."""

EXTENSIONS: Sequence[GraphQLExtension] = load_extensions()


def _merged() -> Resolvers:
    extra = [each.resolvers for each in EXTENSIONS]
    return {
        name: dict(ChainMap(*(dict(each.get(name, {})) for each in extra), dict(own))) for name, own in BUILT_IN.items()
    }


RESOLVERS: Resolvers = MappingProxyType(_merged())
MODEL_CALLING_FIELDS = (
    "ask",
    "startFlowRun",
    "resumeFlowRun",
    "executeWorkflow",
    "executeAgent",
    "passages",
    "embedDocuments",
)
"""Fields that ask a model: cost.py counts them for more."""


def schema_text() -> str:
    return files("sizewise.graphql").joinpath("schema.graphql").read_text("utf-8")


def make_executable_schema() -> GraphQLSchema:
    schema = build_schema(schema_text())
    for name, resolvers in RESOLVERS.items():
        kind = schema.type_map[name]
        assert isinstance(kind, GraphQLObjectType)
        for field, (resolver, actions) in resolvers.items():
            if name == "Subscription":
                kind.fields[field].subscribe = _changing(field, resolver, actions)
            else:
                way = _changing if name == "Mutation" else _resolved
                kind.fields[field].resolve = way(field, resolver, actions)
            if field in MODEL_CALLING_FIELDS:
                kind.fields[field].extensions = {"asks": True}
            for argument, spec in kind.fields[field].args.items():
                spec.out_name = _snake(argument)
    for name, read in (
        ("Dollars", _pico),
        ("NonNegativeSafeInt", _whole),
        ("Timestamp", _whole),
        ("SafeInt", _integer),
    ):
        scalar = schema.type_map[name]
        assert isinstance(scalar, GraphQLScalarType)
        scalar.coerce_input_value = read
    files, given = schema.type_map["File"], schema.type_map["FileInput"]
    assert isinstance(files, GraphQLObjectType) and isinstance(given, GraphQLInputObjectType)
    files.fields["mediaType"].resolve = lambda source, info: source.get("media_type")
    given.fields["mediaType"].out_name = "media_type"
    return schema


def _resolved(field: str, resolver: Resolver, actions: tuple[str, ...]) -> Callable[..., object]:
    def resolve(_: object, info: GraphQLResolveInfo[RequestContext], **arguments: Any) -> object:
        info.context.require(*actions)
        return resolver(info.context, **arguments)

    return resolve


def _changing(field: str, resolver: Resolver, actions: tuple[str, ...]) -> Callable[..., object]:
    """What somebody tried to change and may not, or cannot see, stands in the audit trail too."""

    async def resolve(_: object, info: GraphQLResolveInfo[RequestContext], **arguments: Any) -> object:
        try:
            info.context.require(*actions)
            done = resolver(info.context, **arguments)
            return await done if isawaitable(done) else done
        except (Forbidden, PathNotFound) as error:
            thing = next((arguments[name] for name in ("id", "key", "scope", "user") if arguments.get(name)), "")
            await info.context.audit_refusal(field, str(thing), error.code)
            raise

    return resolve


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _pico(value: object) -> int:
    """Dollars as whole pico-dollars, exactly."""
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
