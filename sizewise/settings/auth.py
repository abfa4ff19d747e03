"""Who may sign in and what roles they have; knows no user."""
# ruff: noqa: RUF009 - `setting` makes a field, it is not a default computed once by mistake

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sizewise.data_class import Place
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import name, place_on_site, reference, url


@dataclass(frozen=True, slots=True)
class Role:
    """A role of your own, beside those that are always there."""

    permissions: tuple[str, ...] = setting((), "[Actions](roles.md), or `read` and `manage` for many of them.")


@dataclass(frozen=True, slots=True)
class Sessions:
    """How long people stay signed in in a browser."""

    idle_timeout_s: float = setting(
        3_600.0, "Seconds without a request after which one is signed out.", least=1, most=2_592_000
    )
    max_age_s: float = setting(43_200.0, "Seconds after which one is, whatever was done.", least=1, most=31_536_000)
    redirect_path: str = setting("/", "The path to which one comes after signing in.", check=place_on_site)


@dataclass(frozen=True, slots=True)
class Oidc:
    """An OpenID Connect provider by which users of one organization sign in; only those who were invited."""

    issuer: str = setting("", "Its issuer, as 'https://id.example.com'. What it says of itself is fetched.", check=url)
    client_id: str = setting(
        "", "What this server is called there. `<this server>/auth/oidc/NAME/callback` is its redirect."
    )
    client_secret: str = setting(
        "", "By reference, `env:NAME` or `file:PATH`; empty: a public client.", check=reference, hidden=True
    )
    place: Place = setting("anyone", "Where it runs. Declared by you; internal data must be allowed to reach it.")
    origins: tuple[str, ...] = setting(
        (), "Further origins where it has its endpoints, as 'https://oauth2.example.com'.", check=url
    )
    scopes: tuple[str, ...] = setting(("openid", "email", "profile"), "What is asked for.")
    organization: str = setting("local", "The organization whose users it authenticates.", check=name)
    roles_claim: str = setting("groups", "The claim of its tokens in which `roles` are looked up.")
    roles: Mapping[str, str] = setting(
        MappingProxyType({}),
        "A value of that claim and the role it gives in the organization, the first that fits; else none. "
        "Empty: roles are given here alone.",
    )
    title: str = setting("", "What stands on its button; empty: NAME.")
