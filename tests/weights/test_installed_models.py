"""The operators of the models of transformers, where it is installed."""

import re

import pytest

from isometry.adamo import AdamO

transformers = pytest.importorskip("transformers")

SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = {**SMALL, "num_hidden_layers": 1, "vocab_size": 20, "pad_token_id": 0}
# config, model, settings, and some parameters: why they are spared, or how pulled
MODELS = {
    "GPT2Config": (
        "GPT2LMHeadModel",
        {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 20},
        {"wte": "a table", "c_attn": "pulled: 3 .* columns", "c_fc": "pulled"},
    ),
    "BertConfig": (
        "BertForSequenceClassification",
        TEXT,
        {"classifier": "the head", "query": "pulled", "pooler": "pulled"},
    ),
    "Phi3Config": (
        "Phi3ForCausalLM",
        {**TEXT, "num_attention_heads": 4, "num_key_value_heads": 2},
        {
            "qkv_proj": r"pulled: 16 \+ 8 \+ 8",
            "gate_up": "pulled: 2",
            "lm_head": "head",
        },
    ),
    "MixtralConfig": (
        "MixtralForCausalLM",
        {**TEXT, "num_key_value_heads": 1, "num_local_experts": 4},
        {"gate_up_proj": "each member .* 2 .* rows", "down_proj": "each member"},
    ),
    "MambaConfig": (
        "MambaForCausalLM",
        {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4, "vocab_size": 20},
        {"A_log": "spared: decays", "conv1d.weight": "spared", "in_proj": "pulled: 2"},
    ),
    "ViTConfig": (
        "ViTForImageClassification",
        {**SMALL, "num_hidden_layers": 1, "image_size": 32, "patch_size": 16},
        {"cls_token": "a token", "position": "a token", "classifier": "the head"},
    ),
    "BloomConfig": (
        "BloomForCausalLM",
        {"hidden_size": 16, "n_layer": 1, "n_head": 2, "vocab_size": 20},
        {"query_key_value": "spared: several matrices", "dense_h_to": "pulled"},
    ),
}


@pytest.mark.parametrize("config", MODELS)
def test_transformers_models_are_known(config):
    name, settings, expected = MODELS[config]
    model = getattr(transformers, name)(getattr(transformers, config)(**settings))
    rows = [row for row in AdamO(model).describe() if len(row.shape) > 1]
    for part, said in expected.items():
        found = [row.cells()[3] for row in rows if part in row.name]
        assert found
        assert all(re.search(said, text) for text in found), (part, found)
