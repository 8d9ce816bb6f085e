"""Data, streams of tasks, stacked networks and their trainer (chapter 6)."""

from isometry.supervised.benchmarks import BENCHMARKS, PROFILES, Benchmark
from isometry.supervised.settings import SupervisedSettings

__all__ = ["BENCHMARKS", "PROFILES", "Benchmark", "SupervisedSettings"]
