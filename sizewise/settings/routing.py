"""What the names of models mean, which policy decides, and how far data may go; knows no policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sizewise.data_class import DataClass, Place
from sizewise.model_card import DEFAULT_SIZE_THRESHOLDS
from sizewise.model_card import SizeThresholds as Bounds
from sizewise.money import parse_micro_dollars
from sizewise.settings.guardrails import GuardrailMode, guardrail_name, tool_pattern
from sizewise.settings.toml_reader import extra_keys, setting
from sizewise.settings.validators import Online, data_class, dollar_amount, optional_model


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """What `auto`, `small` and `large` mean."""

    policy: str = setting("default", "The policy behind `auto`: a name under [policies].")
    small: str = setting("", "The model called `small`; empty: the smallest there is.", validator=optional_model)
    large: str = setting("", "The model called `large`; empty: the best there is.", validator=optional_model)
    predictor: str = setting("", "The file that `sizewise route train -o` wrote, seen from this one; empty: none.")
    data_class: DataClass = setting("internal", "The class of a request that does not say; a request can only tighten.")
    timeout_s: float = setting(
        600.0, "Seconds for a whole request, all its attempts and pauses together.", minimum=0.001, maximum=86_400
    )
    session_ttl_s: float = setting(
        3_600.0, "Seconds of silence after which a session is forgotten; 0: none is minded.", minimum=0, maximum=604_800
    )
    switch_cost_usd: str = setting(
        "0",
        "Dollars that losing a session's reasoning and tool history to a switch of models costs.",
        validator=dollar_amount,
    )

    @property
    def switch_cost(self) -> int:
        """The same in pico-dollars."""
        return parse_micro_dollars(self.switch_cost_usd) * 1_000_000  # it reads dollars as micro-dollars, exactly


@dataclass(frozen=True, slots=True)
class ReachSettings:
    """The furthest place that each data class may go to."""

    public: Place = setting("anyone", "How far public data may go.")
    internal: Place = setting("anyone", "How far internal data may go.")
    confidential: Place = setting("machine", "How far confidential data may go.")


@dataclass(frozen=True, slots=True)
class PolicyTestSettings:
    """One request and what must come of it; models are names or `<provider>/*`."""

    name: str = setting("", "What it shows, in a few words.")
    prompt: str = setting("Hello", "What is asked.")
    model: str = setting("", "What `model` says; empty: this policy.")
    project: str = setting("default", "The project of its key.")
    data_class: DataClass | None = setting(None, "The class that the request says.")
    key_data_class: DataClass | None = setting(None, "The class that its key says.")
    online: Online = setting("allow", "What the request says of going online.")
    allowed_models: tuple[str, ...] = setting((), "Every model that may be asked, on any path, is one of these.")
    denied_models: tuple[str, ...] = setting((), "None of these may be asked, on any path.")
    first_model: str = setting("", "The model that is asked first.")
    expect_data_class: DataClass | None = setting(None, "The class that the data has in the end.")
    expect_error: str = setting("", "The code of the error that must come.")


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """A named way of choosing. The kind checks its own options when the house is built."""

    kind: str = setting("cascade", "The kind of policy.")
    online: Online = setting("allow", "Whether its requests may leave this machine: `allow` or `deny`.")
    egress: Mapping[DataClass, Place] = setting(
        MappingProxyType({}),
        "Nearer than [egress]: the furthest place for a class of data here.",
        key_validator=data_class,
    )
    guardrails: Mapping[str, GuardrailMode] = setting(
        MappingProxyType({}),
        "What it does about findings of a guard, in place of [guardrails].",
        key_validator=guardrail_name,
    )
    allowed_tools: tuple[str, ...] = setting(
        (),
        "Tools that its requests may offer, in place of those of [guardrails]; empty: those.",
        validator=tool_pattern,
    )
    spotlighting: bool | None = setting(None, "As in [guardrails], for its requests.")
    datamarking: bool | None = setting(None, "As in [guardrails], for its requests.")
    add_canary: bool | None = setting(None, "As in [guardrails], for its requests.")
    tests: tuple[PolicyTestSettings, ...] = setting((), "What `sizewise route policy test` checks.")
    options: Mapping[str, object] = extra_keys("The kind's own options.")


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """What holds for every request of one project; a request and its key can only tighten it."""

    data_class: DataClass | None = setting(None, "The loosest class that its data has.")
    online: Online = setting("allow", "Whether its requests may leave this machine: `allow` or `deny`.")


@dataclass(frozen=True, slots=True)
class SizesSettings:
    """Where the classes of models begin, in parameters: tiny below `slm`, slm below `llm`, llm from there."""

    slm: int = setting(DEFAULT_SIZE_THRESHOLDS.slm, "Parameters of the smallest small language model.", minimum=1)
    llm: int = setting(DEFAULT_SIZE_THRESHOLDS.llm, "Parameters of the smallest large one; more than `slm`.", minimum=2)

    @property
    def thresholds(self) -> Bounds:
        return Bounds(slm=self.slm, llm=self.llm)


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """Asks the other side too, now and then, to see what routing loses. Off at first, for it costs money."""

    sample_rate: float = setting(0.0, "Share of routed requests, drawn by chance; 0: none.", minimum=0, maximum=1)
    judge: str = setting(
        "", "The model that judges two answers; empty: the one called `large`.", validator=optional_model
    )
    budget_usd_per_day: str = setting(
        "1.00", "Dollars that all of it may cost a day (UTC); unknown prices count as nothing.", validator=dollar_amount
    )
    confidence: float = setting(
        0.95,
        "How sure an alarm and an interval are: while a promise is kept, 1 in 20 ever alarms at 0.95.",
        minimum=0.5,
        maximum=0.9999,
    )
    max_concurrent: int = setting(
        1, "Comparisons at the same time; what is drawn beyond is not looked at.", minimum=1, maximum=64
    )
    repeat_window_s: float = setting(
        0.0,
        "Seconds in which the same words from the same key say that the answer before was not good; 0: never.",
        minimum=0,
        maximum=3_600,
    )

    @property
    def daily_budget(self) -> int:
        """A day's, in pico-dollars."""
        return parse_micro_dollars(self.budget_usd_per_day) * 1_000_000  # it reads dollars as micro-dollars, exactly
