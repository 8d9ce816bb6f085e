"""Between two tasks the optimiser forgets."""

from isometry.methods.method import Method, register
from isometry.methods.training import Training


def _forget(training: Training) -> None:
    """Let the optimiser start anew: its moments and its counts of steps are gone.

    Source: Asadi, Fakoor & Sabach 2023, at every new target network; here, at every new
        task. The same as a run's ``reset_optimizer=true``.
    """
    training.optimizer.state.clear()


OPTIMIZER_RESET = register(
    Method(
        name="optimizer_reset",
        summary="Adam that starts anew at every new task",
        source="Asadi, Fakoor & Sabach, NeurIPS 2023, arXiv 2306.17833",
        before_task=_forget,
    )
)
