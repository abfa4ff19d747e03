"""A published flow, as others than its store see it."""

from __future__ import annotations

from msgspec import Struct


class PublishedFlow(Struct, frozen=True):
    """A flow published since `at` (unix ms). Runs that its triggers start have the publisher's permissions."""

    tenant: str
    project: str
    name: str
    version: str
    at: int
    key: str
    user: str
