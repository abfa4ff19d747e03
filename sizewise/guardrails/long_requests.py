"""Guardrails of long requests: sends them to a worker process and applies what it found; scans nothing itself.

Guards are regular expressions and loops in Python. On megabytes they take seconds, during which the event loop would
answer no other request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from sizewise.guardrails import offloaded
from sizewise.guardrails.base import Finding, Guard, GuardConfig
from sizewise.guardrails.data_leakage import DataLeakageGuard
from sizewise.guardrails.middleware import GuardrailRules, request_texts, with_scan
from sizewise.guardrails.output_filter import FindingCounts, reply_texts
from sizewise.guardrails.payload_parts import Payload, to_parts
from sizewise.guardrails.pseudonymization import MaskedScan, Unmasker, with_fields
from sizewise.guardrails.untrusted_content import ContentMarkers
from sizewise.handler import GuardrailScan, Request, Spotlighting
from sizewise.messages import ChatRequest, Reply, request_size
from sizewise.offload.offload import LONG_BYTES, Offload


@dataclass(frozen=True, slots=True)
class LongRequests:
    """`config` is what the guards of these settings were made from."""

    offload: Offload
    config: GuardConfig

    def is_long(self, payload: Payload) -> bool:
        return request_size(payload) >= LONG_BYTES

    async def stream_guard(self, guard: DataLeakageGuard, chat: ChatRequest, system: str, own_canary: str) -> Guard:
        """The guard for a streamed reply, piece by piece, with the texts of its request at hand."""
        texts = await self.offload.in_thread(request_texts, chat)
        return await self.offload.in_thread(guard.for_request, system, lambda: texts, own_canary)

    async def scan(self, request: Request, rules: GuardrailRules) -> tuple[Request, FindingCounts]:
        """As `scan_request`. Raises BadBody, Busy, ExternalFailure."""
        setup = offloaded.ScanSetup(
            config=self.config,
            active=tuple(name for name, _ in rules.active),
            origin_aware=tuple(name for name, _ in rules.origin_aware),
            masking=rules.masking_guards,
            suspect_origins=rules.suspect_origins,
        )
        if not setup.active and not setup.origin_aware:
            return replace(request, scan=GuardrailScan(request.payload, rules.masking_guards, True)), {}
        said, *raws = await self.offload.in_process(
            offloaded.request_scanner, msgspec.msgpack.encode(setup), *to_parts(request.payload)
        )
        result = msgspec.msgpack.decode(said, type=offloaded.ScanResult)
        counts = {(name, kind): count for name, kind, count in result.counts}
        scan = GuardrailScan(request.payload, rules.masking_guards, result.masked is None)
        if result.masked is not None:
            masked, unmasker = await self._masked(request.payload, result.masked, raws)
            scan = MaskedScan(
                payload=request.payload,
                masking_guardrails=rules.masking_guards,
                clean=False,
                masked=masked,
                unmasker=unmasker,
            )
        return with_scan(request, scan, counts, rules), counts

    async def mask(self, payload: Payload, guards: tuple[str, ...]) -> tuple[Payload, Unmasker | None]:
        """As `pseudonymize`, for a request that has not been scanned."""
        setup = offloaded.ScanSetup(self.config, guards)
        found = await self.offload.in_process(
            offloaded.request_masker, msgspec.msgpack.encode(setup), *to_parts(payload)
        )
        if not found:
            return payload, None
        return await self._masked(payload, msgspec.msgpack.decode(found[0], type=offloaded.Masked), found[1:])

    async def _masked(self, payload: Payload, masked: offloaded.Masked, raws: list[bytes]) -> tuple[Payload, Unmasker]:
        fields = {**payload.fields, **{name: Raw(raw) for name, raw in zip(masked.names, raws, strict=True)}}
        counts = Counter({(name, kind): count for name, kind, count in masked.counts})
        return await self.offload.in_thread(with_fields, payload, fields), Unmasker(masked.values, counts)

    async def mark(self, payload: Payload, spotlighting: Spotlighting) -> tuple[Payload, ContentMarkers | None]:
        """As `apply_spotlighting`."""
        job = msgspec.msgpack.encode(spotlighting)  # no setup, which workers keep: its canary is of this request
        said, *raws = await self.offload.in_process(offloaded.request_marker, b"", job, *to_parts(payload))
        result = msgspec.msgpack.decode(said, type=offloaded.Marked)
        if not result.names:
            return payload, result.markers
        fields = {**payload.fields, **{name: Raw(raw) for name, raw in zip(result.names, raws, strict=True)}}
        return await self.offload.in_thread(with_fields, payload, fields), result.markers

    async def leaks(self, request: Request, reply: Reply, system: str, own_canary: str) -> Mapping[str, list[Finding]]:
        """The leaks in each text of a reply."""
        texts = reply_texts(reply)
        job = await self.offload.in_thread(msgspec.msgpack.encode, offloaded.LeakJob(system, own_canary, texts))
        (found,) = await self.offload.in_process(
            offloaded.leak_finder,
            msgspec.msgpack.encode(offloaded.LeakSetup(self.config.canaries)),
            job,
            *to_parts(request.payload),
        )
        return dict(zip(texts, offloaded.decode_findings(found), strict=True))
