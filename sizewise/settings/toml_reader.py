"""Reads TOML tables into frozen dataclasses and reports every error with its path; defines no setting.

The dataclass is the schema: its types, its defaults and the arguments of `setting`. The documentation and the JSON
Schema are generated from it.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from sizewise.errors import ConfigError, did_you_mean

T = TypeVar("T")
TypeHintCache = dict[type, dict[str, Any]]
"""The field types of each dataclass read so far."""
TextValidator = Callable[[str], str]
"""Returns the text, possibly normalized; raises ValueError with a sentence that continues "<path>: "."""

LARGEST = 2**63 - 1
"""What a whole number of TOML must hold; a larger one fits neither a float nor a database."""

TYPE_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "a string"),
)


def setting(
    default: T,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    validator: TextValidator | None = None,
    key_validator: TextValidator | None = None,
    secret: bool = False,
) -> T:
    """A field with its one-line documentation. `minimum`/`maximum` are inclusive and apply to numbers, `validator` to
    each string, `key_validator` to the keys of a table. A `secret` value is never shown in a message or a repr.
    """
    rules = {
        "says": description,
        "least": minimum,
        "most": maximum,
        "check": validator,
        "keys": key_validator,
        "hidden": secret,
    }
    if isinstance(default, Mapping):
        return field(default_factory=lambda: default, metadata=rules, repr=not secret)
    return field(default=default, metadata=rules, repr=not secret)


def extra_keys(description: str) -> Mapping[str, object]:
    """The field that collects all keys that are not another field's, unparsed."""
    return field(default_factory=lambda: MappingProxyType({}), metadata={"says": description, "rest": True})


def parse_toml(path: Path, content: bytes | None = None) -> dict[str, object]:
    """The top-level table of the file. `content`: what was read of it before. ConfigError if it cannot be read, is not
    UTF-8 or not TOML (with line and column).
    """
    try:
        return tomllib.loads((path.read_bytes() if content is None else content).decode())
    except FileNotFoundError as why:
        raise ConfigError(f"there is no file {str(path)!r}", "Give the path of an existing file.") from why
    except OSError as why:
        raise ConfigError(
            f"{str(path)!r} cannot be read: {why.strerror}",
            "Check the path and its permissions.",
        ) from why
    except UnicodeDecodeError as why:
        raise ConfigError(f"{str(path)!r} is not UTF-8 (byte {why.start})", "Save the file as UTF-8.") from why
    except ValueError as why:  # also a number of more than 4,300 digits
        raise ConfigError(
            f"{str(path)!r} is not TOML: {why}", "Put strings in quotes and table names in [brackets]."
        ) from why


def raise_if_invalid(errors: list[str], path: Path) -> None:
    """Raises ConfigError with all of `errors`, if there are any."""
    if errors:
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        lines = "".join(f"\n  {mistake}" for mistake in errors)
        hint = "Fix the file and try again; nothing was changed."
        if any(" was renamed to " in each for each in errors):
            hint = f"Write the new names: sizewise settings migrate {shlex.quote(str(path))} --write"
        raise ConfigError(f"{count} in {str(path)!r}:{lines}", hint)


def read_table(
    model: type[T],
    table: object,
    path: str,
    errors: list[str],
    types: TypeHintCache | None = None,
) -> T | None:
    """`table` as a `model`; each error is added to `errors` as `<path>: <sentence>`.

    A field with an error keeps its default, so that the caller can check the rest; None if that is impossible. Pass the
    same `types` for each of many tables: resolving type hints takes longer than reading.
    """
    types = {} if types is None else types
    if not isinstance(table, dict):
        errors.append(f"{path}: {_show(table)} is not a table")
        return None
    known = {settings_key(each.name): each for each in fields(cast("Any", model))}
    hints = types.get(model) or types.setdefault(model, get_type_hints(model))
    others = next((name for name, each in known.items() if each.metadata.get("rest")), "")
    values: dict[str, object] = {}
    if others:
        values[others] = MappingProxyType({name: value for name, value in table.items() if name not in known})
    for name, value in table.items():
        here = f"{path}.{name}" if path else name
        if name in known and name != others:
            before = len(errors)
            found = _convert(hints[known[name].name], value, here, errors, known[name].metadata, types)
            if len(errors) == before or _is_usable(found):
                values[known[name].name] = found
        elif not others or name == others:
            near = did_you_mean(name, list(known)) or f"Known keys: {', '.join(known)}."
            errors.append(f"{here}: there is no such setting. {near}")
    errors.extend(f"{path}.{name}: is missing" for name, each in known.items() if name not in table and _required(each))
    complete = all(each.name in values for each in known.values() if _required(each))
    return model(**values) if complete else None


def settings_key(field_name: str) -> str:
    """The key in the file: a field named after a word of Python ends with `_`."""
    return field_name.removesuffix("_")


def _required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _is_usable(value: object) -> bool:
    """Whether `value` can be used although part of it had an error."""
    return is_dataclass(value) or isinstance(value, MappingProxyType)


def _convert(
    kind: Any,
    value: object,
    path: str,
    errors: list[str],
    rules: Mapping[str, Any],
    types: TypeHintCache,
) -> object:
    """`value` as a `kind`: unchanged, but frozen if it is a list or a table."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is object:
        return value
    if origin in (Union, UnionType):  # TOML has no null: an unset setting is omitted
        kinds = [each for each in inner if each is not type(None)]
        literals = next((get_args(each) for each in kinds if get_origin(each) is Literal), ())
        if len(kinds) > 1 and (value in literals or isinstance(value, str)):  # a word, or a number
            return value if value in literals else _not_either(literals, kinds[-1], value, path, errors)
        return _convert(kinds[-1], value, path, errors, rules, types)
    if origin is Literal:
        return _one_of(inner, value, path, errors)
    if origin in (tuple, frozenset):
        return _list(origin, inner[0], value, path, errors, rules, types)
    if is_dataclass(kind):
        return read_table(cast("type", kind), value, path, errors, types)
    if origin is not None:
        return _table(inner[1], value, path, errors, rules, types)
    return _scalar(kind, value, path, errors, rules)


def _not_either(literals: tuple[str, ...], kind: type, value: object, path: str, errors: list[str]) -> object:
    errors.append(f"{path}: {_show(value)} is not {', '.join(map(repr, literals))} or {dict(TYPE_NAMES)[kind]}")
    return value


def _one_of(allowed: tuple[str, ...], value: object, path: str, errors: list[str]) -> object:
    if value not in allowed:
        errors.append(f"{path}: {_show(value)} is not one of {', '.join(map(repr, allowed))}")
    return value


def _list(
    shape: type,
    kind: Any,
    value: object,
    path: str,
    errors: list[str],
    rules: Mapping[str, Any],
    types: TypeHintCache,
) -> tuple[object, ...] | frozenset[object]:
    if not isinstance(value, list):
        errors.append(f"{path}: {_show(value, rules)} is not a list in [brackets]")
        return ()
    each = (_convert(kind, item, f"{path}[{index}]", errors, rules, types) for index, item in enumerate(value))
    return frozenset(each) if shape is frozenset else tuple(each)


def _table(
    kind: Any,
    value: object,
    path: str,
    errors: list[str],
    rules: Mapping[str, Any],
    types: TypeHintCache,
) -> Mapping[str, object]:
    if not isinstance(value, dict):
        errors.append(f"{path}: {_show(value, rules)} is not a table")
        return {}
    found = {}
    for name, item in value.items():
        here = f"{path}.{name}" if name.isidentifier() else f"{path}.{name!r}"
        if rules.get("keys"):
            _checked(rules["keys"], name, here, errors)
        before = len(errors)
        fits = _convert(kind, item, here, errors, {**rules, "keys": None}, types)
        if len(errors) == before or _is_usable(fits):
            found[name] = fits
    return MappingProxyType(found)


def _scalar(kind: type, value: object, path: str, errors: list[str], rules: Mapping[str, Any]) -> object:
    if type(value) is not kind and not (kind is float and type(value) is int):
        errors.append(f"{path}: {_show(value, rules)} is not {dict(TYPE_NAMES)[kind]}")
    elif isinstance(value, str):
        return _checked(rules["check"], value, path, errors) if rules.get("check") else value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        fits = _bounded(value, path, errors, rules.get("least"), rules.get("most"))
        return float(value) if kind is float and fits else value
    return value


def _checked(validator: TextValidator, value: str, path: str, errors: list[str]) -> str:
    try:
        return validator(value)
    except ValueError as why:
        errors.append(f"{path}: {why}")
        return value


def _bounded(value: float, path: str, errors: list[str], minimum: float | None, maximum: float | None) -> bool:
    if (
        not -LARGEST <= value <= LARGEST  # nan too
        or (minimum is not None and value < minimum)
        or (maximum is not None and value > maximum)
    ):
        errors.append(f"{path}: {_show(value)} is not {format_range(minimum, maximum)}")
        return False
    return True


def format_range(minimum: float | None, maximum: float | None) -> str:
    """The bounds in words: 'from 1 to 5', 'at least 1', 'at most 5'."""
    if minimum is not None and maximum is not None:
        return f"from {minimum:g} to {maximum:g}" if maximum < 1e6 else f"from {minimum:g} to {int(maximum)}"
    return (
        f"at least {minimum:g}" if minimum is not None else f"at most {maximum:g}" if maximum is not None else "finite"
    )


def _show(value: object, rules: Mapping[str, Any] | None = None) -> str:
    if rules and rules.get("hidden"):
        return "the value (not shown)"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
