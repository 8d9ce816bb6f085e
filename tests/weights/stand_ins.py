"""Models with the module layout of libraries that need not be installed."""

import torch
from torch import nn


class Conv1D(nn.Module):
    """As transformers': the weight is (in, out), and its last axis holds the parts."""

    def __init__(self, out, fan_in):
        super().__init__()
        self.nf = out
        self.weight = nn.Parameter(torch.randn(fan_in, out))
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x):
        return x @ self.weight + self.bias


class GPT2Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_attn = Conv1D(3 * width, width)
        self.c_proj = Conv1D(width, width)


class GPT2(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.wte = nn.Embedding(11, width)
        self.wpe = nn.Embedding(5, width)
        self.h = nn.ModuleList([GPT2Attention(width)])
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, 11, bias=False)
        self.lm_head.weight = self.wte.weight


class Attention(nn.Module):
    """As timm's."""

    def __init__(self, width=8, heads=2):
        super().__init__()
        self.num_heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)


class LayerScale(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, width))


class VisionTransformer(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 17, width))
        self.patch_embed = nn.Conv2d(3, width, 4, 4)
        self.blocks = nn.Sequential(Attention(width), LayerScale(width))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 5)
        self.head_dist = nn.Linear(width, 5)


class WindowAttention(Attention):
    """As Swin's."""

    def __init__(self, width=8, heads=2):
        super().__init__(width, heads)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(49, heads))


class LeViT(nn.Module):
    """As timm's: a layer with its norm, whose rows are packed head by head."""

    def __init__(self, width=8):
        super().__init__()
        self.qkv = nn.ModuleDict(
            {"linear": nn.Linear(width, 16, bias=False), "bn": nn.BatchNorm1d(16)}
        )


class GroupedQueries(nn.Module):
    """As Phi-3's: four heads of queries share two of keys and values."""

    def __init__(self, width=8):
        super().__init__()
        self.num_heads, self.num_key_value_heads = 4, 2
        self.qkv_proj = nn.Linear(width, 16, bias=False)


class BloomAttention(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.query_key_value = nn.Linear(width, 3 * width)
        self.dense = nn.Linear(width, width)


class MambaMixer(nn.Module):
    def __init__(self, width=8, inner=16, states=4, rank=2):
        super().__init__()
        self.time_step_rank, self.ssm_state_size = rank, states
        self.A_log = nn.Parameter(torch.ones(inner, states))
        self.D = nn.Parameter(torch.ones(inner))
        self.conv1d = nn.Conv1d(inner, inner, 4, groups=inner)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.x_proj = nn.Linear(inner, rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.out_proj = nn.Linear(inner, width, bias=False)


class MixtralExperts(nn.Module):
    def __init__(self, experts=4, width=8, inner=16):
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.randn(experts, 2 * inner, width))
        self.down_proj = nn.Parameter(torch.randn(experts, width, inner))


class Llama4TextExperts(nn.Module):
    """Its matrices are transposed: gate and up are blocks of columns."""

    def __init__(self, experts=4, width=8, inner=16):
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.randn(experts, width, 2 * inner))
        self.down_proj = nn.Parameter(torch.randn(experts, inner, width))


class GptOssExperts(Llama4TextExperts):
    """Its columns alternate between gate and up."""


class GluMlp(nn.Module):
    """As timm's."""

    def __init__(self, width=8):
        super().__init__()
        self.fc1 = nn.Linear(width, 32)
        self.fc2 = nn.Linear(16, width)


class ResNet(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = nn.Sequential(nn.Conv2d(width, width, 3), nn.BatchNorm2d(width))
        self.fc = nn.Linear(width, 5)


class Actor(nn.Module):
    """As stable-baselines3's policies."""

    def __init__(self, width=8):
        super().__init__()
        nets = {
            name: nn.Sequential(nn.Linear(4, width), nn.Tanh())
            for name in ("policy_net", "value_net")
        }
        self.mlp_extractor = nn.ModuleDict(nets)
        self.action_net = nn.Linear(width, 2)
        self.value_net = nn.Linear(width, 1)


class CleanRL(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1))
        self.actor = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 2))


class SoftActorCritic(nn.Module):
    """As stable-baselines3's: two heads of the actor side by side, two critics."""

    def __init__(self, width=8):
        super().__init__()
        self.actor = nn.Module()
        self.actor.latent_pi = nn.Sequential(nn.Linear(4, width), nn.ReLU())
        self.actor.mu, self.actor.log_std = nn.Linear(width, 2), nn.Linear(width, 2)
        self.critic = nn.Module()
        for name in ("qf0", "qf1"):
            net = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 1))
            self.critic.add_module(name, net)


class Roberta(nn.Module):
    """As transformers': the classifier is made before the encoder."""

    def __init__(self, width=8):
        super().__init__()
        self.classifier = nn.Module()
        self.classifier.dense = nn.Linear(width, width)
        self.classifier.out_proj = nn.Linear(width, 2)
        self.layer = nn.ModuleList([nn.Linear(width, width)])


class Whisper(nn.Module):
    """As transformers': the head has a name that hidden layers have as well."""

    def __init__(self, width=8):
        super().__init__()
        self.decoder = nn.ModuleDict({"proj_out": nn.Linear(width, width)})
        self.proj_out = nn.Linear(width, 5)


class Tutorial(nn.Module):
    """As torch's tutorials: the last of numbered layers is the head."""

    def __init__(self, width=8):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, width), nn.Linear(width, width)
        self.fc3 = nn.Linear(width, 2)


class EfficientNet(nn.Module):
    """As timm's: the head of the convolutions is hidden, the classifier is last."""

    def __init__(self, width=8):
        super().__init__()
        self.conv_stem = nn.Conv2d(3, width, 3, bias=False)
        self.conv_head = nn.Conv2d(width, 16, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.classifier = nn.Linear(16, 5)


class SelecSls(nn.Module):
    """As timm's: a sequence of hidden convolutions that is called head."""

    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3)
        self.head = nn.Sequential(nn.Conv2d(width, width, 3), nn.BatchNorm2d(width))
        self.fc = nn.Linear(width, 5)


class Segmenter(nn.Module):
    """A transformer whose head is a convolution, as transformers' and mmseg's."""

    def __init__(self, width=8):
        super().__init__()
        self.proj = nn.Linear(width, width)
        self.decode_head = nn.ModuleDict({"conv_seg": nn.Conv2d(width, 5, 1)})


class ConvNet(nn.Module):
    """As timm's DLA and DPN: without a linear layer."""

    def __init__(self, width=8):
        super().__init__()
        self.base = nn.Conv2d(3, width, 3)
        self.fc = nn.Conv2d(width, 5, 1)


class LoraLinear(nn.Module):
    """As peft's."""

    def __init__(self, width=8):
        super().__init__()
        self.base_layer = nn.Linear(width, width).requires_grad_(False)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(width, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, width, bias=False)})


class LoraConv2d(nn.Module):
    """As peft's, whose layers declare their adapters."""

    adapter_layer_names = ("lora_A", "lora_B", "lora_magnitude_vector")

    def __init__(self, width=8):
        super().__init__()
        self.base_layer = nn.Conv2d(width, width, 3).requires_grad_(False)
        self.lora_A = nn.ModuleDict({"default": nn.Conv2d(width, 2, 3, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Conv2d(2, width, 1, bias=False)})


class PeanutLinear(nn.Module):
    """As peft's: an adapter of another name, with layers of its own."""

    adapter_layer_names = ("peanut_A", "peanut_encoders", "loha_w")

    def __init__(self, width=8):
        super().__init__()
        self.base_layer = nn.Linear(width, width).requires_grad_(False)
        self.peanut_A = nn.ModuleDict({"default": nn.Linear(width, 2, bias=False)})
        self.peanut_encoders = nn.ModuleDict(
            {"default": nn.ModuleList([nn.Linear(2, 2)])}
        )
        self.loha_w = nn.ParameterDict({"default": torch.ones(2, width)})


class SavedLinear(nn.Module):
    """As peft's: a layer that is trained in another's place."""

    adapter_layer_names = ("modules_to_save",)

    def __init__(self, width=8):
        super().__init__()
        self.original_module = nn.Linear(width, width).requires_grad_(False)
        self.modules_to_save = nn.ModuleDict({"default": nn.Linear(width, width)})


class LoralibLinear(nn.Linear):
    """As loralib's: the factors are parameters of the layer itself."""

    def __init__(self, width=8):
        super().__init__(width, width)
        self.lora_A = nn.Parameter(torch.ones(2, width))


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.mixing = nn.Parameter(torch.randn(3, 3))
