"""The signed offer of a release to edges, and the archive that it names; pure.

An offer says what an environment answers with since when, and by which bytes: whoever can change the network can change
neither, nor bring an older one again.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256
from typing import Literal

import msgspec
from msgspec import Struct

from sizewise.ed25519 import has_signed
from sizewise.errors import BadRequest
from sizewise.releases.manifest import Release, canonical

MAX_ARCHIVE_BYTES = 64 * 1024 * 1024
FORMAT = 1


class Offer(Struct, frozen=True):
    """`since`: unix ms. `bytes`, `sha256`: of the archive."""

    environment: str
    release: str
    since: int
    bytes: int
    sha256: str
    kind: Literal["sizewise.release"] = "sizewise.release"
    format: int = FORMAT


class SignedOffer(Struct, frozen=True):
    """`statement`: the JSON of an offer. `signature`, and the public `key` that made it: Base64."""

    statement: str
    signature: str
    key: str


def pack_release(release: Release) -> bytes:
    """Raises BadRequest."""
    archive = canonical(release)
    if len(archive) > MAX_ARCHIVE_BYTES:
        raise BadRequest(
            f"the release {release.manifest.hash[:12]} has {len(archive):,} bytes, too many for an edge",
            f"an edge takes {MAX_ARCHIVE_BYTES:,}",
        )
    return archive


def unpack_release(archive: bytes, offer: Offer) -> Release:
    """Raises BadRequest unless it is what was offered."""
    hint = "it is fetched again; look at what lies between this machine and the gateway"
    if len(archive) != offer.bytes or sha256(archive).hexdigest() != offer.sha256:
        raise BadRequest(f"the release {offer.release[:12]} came with other bytes than were signed", hint)
    try:
        release = msgspec.json.decode(archive, type=Release)
    except msgspec.DecodeError as error:
        raise BadRequest(f"the release {offer.release[:12]} cannot be read: {error}", "update this machine") from error
    if release.manifest.hash != offer.release:
        raise BadRequest(f"the release {offer.release[:12]} is another one than was signed", hint)
    return release


def read_offer(signed: SignedOffer, trusted: bytes, environment: str) -> Offer:
    """`trusted`: the public key. `environment`: whose releases are wanted; empty: any. Raises BadRequest."""
    try:
        signature = base64.b64decode(signed.signature, validate=True)
    except binascii.Error:
        signature = b""
    if not has_signed(trusted, signed.statement.encode(), signature):
        raise BadRequest(
            "the release that is offered is not signed by the key in `release_key` of [edge]",
            "nothing was changed; look at what lies between this machine and the gateway",
        )
    try:
        offer = msgspec.json.decode(signed.statement, type=Offer)
    except msgspec.DecodeError as error:
        raise BadRequest(f"the release that is offered cannot be read: {error}", "update this machine") from error
    if offer.format != FORMAT or not 0 < offer.bytes <= MAX_ARCHIVE_BYTES:
        raise BadRequest(f"the release {offer.release[:12]} has a format of another version", "update this machine")
    if environment and offer.environment != environment:
        raise BadRequest(
            f"the release {offer.release[:12]} is offered for {offer.environment!r}, and this machine belongs to "
            f"{environment!r}",
            "nothing was changed; look at the environment of its key at the gateway, or run sizewise edge join again",
        )
    return offer
