"""Settings of routing: model aliases, policies, projects, egress, model sizes and shadow comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sizewise.data_class import DataClass, Place
from sizewise.model_card import DEFAULT_SIZE_THRESHOLDS, SizeThresholds
from sizewise.money import parse_micro_dollars
from sizewise.settings.guardrails import PolicyGuardrailMode, guardrail_name, tool_pattern
from sizewise.settings.toml_reader import extra_keys, setting
from sizewise.settings.validators import Online, data_class, dollar_amount, optional_model
from sizewise.settings.web_search import WebSearchGrant


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """The default policy, model aliases, session affinity and the learned predictor."""

    policy: str = setting("default", "Policy of the model name `auto`: a name under [policies].")
    small: str = setting("", "Model of the alias `small`; empty: the smallest one.", validator=optional_model)
    large: str = setting("", "Model of the alias `large`; empty: the best one.", validator=optional_model)
    alias: Mapping[str, str] = setting(
        MappingProxyType({}),
        'More names for `model`, as `{"their-name" = "local/my-model"}`: to a model, a role or `auto:POLICY`.',
    )
    predictor: str = setting(
        "", "Predictor file written by `sizewise route train -o`, relative to this file; empty: none."
    )
    data_class: DataClass = setting(
        "internal", "Data class of requests that set none. A request can only set a stricter one."
    )
    compaction: bool = setting(
        False,
        "Shorten older turns of a conversation that no context window holds, marked in prompt and answer.",
    )
    timeout_s: float = setting(
        600.0, "Timeout of a whole request, with all attempts and retries, in seconds.", minimum=0.001, maximum=86_400
    )
    session_ttl_s: float = setting(
        3_600.0,
        "Idle time in seconds after which a session's model affinity expires; 0 turns it off.",
        minimum=0,
        maximum=604_800,
    )
    switch_cost_usd: str = setting(
        "0",
        "Estimated loss in dollars of a session's reasoning and tool history when it switches models.",
        validator=dollar_amount,
    )

    @property
    def switch_cost(self) -> int:
        """In pico-dollars."""
        return parse_micro_dollars(self.switch_cost_usd) * 1_000_000  # `parse_micro_dollars` is exact


@dataclass(frozen=True, slots=True)
class EgressSettings:
    """The farthest place that data of each class may be sent to."""

    public: Place = setting("anyone", "Farthest place for public data.")
    internal: Place = setting("anyone", "Farthest place for internal data.")
    confidential: Place = setting("machine", "Farthest place for confidential data.")


@dataclass(frozen=True, slots=True)
class PolicyTestSettings:
    """A test case of a policy: a request and its expected routing. Models are names or `<provider>/*`."""

    name: str = setting("", "Short description of the case.")
    prompt: str = setting("Hello", "Prompt of the request.")
    model: str = setting("", "`model` of the request; empty: this policy.")
    project: str = setting("default", "Project of the request's API key.")
    data_class: DataClass | None = setting(None, "Data class set by the request.")
    key_data_class: DataClass | None = setting(None, "Data class set by the request's API key.")
    online: Online = setting("allow", "Whether the request may leave this machine: `allow` or `deny`.")
    allowed_models: tuple[str, ...] = setting((), "Every model on any path must be one of these.")
    denied_models: tuple[str, ...] = setting((), "No model on any path may be one of these.")
    first_model: str = setting("", "Expected first model.")
    expect_data_class: DataClass | None = setting(None, "Expected data class after all rules.")
    expect_error: str = setting("", "Expected error code.")


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """A named routing policy. Its kind validates its options."""

    kind: str = setting("cascade", "Kind of the policy.")
    online: Online = setting("allow", "Whether requests may leave this machine: `allow` or `deny`.")
    egress: Mapping[DataClass, Place] = setting(
        MappingProxyType({}),
        "Stricter than [egress]: the farthest place per data class for this policy's requests.",
        key_validator=data_class,
    )
    guardrails: Mapping[str, PolicyGuardrailMode] = setting(
        MappingProxyType({}),
        "Action per guardrail, instead of the one in [guardrails].",
        key_validator=guardrail_name,
    )
    allowed_tools: tuple[str, ...] = setting(
        (),
        "Tools that requests may offer, instead of those in [guardrails]; empty: as in [guardrails].",
        validator=tool_pattern,
    )
    spotlighting: bool | None = setting(None, "Overrides [guardrails] for this policy's requests.")
    datamarking: bool | None = setting(None, "Overrides [guardrails] for this policy's requests.")
    add_canary: bool | None = setting(None, "Overrides [guardrails] for this policy's requests.")
    tests: tuple[PolicyTestSettings, ...] = setting((), "Test cases of `sizewise route policy test`.")
    options: Mapping[str, object] = extra_keys("Options of the kind.")


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """Rules for every request of a project. A request and its API key can only be stricter."""

    data_class: DataClass | None = setting(None, "Least strict data class of the project's data.")
    online: Online = setting("allow", "Whether requests may leave this machine: `allow` or `deny`.")
    web_search: WebSearchGrant = setting(
        "deny",
        "Use of the search engine of [web_search]: `ask`, for requests with the tool `web_search`; `allow`, also for "
        "requests without it, about a time after the model's knowledge; or `deny`.",
    )


@dataclass(frozen=True, slots=True)
class SizesSettings:
    """Thresholds between the size classes, in parameters: tiny below `slm`, slm below `llm`, llm from there."""

    slm: int = setting(DEFAULT_SIZE_THRESHOLDS.slm, "Parameters of the smallest small language model.", minimum=1)
    llm: int = setting(
        DEFAULT_SIZE_THRESHOLDS.llm, "Parameters of the smallest large language model; greater than `slm`.", minimum=2
    )

    @property
    def thresholds(self) -> SizeThresholds:
        return SizeThresholds(slm=self.slm, llm=self.llm)


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """Shadow comparisons: also ask the other model for a sample of the requests, and have a judge compare the answers.
    Off by default, since they cost money.
    """

    sample_rate: float = setting(0.0, "Fraction of routed requests, sampled at random; 0: none.", minimum=0, maximum=1)
    judge: str = setting("", "Model that judges two answers; empty: the alias `large`.", validator=optional_model)
    budget_usd_per_day: str = setting(
        "1.00",
        "Maximum cost per day (UTC) in dollars; models without a known price count as free.",
        validator=dollar_amount,
    )
    confidence: float = setting(
        0.95,
        "Confidence of alarms and intervals: at 0.95, 1 in 20 targets that are met ever raises an alarm.",
        minimum=0.5,
        maximum=0.9999,
    )
    max_concurrent: int = setting(
        1, "Concurrent comparisons; sampled requests beyond that are skipped.", minimum=1, maximum=64
    )
    repeat_window_s: float = setting(
        0.0,
        "Seconds within which a repeated prompt of the same API key counts the previous answer as rejected; 0: never.",
        minimum=0,
        maximum=3_600,
    )

    @property
    def daily_budget(self) -> int:
        """In pico-dollars."""
        return parse_micro_dollars(self.budget_usd_per_day) * 1_000_000  # `parse_micro_dollars` is exact
