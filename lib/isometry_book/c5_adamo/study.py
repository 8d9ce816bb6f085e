"""The studies of chapter 5 and their sizes."""

from isometry.core.profile import ByProfile
from isometry_book.c5_adamo import continual, cost, forms, partial_study, pull
from isometry_book.c5_adamo import revival_study as revival
from isometry_book.c5_adamo.drifted_network import STEPS
from isometry_book.study import ONE_SIZE, Study

ADAMO = Study(
    name="adamo",
    sizes=ByProfile(
        smoke=forms.Sizes(
            stream=continual.Sizes(seeds=2, tasks=2, epochs=2, lr=1e-3),
            drifted_steps=STEPS["smoke"],
            flow_rate=1e-3,
        ),
        laptop=forms.Sizes(
            stream=continual.Sizes(seeds=8, tasks=6, epochs=12, lr=1e-3),
            drifted_steps=STEPS["laptop"],
        ),
        paper=forms.Sizes(
            stream=continual.Sizes(
                seeds=10, tasks=20, epochs=50, width=512, depth=4, lr=1e-3
            ),
            drifted_steps=STEPS["paper"],
        ),
    ),
    run=forms.form_numbers,
)
COST = Study(name="cost", sizes=ONE_SIZE, run=cost.cost_numbers)
METHOD_COST = Study(name="method_cost", sizes=ONE_SIZE, run=cost.method_cost_numbers)
PULL = Study(
    name="pull",
    sizes=ByProfile(
        smoke=continual.Sizes(seeds=2, tasks=4, epochs=4),
        laptop=continual.Sizes(seeds=3, tasks=6, epochs=12),
        paper=continual.Sizes(seeds=5, tasks=20, epochs=50, width=512, depth=4),
    ),
    run=pull.pull_runs,
)
PROFILE = ByProfile(smoke="smoke", laptop="laptop", paper="paper")
PARTIAL = Study(name="partial", sizes=PROFILE, run=partial_study.study)
REVIVAL = Study(name="revival", sizes=PROFILE, run=revival.study)
STUDIES = (ADAMO, COST, METHOD_COST, PULL, PARTIAL, REVIVAL)
