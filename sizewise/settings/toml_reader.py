"""A TOML table into a frozen dataclass, with every mistake named; knows no setting, no file and no default of its own.

The dataclass is the schema: its types, its defaults and what `setting` writes beside them. The documentation and the
JSON Schema are made from the same source, so they cannot tell another story.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from sizewise.errors import ConfigError, nearest

T = TypeVar("T")
Types = dict[type, dict[str, Any]]
"""The types of a dataclass's fields, as far as they were needed."""
Check = Callable[[str], str]
"""Returns the text, perhaps tidied; raises ValueError with a sentence that continues "<place>: "."""

TYPES: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "a text in quotes"),
)


def setting(
    default: T,
    says: str,
    *,
    least: float | None = None,
    most: float | None = None,
    check: Check | None = None,
    keys: Check | None = None,
    hidden: bool = False,
) -> T:
    """A field with its line of documentation. `least`/`most` are inclusive and hold for numbers; `check` for each
    text, `keys` for the keys of a table. A `hidden` value is never shown, neither in a message nor in a repr."""
    rules = {"says": says, "least": least, "most": most, "check": check, "keys": keys, "hidden": hidden}
    if isinstance(default, Mapping):
        return field(default_factory=lambda: default, metadata=rules, repr=not hidden)
    return field(default=default, metadata=rules, repr=not hidden)


def rest(says: str) -> Mapping[str, object]:
    """The field that takes every key which is not another field's, as it came."""
    return field(default_factory=lambda: MappingProxyType({}), metadata={"says": says, "rest": True})


def parse(path: Path) -> dict[str, object]:
    """The file's top table. ConfigError when it cannot be read, is not UTF-8 or not TOML (with line and column)."""
    try:
        return tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError as why:
        raise ConfigError(f"there is no file {str(path)!r}", "Give the path of an existing file.") from why
    except OSError as why:
        raise ConfigError(
            f"{str(path)!r} cannot be read: {why.strerror}", "Check the path and its permissions."
        ) from why
    except UnicodeDecodeError as why:
        raise ConfigError(f"{str(path)!r} is not UTF-8 (byte {why.start})", "Save the file as UTF-8.") from why
    except tomllib.TOMLDecodeError as why:
        raise ConfigError(f"{str(path)!r} is not TOML: {why}", "Texts stand in quotes, tables in [brackets].") from why


def refuse(wrong: list[str], path: Path) -> None:
    """ConfigError that lists all of `wrong`, when there is any."""
    if wrong:
        count = "a mistake" if len(wrong) == 1 else f"{len(wrong)} mistakes"
        lines = "".join(f"\n  {mistake}" for mistake in wrong)
        raise ConfigError(f"{count} in {str(path)!r}:{lines}", "Mend the file and try again; nothing was changed.")


def read(shape: type[T], table: object, place: str, wrong: list[str], types: Types | None = None) -> T | None:
    """`table` as a `shape`, each mistake added to `wrong` as `<place>: <sentence>`.

    What was wrong stands at its default, so that the caller can look for more; None where that cannot be. Whoever
    reads many tables hands in the same `types` each time: working them out takes longer than reading.
    """
    types = {} if types is None else types
    if not isinstance(table, dict):
        wrong.append(f"{place}: {_show(table)} is not a table")
        return None
    known = {each.name: each for each in fields(cast(Any, shape))}
    hints = types.get(shape) or types.setdefault(shape, get_type_hints(shape))
    others = next((name for name, each in known.items() if each.metadata.get("rest")), "")
    values: dict[str, object] = {}
    if others:
        values[others] = MappingProxyType({name: value for name, value in table.items() if name not in known})
    for name, value in table.items():
        here = f"{place}.{name}" if place else name
        if name in known and name != others:
            before = len(wrong)
            found = _fit(hints[name], value, here, wrong, known[name].metadata, types)
            if len(wrong) == before or _whole(found):
                values[name] = found
        elif not others or name == others:
            near = nearest(name, list(known)) or f"Known here: {', '.join(known)}."
            wrong.append(f"{here}: there is no such setting. {near}")
    wrong.extend(f"{place}.{name}: is missing" for name, each in known.items() if name not in table and _required(each))
    return shape(**values) if not any(_required(each) and name not in values for name, each in known.items()) else None


def _required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _whole(found: object) -> bool:
    """Whether `found` can be used although something within it was wrong."""
    return is_dataclass(found) or isinstance(found, MappingProxyType)


def _fit(kind: Any, value: object, place: str, wrong: list[str], rules: Mapping[str, Any], types: Types) -> object:
    """`value` as a `kind`: itself, frozen where it is a list or a table."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is object:
        return value
    if origin in (Union, UnionType):  # TOML has no null: an optional setting is simply left out
        return _fit(next(each for each in inner if each is not type(None)), value, place, wrong, rules, types)
    if origin is Literal:
        return _one_of(inner, value, place, wrong)
    if origin in (tuple, frozenset):
        return _list(origin, inner[0], value, place, wrong, rules, types)
    if is_dataclass(kind):
        return read(cast(type, kind), value, place, wrong, types)
    if origin is not None:
        return _table(inner[1], value, place, wrong, rules, types)
    return _plain(kind, value, place, wrong, rules)


def _one_of(known: tuple[str, ...], value: object, place: str, wrong: list[str]) -> object:
    if value not in known:
        wrong.append(f"{place}: {_show(value)} is not one of {', '.join(map(repr, known))}")
    return value


def _list(
    shape: type, kind: Any, value: object, place: str, wrong: list[str], rules: Mapping[str, Any], types: Types
) -> tuple[object, ...] | frozenset[object]:
    if not isinstance(value, list):
        wrong.append(f"{place}: {_show(value, rules)} is not a list in [brackets]")
        return ()
    each = (_fit(kind, item, f"{place}[{index}]", wrong, rules, types) for index, item in enumerate(value))
    return frozenset(each) if shape is frozenset else tuple(each)


def _table(
    kind: Any, value: object, place: str, wrong: list[str], rules: Mapping[str, Any], types: Types
) -> Mapping[str, object]:
    if not isinstance(value, dict):
        wrong.append(f"{place}: {_show(value, rules)} is not a table")
        return {}
    found = {}
    for name, item in value.items():
        here = f"{place}.{name}" if name.isidentifier() else f"{place}.{name!r}"
        if rules.get("keys"):
            _checked(rules["keys"], name, here, wrong)
        before = len(wrong)
        fits = _fit(kind, item, here, wrong, {**rules, "keys": None}, types)
        if len(wrong) == before or _whole(fits):
            found[name] = fits
    return MappingProxyType(found)


def _plain(kind: type, value: object, place: str, wrong: list[str], rules: Mapping[str, Any]) -> object:
    if type(value) is not kind and not (kind is float and type(value) is int):
        wrong.append(f"{place}: {_show(value, rules)} is not {dict(TYPES)[kind]}")
    elif isinstance(value, str):
        return _checked(rules["check"], value, place, wrong) if rules.get("check") else value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        _bounded(value, place, wrong, rules.get("least"), rules.get("most"))
        return float(value) if kind is float else value
    return value


def _checked(check: Check, value: str, place: str, wrong: list[str]) -> str:
    try:
        return check(value)
    except ValueError as why:
        wrong.append(f"{place}: {why}")
        return value


def _bounded(value: float, place: str, wrong: list[str], least: float | None, most: float | None) -> None:
    if not math.isfinite(value) or (least is not None and value < least) or (most is not None and value > most):
        wrong.append(f"{place}: {value!r} is not {span(least, most)}")


def span(least: float | None, most: float | None) -> str:
    """The bounds in words: 'from 1 to 5', 'at least 1', 'at most 5'."""
    if least is not None and most is not None:
        return f"from {least:g} to {most:g}" if most < 1e6 else f"from {least:g} to {int(most)}"
    return f"at least {least:g}" if least is not None else f"at most {most:g}" if most is not None else "finite"


def _show(value: object, rules: Mapping[str, Any] | None = None) -> str:
    if rules and rules.get("hidden"):
        return "the value (not shown)"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
