"""Key scope: the endpoints, models, policies, flows and networks an API key is restricted to; never widens access."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from sizewise.auth.ip_addresses import parse_ip
from sizewise.errors import BadRequest, Forbidden, did_you_mean
from sizewise.principal import KeyScope, Principal, name_matches

ENDPOINTS = (
    *("chat", "messages", "responses", "completions", "moderations", "embeddings", "rerank", "decisions"),
    *("audio", "images", "files", "vector_stores", "batches", "evals", "scores", "models", "metrics", "graphql"),
    *("mcp", "hooks", "edge"),
)
MAX_ENTRIES = 100
"""Entries in one list."""


def build_scope(
    endpoints: tuple[str, ...] = (),
    models: tuple[str, ...] = (),
    policies: tuple[str, ...] = (),
    flows: tuple[str, ...] = (),
    networks: tuple[str, ...] = (),
) -> KeyScope | None:
    """None if all lists are empty. Raises BadRequest for an unknown endpoint, an invalid name or network."""
    for endpoint in endpoints:
        if endpoint not in ENDPOINTS:
            hint = did_you_mean(endpoint, ENDPOINTS) or f"known: {', '.join(ENDPOINTS)}"
            raise BadRequest(f"there is no endpoint named {endpoint[:100]!r}", hint, param="endpoints")
    for name in (*models, *policies, *flows):
        if not name.strip() or len(name) > 200 or not name.isprintable():
            raise BadRequest(
                f"{name[:100]!r} is not a valid name of a model, policy or flow", "use 1 to 200 characters"
            )
    for network in networks:
        _network(network)
    if any(len(each) > MAX_ENTRIES for each in (endpoints, models, policies, flows, networks)):
        raise BadRequest(
            f"a key cannot be restricted to more than {MAX_ENTRIES} names",
            "use <provider>/* or wider networks",
        )
    made = KeyScope(endpoints=endpoints, models=models, policies=policies, flows=flows, networks=networks)
    return None if made == KeyScope() else made


def narrow_scope(requested: KeyScope | None, limits: KeyScope | None) -> KeyScope | None:
    """`requested`, with `limits` for lists that are empty. Raises Forbidden for an entry beyond `limits`."""
    if limits is None or requested is None:
        return limits or requested
    return KeyScope(
        endpoints=_within(requested.endpoints, limits.endpoints, str.__eq__, "endpoint"),
        models=_within(requested.models, limits.models, name_matches, "model"),
        policies=_within(requested.policies, limits.policies, str.__eq__, "policy"),
        flows=_within(requested.flows, limits.flows, str.__eq__, "flow"),
        networks=_within(requested.networks, limits.networks, _is_subnet, "network"),
        anonymous=requested.anonymous or limits.anonymous,
    )


def _within(
    requested: tuple[str, ...],
    limits: tuple[str, ...],
    covers: Callable[[str, str], bool],
    kind: str,
) -> tuple[str, ...]:
    for each in requested if limits else ():
        if not any(covers(mine, each) for mine in limits):
            raise Forbidden(
                f"your own key is not valid for the {kind} {each[:100]!r}", f"use some of: {', '.join(limits)}"
            )
    return requested or limits


def check_scope(principal: Principal, endpoint: str, address: str) -> None:
    """Raises Forbidden if the key is not valid for this endpoint, or from this address (empty: unknown)."""
    confined = principal.scope
    if confined is None:
        return
    if confined.endpoints and endpoint not in confined.endpoints:
        raise Forbidden(
            f"the key {principal.key_id!r} is not valid for the endpoint {endpoint!r}",
            "use a key without this restriction",
        )
    if confined.networks and not _in_networks(address, confined.networks):
        raise Forbidden(
            f"the key {principal.key_id!r} is not valid from this address", "use it from one of its networks"
        )


def _in_networks(address: str, networks: Iterable[str]) -> bool:
    came = parse_ip(address)
    return came is not None and any(_contains(_network(each), came) for each in networks)


def _contains(network: IPv4Network | IPv6Network, address: IPv4Address | IPv6Address) -> bool:
    return address.version == network.version and address in network


def _is_subnet(mine: str, wanted: str) -> bool:
    outer, inner = _network(mine), _network(wanted)
    if isinstance(outer, IPv4Network) and isinstance(inner, IPv4Network):
        return inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and isinstance(inner, IPv6Network) and inner.subnet_of(outer)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError as error:
        hint = "use CIDR notation, such as 10.0.0.0/8 or 2001:db8::/32"
        raise BadRequest(f"{text[:100]!r} is not a network", hint, param="networks") from error
