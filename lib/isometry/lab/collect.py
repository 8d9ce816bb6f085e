"""Bringing the results of one store into another, seed by seed."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from isometry.core.files import visible
from isometry.core.messages import refusal
from isometry.lab.choices import choice_files, read_choice
from isometry.lab.store import StoreError, add_results, read_file, result_files


@dataclass(frozen=True)
class _Collected:
    """What came into a store.

    Attributes:
        files: Result files that are new or have new seeds.
        seeds: How many runs of one seed they bring.
        choices: Choices that are new or other than before.
    """

    files: tuple[Path, ...]
    seeds: int
    choices: tuple[Path, ...]

    def __str__(self) -> str:
        return (
            f"{self.seeds} runs in {len(self.files)} files and {len(self.choices)} "
            "choices are new"
        )


def collect(source: str | Path, out: str | Path = "results") -> _Collected:
    """Bring all results, tuning runs and choices of a store into another one.

    What is in both stays as it is. The source is only read, also while runs are
    written into it.

    Args:
        source: The store that is read.
        out: The store that grows.

    Raises:
        StoreError: If there is nothing to read, a file cannot be used, both stores are
            one, or a seed that is in both has other numbers; what came before the
            refusal is kept.
    """
    first, second = Path(source), Path(out)
    if first.resolve() == second.resolve():
        needed = "two different stores"
        raise StoreError(refusal(needed, f"{first} twice", "choose another --out"))
    files, choices, seeds = [], [], 0
    for file in [*visible(first, "**/*.parquet")] or result_files(first):
        target = second / file.relative_to(first)
        count = _added_seeds(file, target)
        seeds += count
        files += [target] if count else []
    for file in choice_files(first):
        target = second / file.relative_to(first)
        if not target.exists() or read_choice(target) != read_choice(file):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            choices.append(target)
    return _Collected(tuple(files), seeds, tuple(choices))


def _added_seeds(file: Path, target: Path) -> int:
    """Add the seeds that a file has and another one lacks; return how many.

    A run that brought several seeds is named with those of them that are new.
    """
    frame, record = read_file(file)
    if target.exists():
        there, _ = read_file(target)
        keys = ["seed", "task", "metric"]
        both = frame.merge(there, on=keys, suffixes=("", "_there"))
        other = both[
            (both["value"] != both["value_there"])
            & ~(both["value"].isna() & both["value_there"].isna())
        ]
        if not other.empty:
            needed = f"the same numbers in {file} and {target}"
            found = f"others for seed {other['seed'].iloc[0]}"
            raise StoreError(refusal(needed, found, "move one of the files away"))
    return len(add_results(target, frame, record))
