"""Nonlinear tracking: a student learns from a teacher some of whose outputs change."""

from functools import lru_cache
from math import sqrt

import torch
from torch import Tensor

from isometry.core.seeding import generator
from isometry.core.stacking import Parameters
from isometry.methods.method import AdamSettings
from isometry.tracking.learner import NetworkRule
from isometry.tracking.linear import Metrics, State
from isometry.tracking.settings import NonlinearSettings


def _layer(outputs: int, inputs: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return weight and bias as ``torch.nn.Linear`` draws them."""
    weight, bias = torch.empty(outputs, inputs), torch.empty(outputs)
    torch.nn.init.kaiming_uniform_(weight, a=sqrt(5), generator=draw)
    bound = 1 / sqrt(inputs)
    return weight, bias.uniform_(-bound, bound, generator=draw)


def student(settings: NonlinearSettings, seed: int) -> Parameters:
    """Return the parameters of a new student, with torch's initialisation.

    Args:
        settings: Its sizes.
        seed: The member's seed.

    Returns:
        ``hidden.weight (width, inputs)``, ``hidden.bias (width,)``, ``head.weight
        (outputs, width)``, ``head.bias (outputs,)``, float32.
    """
    draw = generator(seed, "tracking", "student")
    hidden = _layer(settings.width, settings.inputs, draw)
    head = _layer(settings.outputs, settings.width, draw)
    names = "hidden.weight", "hidden.bias", "head.weight", "head.bias"
    return dict(zip(names, (*hidden, *head), strict=True))


@lru_cache(maxsize=64)  # asked for each stretch between two changes
def teacher(settings: NonlinearSettings, seed: int) -> tuple[Tensor, Tensor]:
    """Return the teacher's hidden weights and its head's before any sign changed.

    Drawn as a student's, and without biases. Its first outputs stay, the next
    ``slow`` change seldom, the last ``fast`` often: which, nothing depends on.

    Args:
        settings: Its sizes.
        seed: The member's seed.

    Returns:
        ``(width, inputs)`` and ``(outputs, width)``, float32.
    """
    draw = generator(seed, "tracking", "teacher")
    hidden, _ = _layer(settings.width, settings.inputs, draw)
    head, _ = _layer(settings.outputs, settings.width, draw)
    return hidden, head


def groups_of(settings: NonlinearSettings) -> dict[str, slice]:
    """Return which outputs stay, change seldom, and change often.

    Args:
        settings: How many do.
    """
    slow = settings.outputs - settings.fast - settings.slow
    fast = settings.outputs - settings.fast
    return {
        "stable": slice(0, slow),
        "slow": slice(slow, fast),
        "fast": slice(fast, settings.outputs),
    }


def signs(settings: NonlinearSettings, seed: int, step: int) -> Tensor:
    """Return the signs of the teacher's head at a step, ``(outputs, width)``.

    With ``flip=weights`` a change multiplies each weight by a sign that is drawn. A
    product of such signs is distributed like one of them, whatever came before; so the
    signs after each change are drawn by themselves, and no step depends on another.

    Args:
        settings: What changes, and when.
        seed: The member's seed.
        step: Of the stream, from 0.

    Source: arXiv 2604.27063, as its public code does it.
    """
    found = torch.ones(settings.outputs, settings.width)
    groups = groups_of(settings)
    for name, every in (("slow", settings.slow_every), ("fast", settings.fast_every)):
        changes, rows = step // every, found[groups[name]]
        if settings.flip == "outputs":
            rows.mul_(1 - 2 * (changes % 2))
        elif changes > 0:
            draw = generator(seed, "tracking", name, changes)
            rows.copy_(2.0 * torch.randint(2, rows.shape, generator=draw) - 1)
    return found


def network_examples(
    settings: NonlinearSettings, seed: int, block: int
) -> tuple[Tensor, Tensor]:
    """Return the examples between two changes of the teacher, float32.

    Args:
        settings: Of the stream.
        seed: The member's seed.
        block: Which stretch of ``fast_every`` steps.

    Returns:
        ``(fast_every, inputs)`` and ``(fast_every, outputs)``.
    """
    draw = generator(seed, "tracking", "inputs", block)
    inputs = torch.randn(settings.fast_every, settings.inputs, generator=draw)
    hidden, head = teacher(settings, seed)
    head = head * signs(settings, seed, block * settings.fast_every)
    return inputs, (inputs @ hidden.T).relu() @ head.T


def _padded(width: int) -> int:
    """Return the length of the head's rows: width and bias, and zeros up to LANES."""
    from isometry.tracking.network_kernel import LANES

    return -(-(width + 1) // LANES) * LANES


def packed(rule: NetworkRule, parameters: Parameters) -> State:
    """Return a student as the fast form holds it, before the first step.

    Args:
        rule: How it learns.
        parameters: As :func:`student` returns them.
    """
    weight, bias = parameters["head.weight"], parameters["head.bias"]
    width = weight.shape[1]
    head = weight.new_zeros(len(weight), _padded(width))
    head[:, :width], head[:, width] = weight, bias
    rows = [parameters["hidden.weight"].T, parameters["hidden.bias"][None]]
    hidden = torch.cat(rows).contiguous()
    none = hidden.new_zeros(0, 0)
    moments = (hidden, hidden, head, head) if rule.adam else (none,) * 4
    state = {"hidden": hidden, "head": head}
    names = "hidden_first", "hidden_second", "head_first", "head_second"
    state |= {k: torch.zeros_like(v) for k, v in zip(names, moments, strict=True)}
    learned = rule.head_theta is not None
    start = torch.tensor(rule.head_decay, dtype=torch.float64).log()
    state["logarithms"] = torch.full_like(head, float(start)) if learned else none
    state["traces"] = torch.zeros_like(head) if learned else none
    return state


def unpacked(state: State) -> Parameters:
    """Return a student's parameters out of the fast form.

    Args:
        state: As :func:`packed` returns it.
    """
    hidden, head, width = state["hidden"], state["head"], state["hidden"].shape[1]
    return {
        "hidden.weight": hidden[:-1].T,
        "hidden.bias": hidden[-1],
        "head.weight": head[:, :width],
        "head.bias": head[:, width],
    }


def numbers_of(rule: NetworkRule) -> list[float]:
    """Return a rule as the fast form reads it.

    Learning rate, decay of the hidden layer and of the head, theta of the head's
    logarithms, Adam's betas and epsilon, two places for Adam's corrections, and one
    minus each beta.

    Args:
        rule: How a student learns.
    """
    adam = rule.adam or AdamSettings()
    own = [rule.lr, rule.decay, rule.decay + rule.head_decay, rule.head_theta or 0.0]
    own += [adam.beta1, adam.beta2, adam.eps, 0.0, 0.0]
    return [*own, 1 - adam.beta1, 1 - adam.beta2]


def take_steps(
    rule: NetworkRule, state: State, taken: int, inputs: Tensor, targets: Tensor
) -> Tensor:
    """Take a student through examples, one step each, and return the squared errors.

    Args:
        rule: How it learns.
        state: Changed in place.
        taken: Steps that were taken before.
        inputs: ``(steps, inputs)``, of the state's type.
        targets: ``(steps, outputs)``.

    Returns:
        ``(steps, outputs)``, each before its step.
    """
    from isometry.tracking.network_kernel import EXPONENTIAL, steps

    adam = rule.adam or AdamSettings()
    extended = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)
    squares = torch.empty_like(targets)
    steps(
        extended.numpy(),
        targets.numpy(),
        tuple(part.numpy() for part in state.values()),
        inputs.new_tensor(numbers_of(rule)).numpy(),
        inputs.new_tensor(EXPONENTIAL).numpy(),
        (adam.beta1, adam.beta2),
        taken,
        squares.numpy(),
    )
    return squares


def network_begin(rule: NetworkRule, settings: NonlinearSettings, seed: int) -> State:
    """Return a student before its first step.

    Args:
        rule: How it learns.
        settings: Of the stream.
        seed: The member's seed.
    """
    return packed(rule, student(settings, seed))


def network_task(
    rule: NetworkRule,
    settings: NonlinearSettings,
    seed: int,
    task: int,
    state: State,
) -> tuple[Metrics, Tensor]:
    """Take a student through a stretch of its stream.

    Args:
        rule: How it learns.
        settings: Of the stream.
        seed: The member's seed.
        task: Which stretch.
        state: Changed in place.

    Returns:
        ``squared_error``: mean over steps and outputs of the squared error, each before
        its step; ``squared_error/GROUP``: the same of the outputs that stay
        (``stable``) or change seldom (``slow``) or often (``fast``), where there are
        any; and every step's squared error, the mean over outputs, ``(steps,)``.
    """
    size = settings.fast_every
    per_task = settings.steps_per_task // size
    of_steps, sums = [], torch.zeros(settings.outputs, dtype=torch.float64)
    for block in range(task * per_task, (task + 1) * per_task):
        examples = network_examples(settings, seed, block)
        squares = take_steps(rule, state, block * size, *examples).double()
        of_steps.append(squares.mean(1))
        sums += squares.sum(0)
    means = sums / settings.steps_per_task
    metrics = {"squared_error": float(means.mean())}
    for name, rows in groups_of(settings).items():
        if rows.start < rows.stop:
            metrics[f"squared_error/{name}"] = float(means[rows].mean())
    return metrics, torch.cat(of_steps)
