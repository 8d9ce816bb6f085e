"""A registry of module types: what the operator of each of their parameters is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.rnn import RNNCellBase
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList

from isometry.weights.operators import Operator


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a parameter lives.

    Args:
        path: Dotted name of its module.
        key: Its own name in the module.
        module: The module.
        parent: The module that holds this module, or None.
        weight: The parameter.
        adapter: Whether it is a part of a low-rank adapter, which changes a layer.
    """

    path: str
    key: str
    module: nn.Module
    parent: nn.Module | None
    weight: Tensor
    adapter: bool = False

    @property
    def name(self) -> str:
        """The last part of the module's path."""
        return self.path.rpartition(".")[2]


Rule = Callable[[Place], Operator | None]
MATRIX = Operator(kind="matrix")
GAIN = Operator(kind="gain", why="the gain of a norm")
TABLE = Operator(kind="table", why="a table: one row is read at a time")
GROUPED = Operator(kind="grouped kernel", why="flattened it is not the operator")
PARAMETRISED = Operator(
    kind="parametrised", why="the weight is made from it; its own scale means nothing"
)
UNKNOWN = Operator(kind="unknown", why="no operator is known for it")
UNCLEAR = Operator(
    kind="packed matrices", why="several matrices, in an order that is not known"
)

RULES: dict[type | str, Rule] = {}


def register(*kinds: type | str) -> Callable[[Rule], Rule]:
    """Return a decorator that makes a function the rule of module types.

    Args:
        *kinds: Types, or names of classes whose package need not be installed. They
            hold for subclasses too; the nearest class that has an answer decides.

    Example:
        >>> class Dense(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.mixing = nn.Parameter(nn.Linear(2, 3).weight)
        >>> @register(Dense)
        ... def dense(place):
        ...     return MATRIX if place.key == "mixing" else None
        >>> layer = Dense()
        >>> rule_of(Place(path="", key="mixing", module=layer, parent=None,
        ...               weight=layer.mixing)).kind
        'matrix'
    """

    def keep(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(kinds, rule))
        return rule

    return keep


def rule_of(place: Place) -> Operator | None:
    """Return what the registry says of a parameter, or None.

    Args:
        place: Where the parameter lives.
    """
    for kind in type(place.module).__mro__:
        rule = RULES.get(kind) or RULES.get(kind.__name__)
        found = rule(place) if rule else None
        if found is not None:
            return found
    return None


# Linear layers that hold several matrices as blocks of rows, by their names in timm,
# transformers, and what grew from them.
QUERY_KEY_VALUE = ("qkv", "to_qkv", "Wqkv", "c_attn", "qkv_proj", "in_proj_qkv")
PAIRS = ("kv", "to_kv", "gate_up_proj")
# Head by head in BLOOM, GPT-NeoX and Falcon; keys beside values or latents in DeepSeek.
INTERLEAVED = ("query_key_value", "kv_b_proj", "kv_a_proj_with_mqa")


def _number(module: nn.Module | None, *keys: str) -> int | None:
    """Return the first whole number that a module, or its config, has under a name."""
    for holder in (module, getattr(module, "config", None)):
        for key in keys:
            value = getattr(holder, key, None)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    return None


def packed(parts: Any, *, axis: int = 0, members: int = 0) -> Operator:
    """Return the operator of several matrices in one parameter.

    Args:
        parts: How many, or the size of each.
        axis: 0 for blocks of rows, 1 for blocks of columns.
        members: Leading dimensions that count members.
    """
    return Operator(kind="packed matrices", parts=parts, axis=axis, members=members)


def _inside_packed(place: Place) -> bool:
    """Return whether a layer is wrapped with its norm, under a packed name, in timm."""
    above = place.path.split(".")[-2:-1]
    return any(name in (*QUERY_KEY_VALUE, *PAIRS) for name in above)


def _query_key_value(place: Place, size: int) -> Operator:
    """Return three parts, of different sizes where queries share keys and values."""
    heads = _number(place.parent, "num_heads", "num_attention_heads", "n_heads")
    shared = _number(place.parent, "num_key_value_heads", "num_kv_heads", "kv_n_heads")
    if heads is None or shared is None or heads == shared:
        return packed(3) if size % 3 == 0 else UNCLEAR
    width, rest = divmod(size, heads + 2 * shared)
    if rest:
        return UNCLEAR
    return packed((heads * width, shared * width, shared * width))


@register(nn.Linear)
def linear(place: Place) -> Operator | None:
    """A matrix, or what its name says it packs."""
    if place.key != "weight":
        return None
    child = CHILDREN.get(type(place.parent).__name__, {}).get(place.name)
    if child is not None:
        return child(place.parent)
    if is_lazy(place.weight):
        return MATRIX
    rows = place.weight.shape[0]
    if place.name in INTERLEAVED or _inside_packed(place):
        return UNCLEAR
    if place.name in QUERY_KEY_VALUE:
        return _query_key_value(place, rows)
    if place.name in PAIRS:
        return packed(2) if rows % 2 == 0 else UNCLEAR
    return MATRIX


def _state_space_inputs(mixer: Any) -> Operator:
    """Return the three parts of Mamba's x_proj: time step, B and C."""
    sizes = (mixer.time_step_rank, mixer.ssm_state_size, mixer.ssm_state_size)
    return packed(sizes)


# Class of the parent -> name of the linear layer -> what it packs.
CHILDREN: dict[str, dict[str, Callable[[Any], Operator]]] = {
    "MambaMixer": {"in_proj": lambda _: packed(2), "x_proj": _state_space_inputs},
    "Mamba2Mixer": {"in_proj": lambda _: UNCLEAR},
    "GluMlp": {"fc1": lambda _: packed(2)},
    "ModernBertMLP": {"Wi": lambda _: packed(2)},
    "SwiGLUFFN": {"w12": lambda _: packed(2)},
}


@register("Conv1D")
def gpt2_linear(place: Place) -> Operator | None:
    """A matrix ``(in, out)``, the transpose of a linear layer's, in GPT-2's code."""
    if place.key != "weight" or place.weight.ndim != 2:
        return None
    fan_in, out = place.weight.shape
    if place.name != "c_attn":
        return MATRIX
    return packed(out // fan_in, axis=1) if out % fan_in == 0 else UNCLEAR


@register(_ConvNd)
def convolution(place: Place) -> Operator | None:
    """A kernel, which is the matrix ``(out, in * k * k)``."""
    if place.key != "weight":
        return None
    if place.module.groups != 1:
        return GROUPED
    unclear = place.name in QUERY_KEY_VALUE or _inside_packed(place)
    return UNCLEAR if unclear else Operator(kind="kernel")


@register(nn.Embedding, nn.EmbeddingBag)
def embedding(place: Place) -> Operator | None:
    """A table."""
    return TABLE if place.key == "weight" else None


@register(_NormBase, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)
def norm(place: Place) -> Operator | None:
    """Gains and shifts, of any shape."""
    return GAIN


@register(nn.Bilinear)
def bilinear(place: Place) -> Operator | None:
    """A form of two inputs, no matrix."""
    why = "a form of two inputs"
    return Operator(kind="unknown", why=why) if place.key == "weight" else None


@register(ParametrizationList)
def parametrised(place: Place) -> Operator | None:
    """What a weight is made from."""
    return PARAMETRISED


GATES = {"LSTM": 4, "LSTMCell": 4, "GRU": 3, "GRUCell": 3}


@register(nn.RNNBase, RNNCellBase)
def recurrent(place: Place) -> Operator | None:
    """One matrix a gate, as blocks of rows; the projection of an LSTM is one matrix."""
    if place.key.startswith(("weight_ih", "weight_hh")):
        kinds = [
            GATES[k.__name__] for k in type(place.module).__mro__ if k.__name__ in GATES
        ]
        return packed(kinds[0]) if kinds else MATRIX
    return MATRIX if place.key.startswith("weight_hr") else None


@register(nn.MultiheadAttention)
def attention(place: Place) -> Operator | None:
    """Query, key and value: blocks of rows, or three matrices of their own."""
    if place.key == "in_proj_weight":
        return packed(3)
    apart = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    return MATRIX if place.key in apart else None


EXPERTS = ("gate_up_proj", "gate_proj", "up_proj", "down_proj", "w1", "w2", "w3")


def experts(place: Place) -> Operator | None:
    """Stacked experts: the first dimension counts them, gate and up are two matrices.

    Whether the two are blocks of rows or of columns follows from the shape of the way
    down. They alternate in GPT-OSS.

    Args:
        place: In a class whose name ends with Experts.
    """
    weight = place.weight
    if place.key not in EXPERTS or is_lazy(weight) or weight.ndim != 3:
        return None
    if place.key != "gate_up_proj":
        return Operator(kind="packed matrices", members=1)
    down = getattr(place.module, "down_proj", None)
    if "GptOss" in type(place.module).__name__ or not isinstance(down, Tensor):
        return UNCLEAR
    rows, columns = weight.shape[1:]
    if down.shape[1:] == (columns, rows // 2):
        return packed(2, members=1)
    if down.shape[1:] == (columns // 2, rows):
        return packed(2, members=1, axis=1)
    return UNCLEAR
