"""Settings of roles, browser sessions and OIDC sign-in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sizewise.data_class import Place
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import local_path, name, reference, url


@dataclass(frozen=True, slots=True)
class RoleSettings:
    """A role of your own, beside those that are always there."""

    permissions: tuple[str, ...] = setting((), "[Actions](roles.md), or `read` and `manage` for many of them.")


@dataclass(frozen=True, slots=True)
class SessionsSettings:
    """How long people stay signed in in a browser."""

    idle_timeout_s: float = setting(
        3_600.0,
        "Seconds without a request after which one is signed out.",
        minimum=1,
        maximum=2_592_000,
    )
    max_age_s: float = setting(
        43_200.0,
        "Seconds after which one is, whatever was done.",
        minimum=1,
        maximum=31_536_000,
    )
    redirect_path: str = setting("/", "The path to which one comes after signing in.", validator=local_path)


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """An OpenID Connect provider by which users of one organization sign in; only those who were invited."""

    issuer: str = setting(
        "",
        "Its issuer, as 'https://id.example.com'. What it says of itself is fetched.",
        validator=url,
    )
    client_id: str = setting(
        "",
        "What this server is called there. `<this server>/auth/oidc/NAME/callback` is its redirect.",
    )
    client_secret: str = setting(
        "",
        "By reference, `env:NAME` or `file:PATH`; empty: a public client.",
        validator=reference,
        secret=True,
    )
    place: Place = setting("anyone", "Where it runs. Declared by you; internal data must be allowed to reach it.")
    origins: tuple[str, ...] = setting(
        (),
        "Further origins where it has its endpoints, as 'https://oauth2.example.com'.",
        validator=url,
    )
    scopes: tuple[str, ...] = setting(("openid", "email", "profile"), "What is asked for.")
    organization: str = setting("local", "The organization whose users it authenticates.", validator=name)
    roles_claim: str = setting("groups", "The claim of its tokens in which `roles` are looked up.")
    roles: Mapping[str, str] = setting(
        MappingProxyType({}),
        "A value of that claim and the role it gives in the organization, the first that fits; else none. "
        "Empty: roles are given here alone.",
    )
    title: str = setting("", "What stands on its button; empty: NAME.")
