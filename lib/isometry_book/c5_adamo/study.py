"""The studies of chapter 5 and their sizes."""

from isometry.core.profile import ByProfile
from isometry_book.c5_adamo import (
    continual,
    cost,
    forms,
    neighbours,
    partial_study,
    pull,
)
from isometry_book.c5_adamo import revival_study as revival
from isometry_book.study import ONE_SIZE, Study

ADAMO = Study(
    name="adamo",
    sizes=ByProfile(
        smoke=forms.Sizes(
            stream=continual.Sizes(seeds=2, tasks=2, epochs=2, lr=1e-3),
            drifted_steps=600,
            flow_rate=1e-3,
        ),
        laptop=forms.Sizes(
            stream=continual.Sizes(seeds=8, tasks=6, epochs=12, lr=1e-3),
            drifted_steps=2000,
        ),
        paper=forms.Sizes(
            stream=continual.Sizes(
                seeds=10, tasks=20, epochs=50, width=512, depth=4, lr=1e-3
            ),
            drifted_steps=2000,
        ),
    ),
    run=forms.form_numbers,
)
COST = Study(name="cost", sizes=ONE_SIZE, run=cost.cost_numbers)
METHOD_COST = Study(name="method_cost", sizes=ONE_SIZE, run=cost.method_cost_numbers)
PERIOD_COST = Study(name="period_cost", sizes=ONE_SIZE, run=cost.period_cost_numbers)
PULL = Study(
    name="pull",
    sizes=ByProfile(
        smoke=continual.Sizes(seeds=2, tasks=4, epochs=4),
        laptop=continual.Sizes(seeds=3, tasks=6, epochs=12),
        paper=continual.Sizes(seeds=5, tasks=20, epochs=50, width=512, depth=4),
    ),
    run=pull.pull_runs,
)
LAPTOP_TIMES = (0, 1, 3, 10, 20, 30, 50, 80, 130, 200, 300, 500, 800)
PARTIAL = Study(
    name="partial",
    sizes=ByProfile(
        smoke=partial_study.Sizes(
            seeds=1, drifted_steps=600, times=(0, 1, 5, 20, 60, 200)
        ),
        laptop=partial_study.Sizes(seeds=3, drifted_steps=2000, times=LAPTOP_TIMES),
        paper=partial_study.Sizes(
            seeds=3,
            drifted_steps=2000,
            times=(*LAPTOP_TIMES, 1300, 2000, 3500, 5500, 8000),
        ),
    ),
    run=partial_study.force_numbers,
)
REVIVAL = Study(
    name="revival",
    sizes=ByProfile(
        smoke=revival.Sizes(seeds=2, before=1, after=1, epochs=4),
        laptop=revival.Sizes(seeds=3, before=2, after=2, epochs=20),
        paper=revival.Sizes(seeds=10, before=4, after=6, epochs=40),
    ),
    run=revival.revival_numbers,
)
NEIGHBOURS = Study(
    name="neighbours",
    sizes=ByProfile(
        smoke=neighbours.Sizes(
            stream=continual.Sizes(seeds=2, tasks=3, epochs=2),
            tuning=1,
            rounds=1,
            every=4,
        ),
        laptop=neighbours.Sizes(
            stream=continual.Sizes(seeds=3, tasks=6, epochs=10),
            tuning=2,
            rounds=3,
            every=5,
        ),
        paper=neighbours.Sizes(
            stream=continual.Sizes(seeds=8, tasks=15, epochs=20),
            tuning=3,
            rounds=5,
            every=5,
        ),
    ),
    run=neighbours.neighbour_numbers,
)
STUDIES = (ADAMO, COST, METHOD_COST, PERIOD_COST, PULL, PARTIAL, REVIVAL, NEIGHBOURS)
