import pytest
import torch
from torch import nn

from isometry.adamo import AdamO, param_groups


class Language(nn.Module):
    def __init__(self, tied=True):
        super().__init__()
        self.tokens = nn.Embedding(11, 8)
        self.norm = nn.LayerNorm((4, 8))
        self.block = nn.Linear(8, 8)
        self.heads = nn.Linear(8, 8)
        self.lm_head = nn.Linear(8, 11, bias=False)
        if tied:
            self.lm_head.weight = self.tokens.weight


def names(model, group):
    chosen = {id(p) for p in group["params"]}
    return [name for name, p in model.named_parameters() if id(p) in chosen]


def test_weights_are_pulled_and_vectors_embeddings_norms_and_heads_spared():
    model = Language(tied=False)
    weights, rest = param_groups(model)
    assert names(model, weights) == ["block.weight", "heads.weight"]
    assert names(model, rest) == [
        "tokens.weight",
        "norm.weight",
        "norm.bias",
        "block.bias",
        "heads.bias",
        "lm_head.weight",
    ]
    assert rest["isometry_strength"] == 0
    assert "isometry_strength" not in weights


def test_a_weight_shared_with_a_spared_module_is_spared():
    model = Language(tied=True)
    del model.tokens  # named by the head alone, then by the embedding alone
    model.lm_head.weight = nn.Parameter(torch.zeros(11, 8))
    model.other = nn.Linear(8, 11, bias=False)
    model.other.weight = model.lm_head.weight
    weights, _ = param_groups(model)
    assert "other.weight" not in names(model, weights)
    assert names(model, weights) == ["block.weight", "heads.weight"]


def test_every_trained_parameter_is_in_exactly_one_group():
    model = Language()
    model.block.bias.requires_grad_(False)
    groups = param_groups(model)
    found = [id(p) for group in groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    AdamO(groups)


def test_grouped_kernels_are_spared_and_plain_ones_are_not():
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 3, groups=8))
    weights, rest = param_groups(model)
    assert names(model, weights) == ["0.weight"]
    assert names(model, rest) == ["0.bias", "1.weight", "1.bias"]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ((), ["block.weight", "heads.weight", "lm_head.weight"]),
        (("block",), ["heads.weight", "lm_head.weight"]),
        ("block.weight", ["heads.weight", "lm_head.weight"]),
        (("head", "heads"), ["block.weight"]),
    ],
)
def test_names_are_excluded_by_their_parts(exclude, left):
    model = Language(tied=False)
    assert names(model, param_groups(model, exclude)[0]) == left


def test_a_model_of_vectors_has_one_group_only():
    (group,) = param_groups(nn.Sequential(nn.BatchNorm1d(3)))
    assert group["isometry_strength"] == 0


def test_a_stacked_bias_is_a_vector():
    model = nn.Module()
    model.weight = nn.Parameter(torch.ones(5, 3, 2))
    model.bias = nn.Parameter(torch.ones(5, 3))
    weights, rest = param_groups(model, isometry_dims=1)
    assert weights["params"][0] is model.weight
    assert rest["params"][0] is model.bias
    AdamO([weights, rest])


@pytest.mark.parametrize(
    ("model", "exclude", "message"),
    [
        (Language(), ("blok",), "unknown part of .* 'blok'; did you mean 'block'"),
        (nn.ReLU(), ("head",), "a parameter that needs a gradient, found none"),
    ],
)
def test_bad_arguments_are_refused(model, exclude, message):
    with pytest.raises(ValueError, match=message):
        param_groups(model, exclude)
