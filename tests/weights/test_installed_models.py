"""The operators of transformers, adapters of peft, heads of timm: where installed."""

import re
import warnings
from importlib import import_module

import pytest
import torch

from isometry.adamo import AdamO
from isometry.weights import find_head, weights_of

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own


def library(name):
    return pytest.importorskip(name, exc_type=ImportError)


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
    transformers = library("transformers")
    name, settings, expected = MODELS[config]
    model = getattr(transformers, name)(getattr(transformers, config)(**settings))
    rows = [row for row in AdamO(model).describe() if len(row.shape) > 1]
    for part, said in expected.items():
        found = [row.cells()[3] for row in rows if part in row.name]
        assert found
        assert all(re.search(said, text) for text in found), (part, found)


TARGETS = {"target_modules": ["query", "dense"], "task_type": "SEQ_CLS"}
ADAPTERS = {
    "LoraConfig": {"r": 2, "use_dora": True},
    "AdaLoraConfig": {"init_r": 2, "target_r": 2, "total_step": 9},
    "LoHaConfig": {"r": 2},
    "LoKrConfig": {"r": 2},
    "OFTConfig": {"oft_block_size": 4},
    "BOFTConfig": {"boft_block_size": 4},
    "VeraConfig": {"r": 2},
    "IA3Config": {"feedforward_modules": ["dense"]},
    "HRAConfig": {"r": 2},
    "FourierFTConfig": {"n_frequency": 9},
    "BoneConfig": {"r": 2},
    "PeanutConfig": {"r": 2},
}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_adapters_of_peft_are_spared_and_the_head_is_found(kind):
    transformers, peft = library("transformers"), library("peft")
    if not hasattr(peft, kind):
        pytest.skip(f"this peft has no {kind}")
    model = transformers.BertForSequenceClassification(transformers.BertConfig(**TEXT))
    adapted = peft.get_peft_model(
        model, getattr(peft, kind)(**ADAPTERS[kind], **TARGETS)
    )
    rows = AdamO(adapted, relaxation_steps=100).describe()
    assert not [row.name for row in rows if row.pulled]
    kinds = {row.kind for row in rows if "classifier" not in row.name}
    assert kinds == {"adapter"}
    assert all(
        row.why in ("the head", "a vector") for row in rows if "classifier" in row.name
    )


# Its heads count from 0 and are several: a warning names the last.
UNKNOWN = {"efficientvim"}


@pytest.mark.slow
def test_heads_of_timms_families_are_found():
    timm, found = library("timm"), {}
    for family in timm.list_modules():
        names = timm.list_models(module=family)
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = timm.create_model(names[0]) if names else None
        known = getattr(model, "default_cfg", {}).get("classifier")
        paths = {known} if isinstance(known, str) else set(known or ())
        layers = {p for p in paths if hasattr(model.get_submodule(p), "weight")}
        if not layers:
            continue
        heads = {
            n.rpartition(".")[0] for n in find_head(model, weights_of(model)).names
        }
        outside = {h for h in heads if h.split(".")[0].endswith("conv_head")}
        found[family] = layers <= heads and not outside
    assert len(found) > 50
    assert {family for family, right in found.items() if not right} <= UNKNOWN


POLICIES = {
    "td3.MlpPolicy": {"actor.mu.4", "critic.qf0.4", "critic.qf1.4"},
    "sac.MlpPolicy": {"actor.mu", "actor.log_std", "critic.qf0.4", "critic.qf1.4"},
    "dqn.MlpPolicy": {"q_net.q_net.4"},
    "ppo.MlpPolicy": {"action_net", "value_net"},
}


@pytest.mark.parametrize("policy", POLICIES)
def test_heads_of_stable_baselines_policies_are_found(policy):
    library("stable_baselines3")
    spaces = import_module("gymnasium.spaces")
    place, kind = policy.split(".")
    box, four = spaces.Box(-1, 1, (3,)), spaces.Discrete(4)
    made = getattr(import_module(f"stable_baselines3.{place}"), kind)(
        box, four if place in ("dqn", "ppo") else box, lr_schedule=lambda _: 1e-3
    )
    names = {n.rpartition(".")[0] for n in find_head(made, weights_of(made)).names}
    assert {name for name in names if "target" not in name} == POLICIES[policy]
