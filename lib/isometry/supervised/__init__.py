"""Data, streams of tasks, stacked networks and their trainer (chapter 6)."""

from isometry.supervised.benchmarks import BENCHMARKS, Benchmark
from isometry.supervised.settings import SupervisedSettings

__all__ = ["BENCHMARKS", "Benchmark", "SupervisedSettings"]
