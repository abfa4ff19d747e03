"""Settings of roles, browser sessions and OIDC sign-in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from sizewise.data_class import Place
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import local_path, name, reference, url


@dataclass(frozen=True, slots=True)
class RoleSettings:
    """A custom role, in addition to the built-in ones."""

    permissions: tuple[str, ...] = setting((), "[Permissions](roles.md); `read` and `manage` stand for several.")


@dataclass(frozen=True, slots=True)
class LoginSessionsSettings:
    """Lifetime of browser sessions."""

    idle_timeout_s: float = setting(
        3_600.0,
        "Idle timeout in seconds.",
        minimum=1,
        maximum=2_592_000,
    )
    max_age_s: float = setting(
        43_200.0,
        "Maximum age in seconds.",
        minimum=1,
        maximum=31_536_000,
    )
    redirect_path: str = setting("/", "Path to redirect to after sign-in.", validator=local_path)


@dataclass(frozen=True, slots=True)
class SignInSettings:
    """Second factors (TOTP) of users who sign in with a password. Identity providers ask for their own."""

    second_factor: Literal["off", "optional", "required"] = setting(
        "optional",
        "off: nobody can add one, and those that exist still count; required: users without one add it at their next "
        "sign-in, before anything else.",
    )
    second_factor_roles: tuple[str, ...] = setting(
        (), "Roles, in the organization or in a project, whose users need one even if `second_factor` is optional."
    )


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """An OpenID Connect provider for the users of one organization. Users must have been invited."""

    issuer: str = setting(
        "",
        "Issuer URL, as 'https://id.example.com'. The provider's metadata is discovered from it.",
        validator=url,
    )
    client_id: str = setting(
        "",
        "Client ID of this server. Its redirect URI is `<this server>/auth/oidc/NAME/callback`.",
    )
    client_secret: str = setting(
        "",
        "Client secret by reference, `env:NAME`, `file:PATH` or `exec:COMMAND`; empty: a public client.",
        validator=reference,
        secret=True,
    )
    place: Place = setting("anyone", "Where the provider runs. You declare it; `egress.internal` must allow it.")
    origins: tuple[str, ...] = setting(
        (),
        "Additional origins of the provider's endpoints, as 'https://oauth2.example.com'.",
        validator=url,
    )
    scopes: tuple[str, ...] = setting(("openid", "email", "profile"), "Requested scopes.")
    organization: str = setting("local", "Organization whose users sign in here.", validator=name)
    roles_claim: str = setting("groups", "Token claim that `roles` maps from.")
    roles: Mapping[str, str] = setting(
        MappingProxyType({}),
        "Claim values and the organization role each one grants; the first match wins, no match grants none. Empty: "
        "roles are managed in Sizewise only.",
    )
    title: str = setting("", "Label of the sign-in button; empty: NAME.")
