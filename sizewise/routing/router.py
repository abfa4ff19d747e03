"""Router: the handler that routes a request directly to one model or through the moves of a policy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from time import perf_counter, strftime

import msgspec

from sizewise.data_class import DATA_CLASSES, DataClass
from sizewise.deadline import Deadline
from sizewise.handler import NO_OPTIONS, ConnectModel, Request, RequestOptions, Send
from sizewise.messages import ChatRequest, EmbeddingRequest, Reply
from sizewise.model_card import ModelCard
from sizewise.routing.admission import check_key_policies, no_model_error
from sizewise.routing.assessment import Assessor
from sizewise.routing.attempt_limits import NO_ATTEMPT_LIMITS, AttemptLimits
from sizewise.routing.attempt_runner import AttemptRunner
from sizewise.routing.client_reply import ClientReply
from sizewise.routing.constraints import HealthCheck
from sizewise.routing.conversation_window import MaskWhole, may_exceed, unmasked
from sizewise.routing.data_policy import DataPolicy, DataPolicyDecision
from sizewise.routing.deadlines import Forecaster
from sizewise.routing.degraded import network_replacement_reason
from sizewise.routing.direct_route import direct_prompt_tokens
from sizewise.routing.executor import PolicyExecution, begin_attempt, report_attempts
from sizewise.routing.freshness import question_time
from sizewise.routing.learned_judge import CertificateModels
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.move_reason import ReasonedPolicy
from sizewise.routing.observation import Observation, observe
from sizewise.routing.pace import ModelPaces
from sizewise.routing.policy import Attempt, Candidate, Judge
from sizewise.routing.prompt_count import CountPrompts, no_prompt_counts
from sizewise.routing.quality_prediction import QualityPrediction
from sizewise.routing.rejection import with_exclusions
from sizewise.routing.request_rewrite import mark_degraded
from sizewise.routing.requirements import expected_cost, requirements_of
from sizewise.routing.session_affinity import SessionAffinity
from sizewise.routing.strongest_fallback import DistrustCheck, with_strongest_fallback
from sizewise.routing.structured_output import OutputSchema
from sizewise.routing.text.time_references import NO_REFERENCE, TimeReference


def always_healthy(card: ModelCard) -> str:
    """The default HealthCheck: every model is available."""
    return ""


class Router:
    """A handler that routes to other handlers. `plan` resolves the requested model to a RoutePlan, `connect` returns
    the handler of a card.

    `data_policy`: how far data may go. `affinity`: sticky sessions; None: none. `prediction`: predicted quality per
    model, for policies; `certificate_models` replaces it, and the judge, for the policy of its name. `observer`
    receives every chat that a policy answered; it must not wait. `distrust_check` returns why a policy is not trusted:
    the strongest model then answers. `forecaster`: predicts times, and measures paces. `count_prompts`: exact tokens of
    prompts, where tokenizers are here. `compaction`: older turns may become excerpts, of what `mask` leaves.
    """

    __slots__ = (
        "_affinity",
        "_assessor",
        "_connect",
        "_data_policy",
        "_distrust_check",
        "_forecaster",
        "_health_check",
        "_judge",
        "_limits",
        "_observer",
        "_plan",
        "_total_timeout",
    )

    def __init__(
        self,
        *,
        plan: Callable[[ChatRequest | EmbeddingRequest, str | None], RoutePlan],
        connect: ConnectModel,
        judge: Judge,
        health_check: HealthCheck = always_healthy,
        data_policy: DataPolicy | None = None,
        affinity: SessionAffinity | None = None,
        limits: AttemptLimits = NO_ATTEMPT_LIMITS,
        prediction: QualityPrediction | None = None,
        certificate_models: Mapping[str, CertificateModels] | None = None,
        observer: Callable[[Observation], None] | None = None,
        distrust_check: DistrustCheck | None = None,
        forecaster: Forecaster | None = None,
        count_prompts: CountPrompts = no_prompt_counts,
        compaction: bool = False,
        mask: MaskWhole = unmasked,
    ) -> None:
        self._plan = plan
        self._forecaster = forecaster or Forecaster(ModelPaces())
        self._observer = observer
        self._distrust_check = distrust_check
        self._connect = connect
        self._judge = judge
        self._health_check = health_check
        self._data_policy = data_policy or DataPolicy()
        self._affinity = affinity
        self._limits = limits
        self._assessor = Assessor(
            data_policy=self._data_policy,
            prediction=prediction,
            certificate_models=certificate_models or {},
            health_check=health_check,
            forecaster=self._forecaster,
            count_prompts=count_prompts,
            compaction=compaction,
            mask=mask,
        )
        self._total_timeout = Deadline(limits.timeout_s)

    def __call__(self, request: Request, send: Send) -> Coroutine[object, object, Reply]:
        """Raises the errors of `plan` and `check_key_policies` here, before there is anything to await."""
        plan = self._plan(request.payload, request.options.policy)
        if (card := plan.direct_card) is not None:
            allowed = self._data_policy.decide(request, plan.policy_name)
            prompt = direct_prompt_tokens(request, plan, card, allowed, self._health_check)
            if prompt and not (self._assessor.compaction and may_exceed(card, request.payload, prompt)):
                return self._direct(with_data_decision(request, allowed), send, plan, card, allowed, prompt)
        check_key_policies(request, plan)
        return self._by_policy(request, send, plan)

    async def _direct(
        self,
        request: Request,
        send: Send,
        plan: RoutePlan,
        card: ModelCard,
        data_decision: DataPolicyDecision,
        prompt_tokens: int,
    ) -> Reply:
        """The first move of every policy with one model, without running the policy; a failure continues with it."""
        when, today = _asked_time(request, plan)
        given = ClientReply(send, plan.policy_name, prompt_tokens, data_decision, asked_time=when, today=today)
        asking = self._attempt_runner(request, given, None)
        one = begin_attempt(card, plan.why, given, request)
        reply: Reply | None = None
        left = False
        try:
            await asking(one, Attempt(card, plan.why))
            if one.error is None:
                reply = await given.deliver(one, plan.why)
        except asyncio.CancelledError:
            left = True
            raise
        finally:
            if one.error is None:
                await report_attempts(given, left, self._forecaster.paces)
        if reply is not None:
            return reply
        needed = requirements_of(request, self._data_policy, plan.policy_name)
        candidates = (Candidate(card, expected_cost(card, needed.features), card.quality),)
        forecast = self._forecaster.for_request(request, perf_counter())
        return await PolicyExecution(
            judge=self._judge,
            plan=plan,
            requirements=needed,
            candidates=candidates,
            request=request,
            client_reply=given,
            runner=asking,
            limits=self._limits,
            forecast=forecast,
        ).run(one)

    async def _by_policy(self, request: Request, send: Send, plan: RoutePlan) -> Reply:
        seen, mind = await self._assessor(request, plan, perf_counter()), self._assessor.certificate(plan)
        request, needed, candidates, against = seen.request, seen.requirements, seen.candidates, seen.rejections
        if not candidates:
            raise no_model_error(plan, against, self._limits.retry_after, self._limits.refusal_status)
        request = with_data_decision(request, needed.data_decision)
        turn = None if self._affinity is None else self._affinity.for_request(request)
        why = "" if self._distrust_check is None else self._distrust_check(request.principal.tenant, plan.policy_name)
        if why:
            plan = with_strongest_fallback(plan, why)
        elif turn is not None:
            plan = turn.apply(plan, against)
        plan = with_exclusions(plan, against, alone=len(candidates) == 1 and turn is None)
        if seen.compacted:
            plan = replace(plan, policy=ReasonedPolicy(plan.policy, seen.compacted))
        judge = self._judge if mind is None else mind.judge
        when, today = _asked_time(request, plan)
        given = ClientReply(
            send,
            plan.policy_name,
            needed.features.prompt_tokens,
            needed.data_decision,
            asked_time=when,
            today=today,
            compacted=seen.compacted,
        )
        asking = self._attempt_runner(request, given, needed.output_schema)
        reply = await PolicyExecution(
            judge=judge,
            plan=plan,
            requirements=needed,
            candidates=candidates,
            request=request,
            client_reply=given,
            runner=asking,
            limits=self._limits,
            forecast=seen.forecast,
        ).run()
        why = network_replacement_reason(plan, needed, candidates, against, given.attempts, given.delivered)
        if why and not reply.degraded:
            reply = mark_degraded(reply, why)
        if turn is not None:
            turn.record(given, reply)
        if self._observer is not None and not plan.is_exact and isinstance(request.payload, ChatRequest):
            self._observer(observe(request, plan.policy_name, candidates, given, reply))
        return reply

    def _attempt_runner(
        self,
        request: Request,
        client_reply: ClientReply,
        output_schema: OutputSchema | None,
    ) -> AttemptRunner:
        wished, total_s = request.options.max_latency_ms, self._limits.timeout_s
        until = request.started_at + (total_s if wished is None else min(total_s, wished / 1000))
        return AttemptRunner(
            connect=self._connect,
            request=request,
            client_reply=client_reply,
            output_schema=output_schema,
            total_timeout=self._total_timeout,
            deadline=until,
            spend_limiter=self._limits.spend_limiter,
        )


def _asked_time(request: Request, plan: RoutePlan) -> tuple[TimeReference, str]:
    """The time that the question is about, and today's date if it is about any: reading the clock takes longer."""
    when = NO_REFERENCE if plan.names_model else question_time(request.payload)
    return when, "" if when is NO_REFERENCE else strftime("%Y-%m-%d")


CLASS_ONLY_OPTIONS: Mapping[DataClass, RequestOptions] = {
    each: RequestOptions(data_class=each) for each in DATA_CLASSES
}
"""Options of a request that set none, once its data class is known."""


def with_data_decision(request: Request, data_decision: DataPolicyDecision) -> Request:
    """`request` as it is sent to a model: with its data class and the furthest place it may reach."""
    options, found = request.options, data_decision.data_class
    if options is NO_OPTIONS:
        options = CLASS_ONLY_OPTIONS[found]
    elif options.data_class != found:
        options = msgspec.structs.replace(options, data_class=found)
    return msgspec.structs.replace(request, options=options, reach=data_decision.limit)
