"""The door to what PPO does faster on a CPU than torch's autograd would.

Outside this room only these three names are used; each falls back to the plain form,
which is the one to read, for networks that the room does not know.
"""

from isometry.core.extras import extra

with extra("rl"):
    from isometry.rl.ppo.fast import written_step
    from isometry.rl.ppo.fast.reading import fastest_actor, fastest_values
    from isometry.rl.ppo.step import Learner, Step, gradient_step

__all__ = ["fastest_actor", "fastest_step", "fastest_values"]


def fastest_step(learner: Learner) -> Step:
    """Return the fastest gradient step that takes a learner where autograd takes it.

    Args:
        learner: The stack in training.
    """
    if written_step.is_written(learner):
        return written_step.written_step(learner)
    return gradient_step
