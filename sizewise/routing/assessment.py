"""Assessment: what a request needs and who may answer it, compacted where no window holds it. Calls no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from sizewise.handler import Request
from sizewise.messages import ChatRequest
from sizewise.routing.constraints import HealthCheck, eligible_models
from sizewise.routing.context_fit import too_long_for
from sizewise.routing.conversation_window import MaskWhole, compact_until, unmasked
from sizewise.routing.data_policy import DataPolicy
from sizewise.routing.deadlines import Forecaster, TimeForecast, with_time_left
from sizewise.routing.learned_judge import CertificateModels
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.policy import Candidates
from sizewise.routing.prompt_count import CountPrompts, models_near_window
from sizewise.routing.quality_prediction import QualityPrediction
from sizewise.routing.rejection import Rejection
from sizewise.routing.requirements import Requirements, requirements_of
from sizewise.routing.structured_output import OutputSchemaCache


class Assessment(Struct, frozen=True):
    """`request` is as it will be sent; `compacted`: which of its turns became excerpts, in one sentence."""

    request: Request
    requirements: Requirements
    forecast: TimeForecast
    candidates: Candidates
    rejections: tuple[Rejection, ...]
    compacted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessor:
    """The parts of a router that assess requests. `compaction`: older turns may become excerpts."""

    data_policy: DataPolicy
    prediction: QualityPrediction | None
    certificate_models: Mapping[str, CertificateModels]
    health_check: HealthCheck
    forecaster: Forecaster
    count_prompts: CountPrompts
    compaction: bool
    mask: MaskWhole = unmasked
    schemas: OutputSchemaCache = field(default_factory=OutputSchemaCache)

    async def __call__(self, request: Request, plan: RoutePlan, now: float) -> Assessment:
        """`now`: time.perf_counter()."""
        seen = await self._assess(request, plan, now, self.compaction)
        if seen.candidates or not self.compaction:
            return seen

        async def assess(shorter: Request) -> Assessment | None:
            found = await self._assess(shorter, plan, now, True)
            return found if found.candidates else None

        done = await compact_until(request, seen.requirements, too_long_for(seen.rejections), assess, self.mask)
        if done is None:
            return await self._assess(request, plan, now, False)
        return replace(done[1], compacted=done[0].sentence)

    def certificate(self, plan: RoutePlan) -> CertificateModels | None:
        """What replaces prediction and judge for this plan."""
        return None if plan.is_exact else self.certificate_models.get(plan.policy_name)

    async def _assess(self, request: Request, plan: RoutePlan, now: float, keeps_room: bool) -> Assessment:
        needed = requirements_of(request, self.data_policy, plan.policy_name)
        foresight = self.certificate(plan) or self.prediction
        if foresight is not None and not plan.is_exact:
            needed = foresight(needed, request.payload)
        if isinstance(request.payload, ChatRequest) and request.payload.schema:
            needed = replace(needed, output_schema=self.schemas(request.payload))
        forecast = self.forecaster.for_request(request, now)
        if forecast.left_s is not None:
            needed = replace(needed, features=with_time_left(needed.features, forecast))
        if keeps_room:
            needed = replace(needed, keeps_room=True)
        if (keeps_room or not plan.is_exact) and (near := models_near_window(plan, needed)):
            needed = replace(needed, counts=await self.count_prompts(near, request))
        return Assessment(request, needed, forecast, *eligible_models(plan, needed, self.health_check, forecast))
