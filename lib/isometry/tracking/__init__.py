"""A linear unit or a network tracks a target that drifts, example by example.

Training needs the extra ``rl``, which has numba.
"""

from isometry.tracking import learners
from isometry.tracking.benchmarks import TRACKING, TrackingBenchmark
from isometry.tracking.learner import LEARNERS, Learner

__all__ = ["LEARNERS", "TRACKING", "Learner", "TrackingBenchmark", "learners"]
