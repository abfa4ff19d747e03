"""Signatures of git hosts on their webhooks: GitHub, Gitea, Forgejo and GitLab; pure."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha256

HUB_SIGNATURE = "x-hub-signature-256"
"""GitHub; Gitea and Forgejo send it too: `sha256=` and the hex HMAC-SHA256 of the body."""
GITEA_SIGNATURE = "x-gitea-signature"
"""The hex alone."""
GITLAB_TOKEN = "x-gitlab-token"
"""The secret itself, which GitLab sends as it is."""


def is_signed(headers: Mapping[str, str], body: bytes, secrets: Iterable[str]) -> bool:
    """Whether one of the signatures is by one of `secrets`. `headers`: names in lower case."""
    hub = headers.get(HUB_SIGNATURE, "").removeprefix("sha256=")
    given = [each for each in (hub, headers.get(GITEA_SIGNATURE, "")) if each]
    token = headers.get(GITLAB_TOKEN, "")
    fits = False
    for secret in secrets:
        wanted = hmac.new(secret.encode(), body, sha256).hexdigest()
        for each in given:
            fits |= hmac.compare_digest(each.lower().encode("utf-8", "replace"), wanted.encode())
        fits |= bool(token) and hmac.compare_digest(token.encode("utf-8", "replace"), secret.encode())
    return fits
