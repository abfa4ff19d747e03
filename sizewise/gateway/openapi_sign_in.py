"""The part of the OpenAPI document for /auth: sign-in, links, sessions and second factors; serves nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from sizewise.auth.second_factor import Enrollment
from sizewise.gateway.second_factor import EnrollmentCode, EnrollmentStart, FactorProof, FactorState, RecoveryCodes
from sizewise.gateway.signin import AcceptInvitation, PasswordChange, ProjectSwitch, SignIn, SignInSession
from sizewise.gateway.signin_link import CreatedLink, LinkRedemption, LinkRequest

Json = Mapping[str, Any]

SESSION_SECURITY: Sequence[Json] = ({"session": []},)
SIGN_IN_TYPES: tuple[type[Struct], ...] = (
    *(SignIn, AcceptInvitation, PasswordChange, ProjectSwitch, SignInSession),
    *(LinkRequest, LinkRedemption, CreatedLink),
    *(EnrollmentStart, EnrollmentCode, FactorProof, Enrollment, FactorState, RecoveryCodes),
)
"""Their schemas are made from them."""


def sign_in_paths(operation: Callable[..., Json]) -> Json:
    """`operation` as in openapi.py."""
    coming = partial(operation, tags=("write",), key=False)
    seen = partial(operation, secured=SESSION_SECURITY)
    changed = partial(operation, tags=("write",), secured=SESSION_SECURITY)
    factor, codes = "/auth/second-factor", "RecoveryCodes"
    return {
        "/auth/sign-in": {"post": coming("signIn", "Sign in with a password", "SignInSession", body="SignIn")},
        "/auth/invitation": {"post": coming("acceptInvitation", "Join", "SignInSession", body="AcceptInvitation")},
        "/auth/sign-out": {"post": coming("signOut", "Sign out", "SignOut")},
        "/auth/link": {
            "post": operation(
                "createSignInLink", "Create a sign-in link", "CreatedLink", body="LinkRequest", tags=("write",)
            ),
        },
        "/auth/link/redeem": {
            "post": coming("redeemLink", "Sign in by a link", "SignInSession", body="LinkRedemption"),
        },
        "/auth/password": {
            "post": changed("changePassword", "Change your password", "SignInSession", body="PasswordChange"),
        },
        "/auth/session": {
            "get": seen("getSession", "Get the current session", "SignInSession"),
            "post": changed("switchProject", "Switch to another project", "SignInSession", body="ProjectSwitch"),
        },
        factor: {
            "get": seen("getSecondFactor", "Whether you have a second factor", "FactorState"),
            "post": changed("beginSecondFactor", "Begin to add one", "Enrollment", body="EnrollmentStart"),
        },
        f"{factor}/confirm": {
            "post": changed("confirmSecondFactor", "Turn it on by a code", codes, body="EnrollmentCode"),
        },
        f"{factor}/recovery-codes": {
            "post": changed("newRecoveryCodes", "Replace the recovery codes", codes, body="FactorProof"),
        },
        f"{factor}/remove": {"post": changed("removeSecondFactor", "Remove it", "FactorState", body="FactorProof")},
    }
