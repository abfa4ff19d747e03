"""Evals of a folder: eval files with their data sets, runs and calibrations, found and read by name; asks no model."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from sizewise.errors import BadRequest, did_you_mean
from sizewise.evals.dataset_files import ENDINGS
from sizewise.evals.runs.eval_items import EvalDataset, read_pinned, split_pin
from sizewise.evals.runs.eval_spec import EvalSpec, EvalSpecError, build_spec
from sizewise.evals.runs.judge_calibration import JudgeCalibration
from sizewise.evals.runs.run_file import ENDING, EvalRun, RunHead, read_run
from sizewise.flows.language.yaml_source import YamlError, parse_yaml

SUFFIXES = (".yaml", ".yml")
RUNS_FOLDER = ".runs"


@dataclass(frozen=True)
class EvalFile:
    """An eval read from its file. `runs`: the folder of its runs."""

    name: str
    path: Path
    spec: EvalSpec
    runs: Path

    @property
    def data_file(self) -> Path:
        """Without the hash that pins it."""
        return self.path.parent / split_pin(self.spec.data)[0]

    def dataset(self) -> EvalDataset:
        """Raises BadRequest, also if it is not the one that the eval pins."""
        return read_pinned(self.path.parent, self.spec.data)


def eval_names_in(folder: Path) -> list[str]:
    """Sorted; none if there is no such folder."""
    return sorted(each.stem for each in folder.glob("*") if each.suffix in SUFFIXES) if folder.is_dir() else []


def find_eval(folder: Path, name: str) -> EvalFile:
    """An eval of the folder by name. Raises BadRequest, with file, line and column."""
    known = eval_names_in(folder)
    if name not in known:
        hint = did_you_mean(name, known) or ("sizewise eval list" if known else f"create it: sizewise eval new {name}")
        raise BadRequest(f"there is no eval {name[:100]!r} in {str(folder)!r}", hint)
    return read_eval(next(path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()))


def read_eval(path: Path) -> EvalFile:
    """Raises BadRequest, with file, line and column."""
    try:
        source = parse_yaml(path.read_text("utf-8"))
    except YamlError as error:
        raise BadRequest(f"{path}:{error.line}:{error.column}: {error.reason}", error.hint) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{str(path)!r} cannot be read", "save it as UTF-8 text") from error
    try:
        spec = build_spec(source.data)
    except EvalSpecError as error:
        line, column = next((source.positions[at] for at in _outwards(error.where) if at in source.positions), (1, 1))
        raise BadRequest(f"{path}:{line}:{column}: {error.message}", error.hint) from error
    return EvalFile(path.stem, path, spec, path.parent / RUNS_FOLDER / path.stem)


def run_files(found: EvalFile) -> list[Path]:
    """The newest first."""
    return sorted(found.runs.glob(f"*{ENDING}"), reverse=True) if found.runs.is_dir() else []


def find_run(found: EvalFile, name: str) -> EvalRun:
    """By its name, the beginning of its name, or as a file. Raises BadRequest."""
    if Path(name).suffix == ENDING or "/" in name:
        return read_run(Path(name))
    same = [each for each in run_files(found) if each.stem.startswith(name)]
    if len(same) != 1:
        several = f"{len(same)} runs begin with {name!r}" if same else f"{found.name!r} has no run {name!r}"
        raise BadRequest(several, f"sizewise eval list {found.name} shows them")
    return read_run(same[0])


def calibration_file(found: EvalFile, score: str) -> Path:
    return found.path.parent / f"{found.name}.{score}.calibration.json"


def load_calibrations(found: EvalFile, labeled: Container[str] = ()) -> dict[str, JudgeCalibration]:
    """Of the judges with `calibrated: true`, by score; without those of `labeled`. Raises BadRequest if one is
    missing.
    """
    loaded = dict[str, JudgeCalibration]()
    for score, spec in found.spec.scorers.items():
        if spec.kind != "judge" or not spec.calibrated or score in labeled:
            continue
        file = calibration_file(found, score)
        try:
            loaded[score] = msgspec.json.decode(file.read_bytes(), type=JudgeCalibration)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            hint = f"sizewise eval calibrate-judge {found.name} {score} LABELS"
            raise BadRequest(f"the judge {score!r} has no calibration in {str(file)!r}", hint) from error
    return loaded


def run_head(found: EvalFile, data: EvalDataset, target: str, prompt: str = "", release: str = "") -> RunHead:
    """Of a run that starts now. `prompt`: ID@VERSION of the target's; empty: it has none. `release`: that answers."""
    return RunHead(
        eval=found.name,
        target=target,
        started=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        data=data.digest,
        scoring=found.spec.scoring_digest,
        scorers={name: each.kind for name, each in found.spec.scorers.items()},
        repeat=found.spec.repeat,
        planned=len(data.items) * found.spec.repeat,
        prompt=prompt,
        release=release,
    )


def next_run_file(
    found: EvalFile, data: EvalDataset, target: str, prompt: str, *, is_new: bool, release: str = ""
) -> Path:
    """The newest run of this target and release, if it is not whole and was made alike; else a new one."""
    for file in () if is_new else run_files(found):
        run = read_run(file)
        if (run.head.target, run.head.release) == (target, release):
            was = run.head.data, run.head.scoring, run.head.prompt
            if was == (data.digest, found.spec.scoring_digest, prompt) and not run.is_whole:
                return file
            break
    return found.runs / f"{_new_run_name(target)}{ENDING}"


def whole_run_of(found: EvalFile, data: EvalDataset, release: str) -> EvalRun | None:
    """The newest whole run of the eval's own target by a release, if it has the data and scorers of now."""
    for file in run_files(found):
        run = read_run(file)
        of = run.head.target, run.head.release, run.head.data, run.head.scoring
        if of == (found.spec.target.name, release, data.digest, found.spec.scoring_digest) and run.is_whole:
            return run
    return None


def _new_run_name(target: str) -> str:
    """Sorts by time, to the millisecond, and differs by target."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1_000:03d}-{sha256(target.encode()).hexdigest()[:6]}"


def dataset_files(folder: Path) -> dict[str, Path]:
    """The data sets of a folder by name, sorted. Of files with the same name the first of ENDINGS counts."""
    files = {each.stem: each for ending in reversed(ENDINGS) for each in folder.glob(f"*{ending}")}
    return dict(sorted(files.items()))


def _outwards(where: tuple[str | int, ...]) -> list[tuple[str | int, ...]]:
    """The path and those of its containers, the innermost first."""
    return [where[:length] for length in range(len(where), -1, -1)]
