"""The models of ``models_in_use.py``: small ones of libraries in use, drawn at random.

Each is made without weights from the network, at a size that a laptop differentiates;
timm's and torchvision's are their own smallest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

Pick = Callable[[Any], Tensor]


@dataclass(frozen=True)
class Case:
    """A model at work.

    Attributes:
        model: Drawn at random, in evaluation mode.
        inputs: Two of them: a tensor, or keywords.
        pick: From what the model returns to ``(2, m)``, m of 2 to 4.
        dtype: In which its kernel is taken, float32 where it computes in nothing else.
    """

    model: nn.Module
    inputs: Tensor | Mapping[str, Any]
    pick: Pick
    dtype: torch.dtype = torch.float64


@dataclass(frozen=True)
class Recipe:
    """How a model is made.

    Attributes:
        name: As its library calls it.
        package: To import; empty for those that need torch alone.
        make: Returns it.
    """

    name: str
    package: str
    make: Callable[[], Case]


def _itself(outputs: Tensor) -> Tensor:
    return outputs


def _images(size: int) -> Tensor:
    return torch.randn(2, 3, size, size)


def _ids(length: int = 6) -> Tensor:
    return torch.randint(1, 20, (2, length))


class Agent(nn.Module):
    """A single-file agent as CleanRL's: a shared torso and two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(4, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 64), nn.ReLU()
        )
        self.actor, self.critic = nn.Linear(64, 3), nn.Linear(64, 1)

    def forward(self, boards: Tensor) -> Tensor:
        hidden = self.network(boards)
        return torch.cat([self.actor(hidden), self.critic(hidden)], 1)


class Recurrent(nn.Module):
    """A reader of sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.classifier = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 3)

    def forward(self, steps: Tensor) -> Tensor:
        return self.classifier(self.lstm(steps)[0][:, -1])


class Encoder(nn.Module):
    """torch's transformer, with a class token and positions."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True)
        self.cls_token = nn.Parameter(0.1 * torch.randn(1, 1, 16))
        self.positions = nn.Parameter(0.1 * torch.randn(1, 6, 16))
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        first = self.cls_token.expand(len(tokens), -1, -1)
        hidden = torch.cat([first, tokens], 1) + self.positions
        return self.head(self.blocks(hidden)[:, 0])


def _normed() -> nn.Module:
    """Return convolutions with weight norms, one of them grouped."""
    norm = nn.utils.parametrizations.weight_norm
    layers = norm(nn.Conv2d(3, 8, 3)), nn.ReLU(), norm(nn.Conv2d(8, 8, 3, groups=4))
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(128, 3))


def _bare(make: Callable[[], nn.Module], *shape: int) -> Callable[[], Case]:
    return lambda: Case(make().eval(), torch.randn(2, *shape), _itself)


def _decoder() -> nn.Module:
    up = nn.ConvTranspose2d(8, 4, 2, 2), nn.GroupNorm(2, 4), nn.GELU()
    return nn.Sequential(
        nn.Unflatten(1, (8, 2, 2)), *up, nn.Flatten(), nn.Linear(64, 3)
    )


def _timm(name: str, size: int = 64, **settings: Any) -> Recipe:
    def make() -> Case:
        model = import_module("timm").create_model(name, num_classes=3, **settings)
        return Case(model.eval(), _images(size), _itself)

    return Recipe(f"timm {name}", "timm", make)


def _torchvision(name: str) -> Recipe:
    def make() -> Case:
        model = getattr(import_module("torchvision.models"), name)(num_classes=3)
        return Case(model.eval(), _images(64), _itself)

    return Recipe(f"torchvision {name}", "torchvision", make)


SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = {**SMALL, "num_hidden_layers": 2, "vocab_size": 20, "pad_token_id": 0}
GROUPED = {**TEXT, "num_attention_heads": 4, "num_key_value_heads": 2}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 20, "n_positions": 8}
VISION = {**SMALL, "num_hidden_layers": 2, "image_size": 32, "patch_size": 16}
# Speech: one grouped convolution with a weight norm gives the positions.
SPEECH = {
    **SMALL,
    "num_hidden_layers": 1,
    "conv_dim": (8, 8),
    "conv_kernel": (4, 4),
    "conv_stride": (4, 4),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 8,
    "num_labels": 3,
}


def _last(outputs: Any) -> Tensor:
    return outputs.logits[:, -1, :3]


def _logits(outputs: Any) -> Tensor:
    return outputs.logits[:, :3]


def _made(kind: str, config: str, settings: Mapping[str, Any]) -> nn.Module:
    """Return a model of transformers, without dropout."""
    library = import_module("transformers")
    made = getattr(library, config)(**settings)
    return getattr(library, kind)(made).eval()


def _transformers(
    kind: str,
    config: str,
    settings: Mapping[str, Any],
    inputs: Callable[[], Mapping[str, Any]],
    pick: Pick,
) -> Recipe:
    return Recipe(
        f"transformers {kind}",
        "transformers",
        lambda: Case(_made(kind, config, settings), inputs(), pick),
    )


def _text() -> Mapping[str, Any]:
    return {"input_ids": _ids(), "attention_mask": torch.ones(2, 6).long()}


def _pair() -> Mapping[str, Any]:
    return {"input_ids": _ids(), "decoder_input_ids": _ids(4)}


def _adapted(**settings: Any) -> Case:
    """Return GPT-2 with adapters of peft beside its layers."""
    peft = import_module("peft")
    config = peft.LoraConfig(r=2, target_modules=["c_attn", "c_fc"], **settings)
    model = peft.get_peft_model(_made("GPT2LMHeadModel", "GPT2Config", GPT2), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
    return Case(model.eval(), _text(), _last)


def _adapted_convolutions() -> Case:
    peft = import_module("peft")
    model = _torchvision("resnet18").make().model
    config = peft.LoraConfig(r=2, target_modules=["conv1"], modules_to_save=["fc"])
    return Case(peft.get_peft_model(model, config).eval(), _images(64), _itself)


def _policy(kind: str) -> Callable[[], Case]:
    """Return a policy of stable-baselines3, as the values and chances of its choice."""

    def make() -> Case:
        policies = import_module("stable_baselines3.common.policies")
        spaces = import_module("gymnasium.spaces")
        board = spaces.Box(0, 1, (6,)) if kind == "ActorCriticPolicy" else None
        screen = spaces.Box(0, 255, (4, 36, 36), dtype="uint8")
        policy = getattr(policies, kind)(
            board or screen, spaces.Discrete(3), lr_schedule=lambda _: 1e-3
        )
        seen = torch.rand(2, 6) if board else 255 * torch.rand(2, 4, 36, 36)

        def pick(outputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
            _, values, chances = outputs
            return torch.cat([values, chances[:, None]], 1)

        inputs = {"obs": seen, "deterministic": True}
        return Case(policy.eval(), inputs, pick, torch.float32)

    return make


RECIPES = (
    Recipe("agent with two heads, as CleanRL's", "", _bare(Agent, 4, 10, 10)),
    Recipe("LSTM and classifier", "", _bare(Recurrent, 5, 8)),
    Recipe("torch's TransformerEncoder, tokens", "", _bare(Encoder, 5, 16)),
    Recipe("weight-normed, grouped convolutions", "", _bare(_normed, 3, 8, 8)),
    Recipe("transposed convolution, GroupNorm", "", _bare(_decoder, 32)),
    _torchvision("resnet18"),
    _torchvision("mobilenet_v3_small"),
    _timm("convnext_atto"),
    _timm("mobilenetv3_small_050"),
    _timm("efficientnet_lite0"),
    _timm("vit_tiny_patch16_224", img_size=64),
    _timm("deit_tiny_distilled_patch16_224", img_size=64),
    _timm("swin_tiny_patch4_window7_224", img_size=64),
    _timm("mixer_s32_224", img_size=64),
    _timm("levit_128s", 224),
    _transformers("GPT2LMHeadModel", "GPT2Config", GPT2, _text, _last),
    _transformers("LlamaForCausalLM", "LlamaConfig", GROUPED, _text, _last),
    _transformers("Phi3ForCausalLM", "Phi3Config", GROUPED, _text, _last),
    _transformers(
        "MixtralForCausalLM",
        "MixtralConfig",
        {**GROUPED, "num_local_experts": 4, "experts_implementation": "eager"},
        _text,
        _last,
    ),
    _transformers(
        "MambaForCausalLM",
        "MambaConfig",
        {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4, "vocab_size": 20},
        lambda: {"input_ids": _ids()},
        _last,
    ),
    _transformers("BertForSequenceClassification", "BertConfig", TEXT, _text, _logits),
    _transformers(
        "T5ForConditionalGeneration",
        "T5Config",
        {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
        | {"vocab_size": 20, "decoder_start_token_id": 0},
        _pair,
        _last,
    ),
    _transformers(
        "ViTForImageClassification",
        "ViTConfig",
        VISION,
        lambda: {"pixel_values": _images(32)},
        _logits,
    ),
    _transformers(
        "Dinov2ForImageClassification",
        "Dinov2Config",
        {**VISION, "mlp_ratio": 2},
        lambda: {"pixel_values": _images(32)},
        _logits,
    ),
    _transformers(
        "Wav2Vec2ForSequenceClassification",
        "Wav2Vec2Config",
        SPEECH,
        lambda: {"input_values": torch.randn(2, 200)},
        _logits,
    ),
    Recipe("peft LoRA on GPT-2", "peft", _adapted),
    Recipe("peft DoRA on GPT-2", "peft", lambda: _adapted(use_dora=True)),
    Recipe("peft LoRA on resnet18's kernels", "peft", _adapted_convolutions),
    Recipe(
        "stable-baselines3 ActorCriticPolicy",
        "stable_baselines3",
        _policy("ActorCriticPolicy"),
    ),
    Recipe(
        "stable-baselines3 ActorCriticCnnPolicy",
        "stable_baselines3",
        _policy("ActorCriticCnnPolicy"),
    ),
)
