"""The supervised benchmarks: a stream, its data and its size in each profile."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from isometry.core.messages import refusal
from isometry.core.profile import ByProfile
from isometry.core.registry import Registry
from isometry.supervised.growth import growing
from isometry.supervised.pairs import class_pair, grey_pairs
from isometry.supervised.settings import SupervisedSettings
from isometry.supervised.streams import (
    Pixels,
    TaskMaker,
    gradually_permuted,
    label_shuffled,
    permuted,
    random_label,
)


def _unchanged(pixels: Pixels) -> Pixels:
    """Return the data as they are."""
    return pixels


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A stream of tasks with its sizes.

    Attributes:
        name: As typed on the command line.
        summary: One line for tables.
        source: Where the benchmark comes from.
        task: ``(pixels, settings, seed, task) -> Task``.
        profiles: Settings of each profile.
        data: Data sets that make sense for it.
        experiment_version: Raised when a change makes old results incomparable.
        method_defaults: Where settings of methods start, unlike elsewhere, by name.
        metric: What it is judged by.
        blends: Whether a task replaces the one before step by step, as ``blend`` says.
        prepared: ``(pixels) -> pixels``: what is done to the data, scaled, before any
            task is made of them, and says how many classes a task has.
    """

    name: str
    summary: str
    source: str
    task: TaskMaker
    profiles: ByProfile[SupervisedSettings]
    data: tuple[str, ...]
    experiment_version: int = 1
    method_defaults: Mapping[str, Any] = field(default_factory=dict)
    metric: str = "online_accuracy"
    blends: bool = False
    prepared: Callable[[Pixels], Pixels] = _unchanged

    def settings(self, profile: str, **changes: Any) -> SupervisedSettings:
        """Return the profile's settings with some of them changed.

        Args:
            profile: smoke, laptop or paper.
            **changes: Settings by name.

        Raises:
            ValueError: If the profile or the data set does not belong to it, or a
                setting means nothing for it.
        """
        settings = replace(self.profiles.of(profile), **changes)
        if settings.data not in self.data:
            needed = f"data of {', '.join(self.data)} for {self.name}"
            raise ValueError(refusal(needed, settings.data, "change data"))
        self.check_blend(settings)
        return settings

    def check_blend(self, settings: SupervisedSettings) -> None:
        """Refuse a blend of tasks that this stream would not do.

        Args:
            settings: Of a run.

        Raises:
            ValueError: If they ask for one and the stream has none.
        """
        if settings.blend > 0 and not self.blends:
            needed = f"blend=0 for {self.name}, whose tasks change at once"
            advice = "leave it out or use gradual_permuted_mnist"
            raise ValueError(refusal(needed, settings.blend, advice))


BENCHMARKS: Registry[Benchmark] = Registry("benchmark")


def register(benchmark: Benchmark) -> Benchmark:
    """Add a benchmark to the registry and return it; ValueError if the name is taken.

    Args:
        benchmark: The benchmark.
    """
    return BENCHMARKS.register(benchmark.name, benchmark)


def sizes(
    base: SupervisedSettings, laptop: dict[str, Any], smoke: dict[str, Any]
) -> ByProfile[SupervisedSettings]:
    """Return the three profiles: the paper's size and two reductions of it.

    Args:
        base: The ``paper`` profile.
        laptop: What the ``laptop`` profile changes.
        smoke: What the ``smoke`` profile changes of the laptop's.
    """
    return ByProfile(
        smoke=replace(base, **{**laptop, **smoke}),
        laptop=replace(base, **laptop),
        paper=base,
    )


# The paper's supervised networks: four hidden layers of 512, orthogonal, lr 1e-4.
# Images, epochs and batch size are not known; these are facts' proposals, declared in
# book/departures.md.
PAPER_MLP = SupervisedSettings(width=512, depth=4, lr=1e-4, batch_size=128)
LAPTOP_PERMUTED = {
    "width": 100,
    "depth": 4,
    "lr": 1e-3,
    "images_per_task": 1000,
    "epochs": 5,
    "batch_size": 50,
    "tasks": 30,
}
LAPTOP_MEMORY = {
    "width": 100,
    "depth": 2,
    "lr": 1e-3,
    "images_per_task": 320,
    "epochs": 60,
    "batch_size": 16,
    "tasks": 25,
}
SMOKE_PERMUTED = {"tasks": 4, "images_per_task": 500, "epochs": 2}
SMOKE_MEMORY = {"tasks": 4, "images_per_task": 160, "epochs": 20}

RANDOM_LABEL_MNIST = register(
    Benchmark(
        name="random_label_mnist",
        summary="memorise 1,200 images whose labels are redrawn for each task",
        source="Kumar et al. 2023; the positive control of Lillo & Cheney 2026",
        task=random_label,
        profiles=sizes(
            SupervisedSettings(
                tasks=50,
                images_per_task=1200,
                epochs=400,
                batch_size=16,
                reshuffle=False,
                width=100,
                depth=2,
                init="default",
                lr=1e-4,
            ),
            LAPTOP_MEMORY,
            SMOKE_MEMORY,
        ),
        data=("mnist", "digits"),
    )
)
RANDOM_LABEL_CIFAR10 = register(
    Benchmark(
        name="random_label_cifar10",
        summary="memorise CIFAR-10 images whose labels are redrawn for each task",
        source="arXiv 2606.09762, Sec. 6",
        task=random_label,
        profiles=sizes(
            replace(
                PAPER_MLP, data="cifar10", tasks=50, images_per_task=1200, epochs=100
            ),
            LAPTOP_MEMORY,
            SMOKE_MEMORY,
        ),
        data=("cifar10", "cifar100", "digits"),
    )
)
PERMUTED_MNIST = register(
    Benchmark(
        name="permuted_mnist",
        summary="classify MNIST under a new pixel permutation for each task",
        source="arXiv 2606.09762, Sec. 6; Goodfellow et al. 2013",
        task=permuted,
        profiles=sizes(
            replace(PAPER_MLP, tasks=100, images_per_task=10_000),
            LAPTOP_PERMUTED,
            SMOKE_PERMUTED,
        ),
        data=("mnist", "digits"),
    )
)
# Over the whole task: the least abrupt stream that this family has.
GRADUAL_PERMUTED_MNIST = register(
    Benchmark(
        name="gradual_permuted_mnist",
        summary="classify MNIST while one pixel permutation blends into the next",
        source="task sampling of Liu & Mou 2026, arXiv 2602.09234; details ours",
        task=gradually_permuted,
        profiles=sizes(
            replace(PERMUTED_MNIST.profiles.paper, blend=1.0),
            LAPTOP_PERMUTED,
            SMOKE_PERMUTED,
        ),
        data=PERMUTED_MNIST.data,
        blends=True,
    )
)
PERMUTED_CIFAR10 = register(
    Benchmark(
        name="permuted_cifar10",
        summary="classify CIFAR-10 under a new pixel permutation for each task",
        source="arXiv 2606.09762, Sec. 6",
        task=permuted,
        profiles=sizes(
            replace(
                PAPER_MLP, data="cifar10", tasks=100, images_per_task=10_000, epochs=5
            ),
            LAPTOP_PERMUTED,
            SMOKE_PERMUTED,
        ),
        data=("cifar10", "cifar100", "digits"),
    )
)
LABEL_SHUFFLED_CIFAR100 = register(
    Benchmark(
        name="label_shuffled_cifar100",
        summary="classify CIFAR-100 with the class names exchanged for each task",
        source="arXiv 2606.09762, Sec. 6",
        task=label_shuffled,
        profiles=sizes(
            replace(
                PAPER_MLP, data="cifar100", tasks=20, images_per_task=10_000, epochs=10
            ),
            {**LAPTOP_PERMUTED, "tasks": 20},
            SMOKE_PERMUTED,
        ),
        data=("cifar100", "cifar10", "digits"),
    )
)
# A thousand images are all that two classes of CIFAR-100 have: one pass over them.
BINARY_CIFAR100 = register(
    Benchmark(
        name="binary_cifar100",
        summary="tell two classes of grey CIFAR-100 images apart, a new pair each task",
        source="pairs as in Dohare et al., Nature 2024; on CIFAR-100, details ours",
        task=class_pair,
        prepared=grey_pairs,
        profiles=sizes(
            SupervisedSettings(
                data="cifar100",
                tasks=1000,
                images_per_task=1000,
                batch_size=1,
                width=64,
                depth=2,
                init="kaiming_uniform",
                input_scaling="unit",
                optimizer="sgd",
                lr=3e-3,
            ),
            {"tasks": 60},
            {"tasks": 4, "images_per_task": 250},
        ),
        data=("cifar100", "cifar10", "digits"),
    )
)
# Half of the data, then all: the fresh network of the second task never saw the half.
WARM_START = register(
    Benchmark(
        name="warm_start",
        summary="classify half of the images, then all of them, to test on others",
        source="Ash & Adams 2020, arXiv 1910.08475; sizes ours",
        task=growing,
        profiles=sizes(
            SupervisedSettings(
                data="cifar10",
                tasks=2,
                images_per_task=50_000,
                epochs=100,
                batch_size=128,
                width=100,
                depth=3,
                activation="tanh",
                init="default",
            ),
            {"images_per_task": 4000, "epochs": 60},
            {"images_per_task": 500, "epochs": 20},
        ),
        data=("cifar10", "cifar100", "mnist", "digits"),
        metric="test_accuracy",
    )
)
