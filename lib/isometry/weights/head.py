"""Which layer of a model is its head."""

from dataclasses import dataclass

from torch import nn

from isometry.weights.survey import Weight

# Names of heads in timm, transformers, torchvision, and libraries for reinforcement
# learning; of a sequence under such a name it is the last linear layer.
HEADS = (
    "head_dist",
    "action_net",
    "value_net",
    "actor",
    "actor_mean",
    "critic",
    "q_net",
)
# The same, where they hold the last linear layer of all; hidden ones have such names.
LAST = ("fc", "classifier", "score", "qa_outputs", "logits", "policy")
HEAD = "head"


@dataclass(frozen=True, kw_only=True)
class Head:
    """Where a model's head was found.

    Args:
        names: Names of the parameters of the head; empty if no name says what it is.
        candidate: Name of the last linear layer, or None if it is a part of a numbered
            block, as in a network without a head.
    """

    names: frozenset[str]
    candidate: str | None


def matches(name: str, excluded: str) -> bool:
    """Return whether a part of a dotted name is the excluded one, as in lm_head.

    Args:
        name: Of a parameter.
        excluded: One part, or several with dots between.

    Example:
        >>> matches("lm_head.weight", "head"), matches("heads.weight", "head")
        (True, False)
    """
    parts = name.split(".")
    path = excluded.split(".")
    runs = (parts[i : i + len(path)] for i in range(len(parts)))
    if any(run == path for run in runs):
        return True
    return len(path) == 1 and any(part.endswith(f"_{excluded}") for part in parts)


def find_head(model: nn.Module, weights: list[Weight]) -> Head:
    """Return the head by its name, and the layer that it might be otherwise.

    Everything under a part called ``head`` or ``..._head`` is the head. Then there are
    the other names in use (:data:`HEADS`, :data:`LAST`), outside of numbered blocks:
    there, of what they hold, the last linear layer. A name that holds none is no head.

    Args:
        model: The network.
        weights: Of this model.

    Example:
        >>> from isometry.weights.survey import weights_of
        >>> model = nn.Module()
        >>> model.fc = nn.Linear(2, 2)
        >>> sorted(find_head(model, weights_of(model)).names)
        ['fc.bias', 'fc.weight']
    """
    named = [name for weight in weights for name in weight.names]
    layers = [p for p, m in model.named_modules() if isinstance(m, nn.Linear)]
    last = layers[-1] if layers else None
    own = {name for name in named if matches(name, HEAD)}
    found = set()
    for path, _ in model.named_modules():
        *blocks, own_name = path.split(".")
        if own_name not in HEADS + LAST or any(part.isdigit() for part in blocks):
            continue
        inside = [p for p in layers if p == path or p.startswith(f"{path}.")][-1:]
        if own_name in HEADS or inside == [last]:
            found |= set(inside)
    under = {name for name in named if name.rpartition(".")[0] in found}
    inside_block = last and any(part.isdigit() for part in last.split(".")[:-1])
    return Head(names=frozenset(own | under), candidate=None if inside_block else last)
