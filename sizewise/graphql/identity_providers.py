"""Fields of OpenID Connect providers: the mapping of their groups to roles, and what it would give; signs no one in."""

from __future__ import annotations

from sizewise.auth.oidc import MappedRole, OidcProvider, mapped_role
from sizewise.errors import PathNotFound
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues


async def identity_providers(context: RequestContext) -> list[FieldValues]:
    """Those whose users belong to the caller's organization."""
    context.require_all_projects("read_users")
    last = await context.services.users.last_sign_ins(context.principal.tenant)
    return [
        {
            "name": name,
            "title": each.settings.title,
            "issuer": each.settings.issuer,
            "rolesClaim": each.settings.roles_claim,
            "mapping": [_mapped(MappedRole(role, value)) for value, role in each.settings.roles.items()],
            "callbackPath": f"/auth/oidc/{name}/callback",
            "lastSignIn": last.get(f"oidc:{name}"),
        }
        for name, each in _providers(context).items()
    ]


async def preview_role(context: RequestContext, provider: str, values: list[str]) -> FieldValues | None:
    """Raises PathNotFound."""
    context.require_all_projects("read_users")
    if provider not in _providers(context):
        raise PathNotFound(f"there is no identity provider {provider[:100]!r}", "`identityProviders` lists them")
    found = mapped_role(_providers(context)[provider].settings.roles, values)
    return _mapped(found) if found else None


def _providers(context: RequestContext) -> dict[str, OidcProvider]:
    known, tenant = context.services.users.relying_party.providers, context.principal.tenant
    return {name: each for name, each in known.items() if each.settings.organization == tenant}


def _mapped(found: MappedRole) -> FieldValues:
    return {"value": found.value, "role": found.role}
