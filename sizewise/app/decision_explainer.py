"""Decision explainer: the routing decision that a request would get, with exact counts near windows; calls no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import strftime

from msgspec.structs import replace

from sizewise.app.prompt_counter import PromptCounter
from sizewise.app.resources import Resources
from sizewise.app.routing_config import build_data_policy, build_session_affinity
from sizewise.guardrails.pipeline import GuardrailPipeline
from sizewise.handler import Request
from sizewise.providers.connections import ModelConnections
from sizewise.routing.constraints import HealthCheck
from sizewise.routing.conversation_window import MaskWhole, compact_until, unmasked
from sizewise.routing.data_policy import DataPolicy
from sizewise.routing.deadlines import Forecaster
from sizewise.routing.explain import RoutingDecision, explain
from sizewise.routing.learned_judge import CertificateModels
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.quality_prediction import QualityPrediction
from sizewise.routing.requirements import requirements_of
from sizewise.routing.session_affinity import SessionAffinity
from sizewise.routing.strongest_fallback import DistrustCheck
from sizewise.settings.load import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionExplainer:
    """The parts of one application's router. `check`: the request as the guardrails let it through."""

    check: Callable[[Request], Request]
    aliases: ModelAliases
    health_check: HealthCheck
    data_policy: DataPolicy
    affinity: SessionAffinity
    prediction: QualityPrediction | None
    certificate_models: Mapping[str, CertificateModels]
    distrust_check: DistrustCheck | None
    forecaster: Forecaster
    counter: PromptCounter
    compaction: bool = False
    mask: MaskWhole = unmasked

    async def __call__(self, request: Request) -> RoutingDecision:
        """Raises ModelNotFound, GuardrailBlocked."""
        request = self.check(request)
        if not self.compaction:
            return self.unchecked(request, await self.counter.near_window(request))
        decision = await self._with_room(request)
        if not decision.error:
            return decision
        small = {each.model for each in decision.candidates if each.too_long}
        plan = self.aliases(request.payload, request.options.policy)
        needed = requirements_of(request, self.data_policy, plan.policy_name)
        needed = replace(needed, counts=await self.counter.near_window(request))

        async def assess(shorter: Request) -> Request | None:
            return None if (await self._with_room(shorter)).error else shorter

        cards = [card for card in plan.cards if card.name in small]
        done = await compact_until(request, needed, cards, assess, self.mask)
        if done is None:
            return self.unchecked(request, needed.counts)
        return await self._with_room(done[1], done[0].sentence)

    async def _with_room(self, request: Request, compacted: str = "") -> RoutingDecision:
        counts = await self.counter.near_window(request)
        return self.unchecked(request, counts, compacted=compacted, keeps_room=True)

    def unchecked(
        self, request: Request, counts: Mapping[str, int], *, compacted: str = "", keeps_room: bool = False
    ) -> RoutingDecision:
        """As a call, of a request that the guardrails will check when it is sent. `counts`: exact prompt tokens."""
        return explain(
            request,
            self.aliases,
            self.health_check,
            self.data_policy,
            self.affinity,
            self.prediction,
            self.certificate_models,
            self.distrust_check,
            self.forecaster,
            counts=counts,
            today=strftime("%Y-%m-%d"),
            compacted=compacted,
            keeps_room=keeps_room,
        )


def build_explainer(
    settings: Settings,
    resources: Resources,
    *,
    connections: ModelConnections,
    guardrails: GuardrailPipeline,
    aliases: ModelAliases,
    prediction: QualityPrediction | None,
    certificate_models: Mapping[str, CertificateModels],
    distrust_check: DistrustCheck | None,
) -> DecisionExplainer:
    data_policy = build_data_policy(settings)
    return DecisionExplainer(
        check=guardrails.check,
        aliases=aliases,
        health_check=connections.unavailable_reason,
        data_policy=data_policy,
        affinity=build_session_affinity(settings, resources.routing_sessions),
        prediction=prediction,
        certificate_models=certificate_models,
        distrust_check=distrust_check,
        forecaster=Forecaster(resources.model_paces, connections.queue),
        counter=PromptCounter(connections, guardrails, aliases, data_policy),
        compaction=settings.router.compaction,
        mask=guardrails.masking_connector.masked_whole,
    )
