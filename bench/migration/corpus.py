"""What becomes of each kind of setting in a folder of LiteLLM configurations: a table of carried, changed, refused.

`python -m bench.migration.corpus FOLDER [--kinds]`. Reads the environment for no address.
"""

from __future__ import annotations

import argparse
from collections import Counter
from functools import partial
from pathlib import Path

from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.migration.litellm import import_litellm
from sizewise.migration.migration_report import OUTCOMES, ReportLine
from sizewise.settings.load import load_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kinds", action="store_true", help="a row for each key, not for each section")
    given = parser.parse_args()
    lines, entries, models, files = list[ReportLine](), 0, 0, configurations(given.folder)
    for file in files:
        found = import_litellm(file, partial(parse_yaml, allow_aliases=True), {})
        load_settings(config=file.with_name("sizewise.toml"), content=found.text.encode())
        lines += found.lines
        models += found.models
        entries += len(
            {each.key.partition("]")[0] + each.file for each in found.lines if each.kind.startswith("model_list[]")}
        )
    print(f"{len(files)} configurations, {models} of {entries} models\n")
    print(f"| {'key' if given.kinds else 'section'} | {' | '.join(OUTCOMES)} |\n|---|---|---|---|")
    rows: dict[str, Counter[str]] = {}
    for each in lines:
        name = each.kind if given.kinds else section(each.kind)
        rows.setdefault(name, Counter())[each.outcome] += 1
    rows["all"] = Counter(each.outcome for each in lines)
    for name, counts in rows.items():
        print(f"| `{name}` | {' | '.join(str(counts[each]) for each in OUTCOMES)} |")


def configurations(folder: Path) -> list[Path]:
    """Files in the folder, and in each folder of it those that include others."""
    below = (each for each in sorted(folder.glob("*/*.yaml")) if "include:" in each.read_text())
    return [*sorted(folder.glob("*.yaml")), *below]


def section(kind: str) -> str:
    """As `model_list[].litellm_params` or `litellm_settings`."""
    parts = kind.split(".")
    return ".".join(parts[:2]) if parts[0] == "model_list[]" and len(parts) > 2 else parts[0].removesuffix("[]")


if __name__ == "__main__":
    main()
