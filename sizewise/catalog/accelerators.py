"""GPUs by name, from accelerators.toml, each with its source; detects none."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sizewise.errors import BadRequest, did_you_mean

MEMORY_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*GB\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Accelerator:
    """`memory`: bytes. `bandwidth`: bytes per second, `fp16`: operations per second; None: unknown."""

    name: str
    memory: int
    bandwidth: float | None = None
    fp16: float | None = None
    source: str = ""


def find_accelerator(name: str) -> Accelerator:
    """By a name as V100-32GB, ignoring case, or by the size of its memory alone, as 24GB. Raises BadRequest."""
    known = accelerators()
    found = next((each for each in known.values() if each.name.lower() == name.strip().lower()), None)
    if found is not None:
        return found
    if (size := MEMORY_SIZE.match(name.strip())) is not None and 0 < float(size[1]) <= 1_000_000:
        return Accelerator(name.strip(), round(float(size[1]) * 10**9))
    alike = [each for each in known if each.lower().startswith(name.strip().lower().partition("-")[0])]
    near = f"Known: {', '.join(alike)}." if alike else did_you_mean(name, list(known)) or f"Known: {', '.join(known)}."
    raise BadRequest(f"there is no GPU {name!r}", f"{near} Or give the size of its memory, as 24GB.", param="on")


def accelerators() -> Mapping[str, Accelerator]:
    tables = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    sources = {name: f"{row['source']}, {row['date']}" for name, row in tables["sources"].items()}
    return MappingProxyType(
        {
            name: Accelerator(
                name=name,
                memory=round(row["memory"] * 10**9),
                bandwidth=row["bandwidth"] * 1e9,
                fp16=row["fp16"] * 1e12,
                source=sources[row["ref"]],
            )
            for name, row in tables["accelerators"].items()
        },
    )
