"""Which layer of a model is its head."""

from dataclasses import dataclass

from torch import nn
from torch.nn.modules.conv import _ConvNd

from isometry.weights.survey import Weight

# Names of heads in timm, transformers, torchvision, and libraries for reinforcement
# learning; of a sequence under such a name it is the last layer. Numbers may follow.
HEADS = (
    *("head_dist", "classifier", "classif", "last_linear", "score", "qa_outputs"),
    *("action_net", "value_net", "q_net", "qf", "actor", "critic"),
    *("actor_mean", "mu", "fc_mu", "fc_mean", "log_std", "fc_logstd"),
)
# The same, where they hold the last layer of all; hidden ones have such names.
LAST = ("fc", "logits", "policy")
# The same, where they are the last layer of all; much else has such names.
LAST_LAYERS = (
    *("decoder", "embed_out", "output_projection", "proj_out", "lm_loss"),
    *("logits_proj", "summary", "final_layer", "output", "output_layer"),
)
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

    Everything under a part called ``head`` or ``..._head`` is the head, except for
    convolutions whose sibling holds the last layer, as MobileNet's ``conv_head`` before
    ``classifier``. Then there are the other names in use (:data:`HEADS`, :data:`LAST`,
    :data:`LAST_LAYERS`), outside of numbered blocks: there, of what they hold, the last
    linear layer, or the last convolution of a network without linear ones. A name that
    holds none is no head, nor is a net that has the name of a layer, as
    ``mlp_extractor.value_net`` before stable-baselines3's ``value_net``.

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
    modules = dict(model.named_modules())
    linear = [p for p, m in modules.items() if isinstance(m, nn.Linear)]
    layers = linear or [p for p, m in modules.items() if isinstance(m, _ConvNd)]
    found, holders = set(), set()
    alone = {path.rpartition(".")[2] for path in layers}
    for path in modules:
        *blocks, own_name = path.split(".")
        own_name = own_name.rstrip("0123456789")
        if any(part.isdigit() for part in blocks):
            continue
        if own_name in HEADS and own_name in alone and path not in layers:
            continue
        inside = _within(path, layers)[-1:] if own_name in HEADS + LAST else []
        if own_name in LAST_LAYERS and path in layers[-1:]:
            inside = [path]
        if own_name in HEADS or inside == layers[-1:]:
            found |= set(inside)
        if inside and inside == linear[-1:]:
            holders.add(".".join(blocks))
    hidden = {
        path
        for path, module in modules.items()
        if path.rpartition(".")[0] in holders and _convolves(module)
    }
    names = {name for weight in weights for name in weight.names}
    own = {name for name in names if _called_head(name, hidden)}
    under = {name for name in names if name.rpartition(".")[0] in found}
    last = linear[-1] if linear else ""
    inside_block = any(part.isdigit() for part in last.split(".")[:-1])
    candidate = last if last and not inside_block else None
    return Head(names=frozenset(own | under), candidate=candidate)


def _within(path: str, layers: list[str]) -> list[str]:
    """Return the layers that a part of a model is or holds."""
    return [layer for layer in layers if f"{layer}.".startswith(f"{path}.")]


def _convolves(module: nn.Module) -> bool:
    """Return whether the layers of a module are convolutions alone."""
    layers = [m for m in module.modules() if isinstance(m, nn.Linear | _ConvNd)]
    return bool(layers) and all(isinstance(m, _ConvNd) for m in layers)


def _called_head(name: str, hidden: set[str]) -> bool:
    """Return whether a parameter lies under a part called head that is not hidden."""
    parts = name.split(".")
    paths = (".".join(parts[: i + 1]) for i in range(len(parts)))
    return any(
        matches(part, HEAD) and path not in hidden
        for part, path in zip(parts, paths, strict=True)
    )
