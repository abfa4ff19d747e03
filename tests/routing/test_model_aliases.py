"""What people may write in `model`, and what they are told when it means nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sizewise.errors import ConfigError, ModelNotFound
from sizewise.model_card import ModelCard
from sizewise.money import UNKNOWN_PRICE, Price
from sizewise.providers.echo import echo_card
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policies.cheapest import CheapestPolicy
from sizewise.routing.policies.fixed import FixedPolicy
from sizewise.routing.policy import Policy
from sizewise.routing.strength import strength
from tests.routing.router_harness import LARGE, SMALL, chat, embed

VECTORS = replace(echo_card("echo/vectors"), task="embed")


def names(*cards: ModelCard, small: str = "", large: str = "", **policies: Policy) -> ModelAliases:
    return ModelAliases(
        cards or (LARGE, SMALL),
        policies or {"default": CascadePolicy()},
        default_policy=next(iter(policies), "default"),
        small=small,
        large=large,
    )


def test_auto_considers_every_chat_model_by_the_default_policy() -> None:
    plan = names(SMALL, LARGE, VECTORS)(chat(model="auto"))
    assert (plan.policy_name, plan.cards, plan.is_exact) == ("default", (SMALL, LARGE), False)


def test_a_policy_can_be_named_in_the_model_or_as_a_wish() -> None:
    known = names(default=CascadePolicy(), thrifty=CheapestPolicy())
    assert known(chat(model="auto:thrifty")).policy_name == "thrifty"
    assert known(chat(model="auto"), "thrifty").policy_name == "thrifty"
    assert known(chat(model="echo/small"), "thrifty").policy_name == "fixed"


def test_a_policy_asks_only_the_models_it_names_in_their_order() -> None:
    third = echo_card("echo/third")
    plan = names(SMALL, LARGE, third, default=FixedPolicy(models=("echo/third", "echo/small")))(chat())
    assert [card.name for card in plan.cards] == ["echo/third", "echo/small"]


def test_with_one_model_auto_is_that_model_whatever_the_policy() -> None:
    plan = names(SMALL, default=CascadePolicy())(chat())
    assert isinstance(plan.policy, FixedPolicy) and plan.is_exact
    assert plan.why == "auto is the only configured model"


def test_small_and_large_are_the_weakest_and_the_strongest_unless_configured() -> None:
    assert names()(chat(model="small")).cards == (SMALL,)
    assert names()(chat(model="large")).cards == (LARGE,)
    assert names(small="echo/large")(chat(model="small")).why == "`small` is echo/large, as configured"
    role = names().role_plan("small")
    assert role is not None and role.cards == (SMALL,)
    assert ModelAliases((), {"default": CascadePolicy()}).role_plan("small") is None


def test_strength_goes_by_parameters_then_quality_then_price_then_place() -> None:
    known = echo_card(parameters=7_000_000_000)
    good = replace(echo_card(parameters=None), quality=0.9)
    dear = echo_card(parameters=None, price=Price(input=1, output=10_000_000))
    here, there = (echo_card(parameters=None, price=UNKNOWN_PRICE, place=place) for place in ("machine", "anyone"))
    assert strength(good) > strength(dear) > strength(there) > strength(known) > strength(here)


def test_a_model_is_found_by_its_full_name_and_by_a_bare_one_that_only_one_provider_has() -> None:
    assert names()(chat(model="echo/small")).cards == (SMALL,)
    third = echo_card("echo/third")
    plan = names(third, SMALL)(chat(model="third"))
    assert (plan.cards, plan.is_exact, plan.why) == ((third,), True, "named in the request")


def test_a_bare_name_of_several_models_is_refused_with_all_of_them() -> None:
    with pytest.raises(ModelNotFound) as caught:
        names(echo_card("one/twin"), echo_card("two/twin"))(chat(model="twin"))
    assert caught.value.hint == "use one of: one/twin, two/twin"


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("echo/smal", "Did you mean 'echo/small'?"),
        ("atuo", "Did you mean 'auto'?"),
        ("auto:defualt", "Did you mean 'default'?"),
        ("auto:zzz", "known: default"),
        ("flow:support", "name a model, or run that flow as a subflow"),
        ("", "list the models: GET /v1/models"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(asked: str, hint: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        names()(chat(model=asked))
    assert (caught.value.status, caught.value.param, caught.value.hint) == (404, "model", hint)


def test_an_endless_name_is_not_repeated() -> None:
    with pytest.raises(ModelNotFound) as caught:
        names()(chat(model="x" * 100_000))
    assert len(caught.value.message) < 200


def test_the_same_error_is_a_new_one_each_time() -> None:
    empty = ModelAliases((), {"default": CascadePolicy()})
    errors = []
    for _ in range(2):
        with pytest.raises(ModelNotFound, match="no chat model is configured") as caught:
            empty(chat(model="auto"))
        errors.append(caught.value)
    assert errors[0] is not errors[1]


def test_auto_chooses_no_embedding_model_among_several() -> None:
    assert names(SMALL, VECTORS)(embed("x")).cards == (VECTORS,)
    with pytest.raises(ModelNotFound, match="no embedding model is configured"):
        names(SMALL)(embed("x"))
    with pytest.raises(ModelNotFound, match="cannot choose among several embedding models"):
        names(VECTORS, replace(echo_card("echo/other"), task="embed"))(embed("x"))


def test_roles_and_policies_that_name_no_model_are_refused_when_the_house_is_built() -> None:
    for small, large in (("echo/smal", ""), ("", "echo/smal")):
        with pytest.raises(ConfigError) as caught:
            names(small=small, large=large)
        assert caught.value.hint == "Did you mean 'echo/small'?"
    with pytest.raises(ConfigError, match=r"policies\.mine\.models"):
        names(mine=FixedPolicy(models=("echo/smal",)))
    with pytest.raises(ConfigError, match=r"router\.policy"):
        ModelAliases((SMALL,), {"default": CascadePolicy()}, default_policy="defualt")


def test_all_that_can_be_asked_is_listed() -> None:
    assert set(names(default=CascadePolicy(), thrifty=CheapestPolicy()).chat_names) >= {
        "auto",
        "auto:default",
        "auto:thrifty",
        "small",
        "large",
        "echo/small",
        "echo/large",
    }
