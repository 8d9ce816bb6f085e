"""Models of timm, torchvision and transformers, where these are installed."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from zeroing import check_units

from isometry.attachment.building import wire

TEXT = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
TEXT |= {"num_hidden_layers": 2, "vocab_size": 20, "pad_token_id": 0}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 20}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
# Library, model, settings, how many layers have units that can be replaced, and how
# many have not.
MODELS = [
    ("torchvision", "resnet18", {}, 8, 12),
    ("torchvision", "squeezenet1_1", {}, 25, 0),
    ("torchvision", "densenet121", {}, 58, 62),
    ("torchvision", "mobilenet_v2", {}, 1, 51),
    ("torchvision", "efficientnet_b0", {}, 17, 64),
    ("torchvision", "regnet_y_400mf", {}, 17, 68),
    ("torchvision", "swin_t", {}, 12, 64),
    ("timm", "resnet18d", {}, 10, 12),
    ("timm", "resnetv2_50", {}, 33, 20),
    ("timm", "convnext_atto", {}, 12, 28),
    ("timm", "vit_tiny_patch16_224", {"img_size": 64}, 12, 61),
    ("timm", "mixer_s32_224", {"img_size": 64}, 16, 17),
    ("timm", "gmlp_ti16_224", {"img_size": 64}, 0, 91),
    ("transformers", "GPT2LMHeadModel GPT2Config", GPT2, 2, 10),
    ("transformers", "BertForSequenceClassification BertConfig", TEXT, 3, 10),
    ("transformers", "LlamaForCausalLM LlamaConfig", TEXT, 0, 14),
    ("transformers", "T5ForConditionalGeneration T5Config", T5, 4, 28),
    ("transformers", "BloomForCausalLM BloomConfig", {"n_head": 2}, 2, 6),
]
TOKENS = torch.tensor([[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]])


def built(library, name, settings):
    """Return a model in double precision, and an example."""
    package = pytest.importorskip(library)
    torch.manual_seed(0)
    image = (torch.randn(2, 3, 64, 64, dtype=torch.float64),)
    if library == "timm":
        return package.create_model(name, num_classes=7, **settings).double(), image, {}
    if library == "torchvision":
        return getattr(package.models, name)(num_classes=7).double(), image, {}
    kind, config = (getattr(package, part) for part in name.split())
    example = {"input_ids": TOKENS}
    if name.startswith("T5"):
        settings = {**settings, "vocab_size": 20, "decoder_start_token_id": 0}
        example["labels"] = TOKENS
    if name.startswith("Bloom"):
        settings = {**settings, "hidden_size": 16, "n_layer": 2, "vocab_size": 20}
    return kind(config(**settings)).double(), (), example


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("library", "name", "settings", "wired", "refused"), MODELS)
def test_replaced_units_do_nothing(library, name, settings, wired, refused):
    model, args, kwargs = built(library, name, settings)
    wiring = wire(model, args, kwargs)
    layers, points = wiring.structure.layers, wiring.points
    assert (len(layers), len(wiring.refused)) == (wired, refused)
    some = slice(0, None, max(1, wired // 4))  # a layer costs four forward passes
    structure = replace(wiring.structure, layers=layers[some])
    part = replace(wiring, structure=structure, points=points[some])
    list(check_units(model, part, args, kwargs, most=1, tolerance=1e-8))
