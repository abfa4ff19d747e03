"""What a key is confined to: its doors, models, policies and networks; pure, and never widens anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from sizewise.errors import BadRequest, Forbidden, nearest
from sizewise.principal import Caller, Scope, named

DOORS = ("chat", "messages", "responses", "embeddings", "models", "metrics", "graphql", "mcp", "hooks")
MOST = 100
"""Names in one list."""


def scope(
    doors: tuple[str, ...] = (),
    models: tuple[str, ...] = (),
    policies: tuple[str, ...] = (),
    flows: tuple[str, ...] = (),
    networks: tuple[str, ...] = (),
) -> Scope | None:
    """None where nothing is confined. Raises BadRequest for a door or network that is none."""
    for door in doors:
        if door not in DOORS:
            hint = nearest(door, DOORS) or f"known: {', '.join(DOORS)}"
            raise BadRequest(f"there is no door called {door[:100]!r}", hint, param="doors")
    for name in (*models, *policies, *flows):
        if not name.strip() or len(name) > 200 or not name.isprintable():
            raise BadRequest(f"{name[:100]!r} is no name of a model, policy or flow", "give 1 to 200 characters")
    for network in networks:
        _network(network)
    if any(len(each) > MOST for each in (doors, models, policies, flows, networks)):
        raise BadRequest(f"a key cannot be confined to more than {MOST} names", "use <provider>/* or wider networks")
    made = Scope(doors, models, policies, flows, networks)
    return None if made == Scope() else made


def narrowed(wanted: Scope | None, own: Scope | None) -> Scope | None:
    """`wanted` within `own`: what was not said is as in `own`. Raises Forbidden for what goes beyond it."""
    if own is None or wanted is None:
        return own or wanted
    return Scope(
        _within(wanted.doors, own.doors, str.__eq__, "door"),
        _within(wanted.models, own.models, named, "model"),
        _within(wanted.policies, own.policies, str.__eq__, "policy"),
        _within(wanted.flows, own.flows, str.__eq__, "flow"),
        _within(wanted.networks, own.networks, _inside, "network"),
    )


def _within(
    wanted: tuple[str, ...], own: tuple[str, ...], covers: Callable[[str, str], bool], kind: str
) -> tuple[str, ...]:
    for each in wanted if own else ():
        if not any(covers(mine, each) for mine in own):
            raise Forbidden(f"your own key is not good for the {kind} {each[:100]!r}", f"choose of {', '.join(own)}")
    return wanted or own


def admit(caller: Caller, door: str, address: str) -> None:
    """Raises Forbidden where the key is not good for this door, or from this address (empty: unknown)."""
    confined = caller.scope
    if confined is None:
        return
    if confined.doors and door not in confined.doors:
        raise Forbidden(f"the key {caller.key!r} is not good for the door {door!r}", "use a key that is")
    if confined.networks and not _from(address, confined.networks):
        raise Forbidden(f"the key {caller.key!r} is not good from this address", "use it where it belongs")


def _from(address: str, networks: Iterable[str]) -> bool:
    try:
        came = ip_address(address)
    except ValueError:
        return False
    if isinstance(came, IPv6Address) and came.ipv4_mapped is not None:
        came = came.ipv4_mapped
    return any(_holds(_network(each), came) for each in networks)


def _holds(network: IPv4Network | IPv6Network, address: IPv4Address | IPv6Address) -> bool:
    return address.version == network.version and address in network


def _inside(mine: str, wanted: str) -> bool:
    outer, inner = _network(mine), _network(wanted)
    if isinstance(outer, IPv4Network) and isinstance(inner, IPv4Network):
        return inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and isinstance(inner, IPv6Network) and inner.subnet_of(outer)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError as error:
        hint = "write it as 10.0.0.0/8 or 2001:db8::/32"
        raise BadRequest(f"{text[:100]!r} is no network", hint, param="networks") from error
