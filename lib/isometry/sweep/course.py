"""The course of a sweep: which jobs follow which, until every search has ended.

A search is tuned on all its candidates, goes on along its ladders while its best is at
an edge, and then what was chosen is run on the seeds of the report. Searches do not
wait for each other.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from isometry.core.messages import refusal
from isometry.lab.choosing import choice, choice_path, tuning_store, write_choice
from isometry.lab.ladders import extended, untried
from isometry.lab.run import missing_seeds
from isometry.lab.search import Search, Sweep, Values
from isometry.lab.store import Record, StoreError, finished_seeds
from isometry.sweep.crew import Crew
from isometry.sweep.job import REPORT, TUNE, Job, jobs_of, stacks_of
from isometry.sweep.progress import ADDED, Tell


@dataclass(frozen=True)
class Course:
    """Where each search of a sweep is; its lists grow as jobs end.

    Attributes:
        asked: The sweep.
        store: The store's folder.
        crew: Does the work.
        searches: Those of the sweep, with the candidates that were added.
        waiting: Jobs of each search that have not ended.
        chosen: Number of a search and place of a candidate that is reported.
        choices: What was chosen, see :func:`isometry.lab.choosing.choice`.
    """

    asked: Sweep
    store: Path
    crew: Crew
    searches: list[Search] = field(init=False)
    waiting: Counter[int] = field(init=False, default_factory=Counter)
    chosen: list[tuple[int, int]] = field(init=False, default_factory=list)
    choices: list[Record] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        object.__setattr__(self, "searches", list(self.asked.searches))

    def is_tuned(self, group: int) -> bool:
        """Return whether a search has something to choose from."""
        return bool(self.asked.tune_seeds) and len(self.searches[group].plans) > 1

    def likely(self, group: int) -> range:
        """Return the candidates that stand for those that will be reported.

        Before the choice the first one stands for the cost of the chosen one.
        """
        count = len(self.asked.searches[group].plans)
        return range(1 if self.asked.tune_seeds else count)

    def jobs(self, phase: str, group: int, places: Iterable[int]) -> list[Job]:
        """Return the jobs that run candidates of a search on a phase's seeds.

        The number of stacks depends on the sweep file alone, so that a sweep that goes
        on has the checkpoints that it had.
        """
        groups = range(len(self.searches))
        counts = {
            TUNE: sum(
                len(self.asked.searches[g].plans) for g in groups if self.is_tuned(g)
            ),
            REPORT: sum(len(self.likely(g)) for g in groups),
        }
        stacks = stacks_of(self.asked, phase, counts[phase], self.crew.workers)
        folder = tuning_store(self.store) if phase == TUNE else self.store
        return [
            job
            for place in places
            for job in jobs_of(
                phase,
                self.searches[group],
                place,
                self.asked,
                store=folder,
                device=self.crew.device,
                stacks=stacks,
                group=group,
            )
        ]

    def expected(self) -> list[Job]:
        """Return all jobs that are known at the start."""
        found = []
        for group, search in enumerate(self.searches):
            if self.is_tuned(group):
                found += self.jobs(TUNE, group, range(len(search.plans)))
            found += self.jobs(REPORT, group, self.likely(group))
        return found

    def first(self) -> list[Job]:
        """Return the jobs that wait for no other."""
        found = []
        for group, search in enumerate(self.searches):
            if self.is_tuned(group):
                new = self.jobs(TUNE, group, range(len(search.plans)))
            else:
                new = self.reported(group)
            self.waiting[group] += len(new)
            found += new
        return found

    def reported(self, group: int) -> list[Job]:
        """Choose a search's settings, where there is a choice, and run them."""
        search, places = self.searches[group], list[int]()
        for part in search.parts if self.asked.tune_seeds else ():
            best, record = choice(search, self.asked, self.store, part)
            write_choice(choice_path(search.plans[best], self.store, part), record)
            self.choices.append(record)
            places += [best] if best not in places else []
        places = places or list(self.likely(group))
        self.chosen.extend((group, place) for place in places)
        return self.jobs(REPORT, group, places)

    def follow(self, tell: Tell, job: Job) -> list[Job]:
        """Return the jobs that follow one that has ended.

        Args:
            tell: Is told of jobs that were not expected.
            job: Has ended, whichever way.
        """
        group = job.group
        self.waiting[group] -= 1
        search = self.searches[group]
        if self.waiting[group] or job.phase == REPORT:
            return []
        if not _complete(search, self.asked, self.store):
            return []
        expected = 0
        points = _points_to_try(search, self.asked, self.store)
        if points:
            longer = extended(search, points, self.asked.profile)
            check_store([longer], self.asked, self.store)
            self.searches[group] = longer
            places = range(len(search.plans), len(longer.plans))
            new = self.jobs(TUNE, group, places)
        else:
            new = self.reported(group)
            expected = len(self.jobs(REPORT, group, self.likely(group)))
        for added in new[expected:]:
            tell(added, ADDED, None)
        self.waiting[group] += len(new)
        return new


def _points_to_try(search: Search, asked: Sweep, store: Path) -> list[Values]:
    """Return the neighbours of the best candidates that were not tried yet."""
    points: list[Values] = []
    for part in search.parts:
        best, _ = choice(search, asked, store, part)
        points += [p for p in untried(search, best) if p not in points]
    return points


def check_store(searches: Iterable[Search], asked: Sweep, store: Path) -> None:
    """Refuse a store whose results do not go together with a sweep.

    Args:
        searches: Whose candidates are looked at.
        asked: The sweep.
        store: The store's folder.

    Raises:
        StoreError: If it has results of another version of a benchmark, results on the
            tuning seeds, or tuning runs on seeds that are to be reported.
    """
    for planned in (planned for one in searches for planned in one.plans):
        for folder, seeds, kind in (
            (store, asked.tune_seeds, "tune_seeds"),
            (tuning_store(store), asked.report_seeds, "report_seeds"),
        ):
            path = planned.path(folder)
            there = finished_seeds(path, planned.benchmark.experiment_version)
            both = sorted(there & set(seeds))
            if both:
                other = "reported" if kind == "tune_seeds" else "tuned on"
                needed = f"{kind} that are not {other} in {path}"
                found = ", ".join(map(str, both))
                do = "choose other seeds or another --out"
                raise StoreError(refusal(needed, found, do))


def _complete(search: Search, asked: Sweep, store: Path) -> bool:
    """Return whether all that a choice depends on is there.

    Where a run failed there is no choice: one among the others would not be fair.
    """
    return len(search.plans) == 1 or not any(
        missing_seeds(planned, asked.tune_seeds, tuning_store(store))
        for planned in search.plans
    )
