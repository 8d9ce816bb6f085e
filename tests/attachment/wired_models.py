"""Models with what a tracer may meet, and what is expected of each."""

import torch
from torch import nn
from torch.nn import functional


def sequence(*layers):
    return lambda: nn.Sequential(*(layer() for layer in layers))


class Functional(nn.Module):
    """As in torch's first tutorial: pools and nonlinearities are functions."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.fc1 = nn.Linear(6 * 4, 10)
        self.fc2 = nn.Linear(10, 3)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.relu(functional.max_pool2d(self.conv2(x), 2))
        x = functional.dropout(
            functional.gelu(self.fc1(torch.flatten(x, 1))), 0.2, self.training
        )
        return functional.log_softmax(self.fc2(x), dim=1)


class BasicBlock(nn.Module):
    """torchvision's: one nonlinearity, in place, serves twice."""

    def __init__(self, width_in, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or width != width_in:
            self.downsample = nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class Bottleneck(nn.Module):
    def __init__(self, width_in, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width_in, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width_in)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(self.bn3(self.conv3(out)) + x)


class ResNet(nn.Module):
    def __init__(self, *blocks, width=6):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(2)
        self.layer1 = nn.Sequential(*(make() for make in blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width, 5)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(self.avgpool(self.layer1(x)).flatten(1))


def basic_resnet():
    return ResNet(lambda: BasicBlock(4, 6, 2), lambda: BasicBlock(6, 6))


def bottleneck_resnet():
    return ResNet(lambda: Bottleneck(4, 3), width=4)


class Conv1D(nn.Module):
    """transformers': the weight is (in, out)."""

    def __init__(self, out, fan_in):
        super().__init__()
        self.nf = out
        self.weight = nn.Parameter(torch.randn(fan_in, out) / fan_in**0.5)
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x):
        size = (*x.shape[:-1], self.nf)
        return torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight).view(size)


class NewGELU(nn.Module):
    """transformers': made of powers and tanh."""

    def forward(self, x):
        inner = 0.8 * (x + 0.044715 * torch.pow(x, 3.0))
        return 0.5 * x * (1.0 + torch.tanh(inner))


class GPT2Block(nn.Module):
    def __init__(self, width, heads=2):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn = Conv1D(3 * width, width)
        self.attn_proj = Conv1D(width, width)
        self.c_fc = Conv1D(4 * width, width)
        self.act = NewGELU()
        self.c_proj = Conv1D(width, 4 * width)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        parts = self.c_attn(self.ln_1(x)).split(x.shape[-1], dim=2)
        q, k, v = (p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in parts)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn_proj(mixed.transpose(1, 2).flatten(2))
        hidden = self.act(self.c_fc(self.ln_2(x)))
        return x + self.dropout(self.c_proj(hidden))


class GPT2(nn.Module):
    """The head is tied to the table of tokens; outputs are a dictionary."""

    def __init__(self, width=8, vocabulary=11):
        super().__init__()
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(6, width)
        self.h = nn.ModuleList([GPT2Block(width), GPT2Block(width)])
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, input_ids, labels=None):
        x = self.wte(input_ids) + self.wpe(torch.arange(input_ids.shape[1]))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        loss = None
        if labels is not None:
            loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return {"loss": loss, "logits": logits}


class Attends(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.embed = nn.Linear(3, width)
        self.attn = nn.MultiheadAttention(width, 2, batch_first=True)
        self.fc1 = nn.Linear(width, 12)
        self.fc2 = nn.Linear(12, 4)

    def forward(self, x):
        x = torch.tanh(self.embed(x))
        x = x.detach() * 0 + self.attn(x, x, x)[0]
        return self.fc2(functional.silu(self.fc1(x)).mean(1))


class Encoder(nn.Module):
    def __init__(self, norm_first, activation="relu"):
        super().__init__()
        self.embed = nn.Linear(3, 8)
        self.block = nn.TransformerEncoderLayer(
            8, 2, 16, batch_first=True, norm_first=norm_first, activation=activation
        )
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.block(self.embed(x)).mean(1))


class Reads(nn.Module):
    """Units that attention's packed weights read."""

    def __init__(self, width=8):
        super().__init__()
        self.embed = nn.Linear(3, width)
        self.act = nn.ReLU()
        self.attn = nn.MultiheadAttention(width, 2, batch_first=True)
        self.fc = nn.Linear(width, 4)

    def forward(self, x):
        x = self.act(self.embed(x))
        return self.fc(self.attn(x, x, x, need_weights=False)[0].mean(1))


class Recurrent(nn.Module):
    def __init__(self, kind=nn.LSTM):
        super().__init__()
        self.embed = nn.Linear(3, 6)
        self.act = nn.ReLU()
        self.rnn = kind(6, 5, batch_first=True)
        self.fc1 = nn.Linear(5, 7)
        self.fc2 = nn.Linear(7, 2)

    def forward(self, x):
        x, _ = self.rnn(self.act(self.embed(x)))
        return self.fc2(torch.relu(self.fc1(x[:, -1])))


class GLU(nn.Module):
    """Gate and value in one layer, as timm's GluMlp, and in two, as LLaMA's."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(3, 16)
        self.fc2 = nn.Linear(8, 6)
        self.gate_proj = nn.Linear(6, 10)
        self.up_proj = nn.Linear(6, 10)
        self.down_proj = nn.Linear(10, 5)
        self.act = nn.SiLU()
        self.fc3 = nn.Linear(5, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        gate, value = self.fc1(x).chunk(2, dim=-1)
        x = self.fc2(torch.sigmoid(gate) * value)
        x = self.down_proj(self.act(self.gate_proj(x)) * self.up_proj(x))
        return self.head(torch.relu(self.fc3(x)))


class DenseNet(nn.Module):
    """Each layer reads all before it, through a norm of its own."""

    def __init__(self):
        super().__init__()
        self.conv0 = nn.Conv2d(3, 4, 3, padding=1)
        self.norm1, self.norm2 = nn.BatchNorm2d(4), nn.BatchNorm2d(7)
        self.conv1a, self.norm1a = nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5)
        self.conv1 = nn.Conv2d(5, 3, 3, padding=1)
        self.fc = nn.Linear(7, 2)

    def forward(self, x):
        x = self.conv0(x)
        new = self.norm1a(self.conv1a(torch.relu(self.norm1(x))))
        new = self.conv1(torch.relu(new))
        x = torch.relu(self.norm2(torch.cat([x, new], 1)))
        return self.fc(x.mean((2, 3)))


class Branches(nn.Module):
    """GoogLeNet's: branches side by side, read by one layer."""

    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU())
        self.c = nn.Conv2d(9, 6, 3)
        self.fc = nn.Linear(6 * 4, 2)

    def forward(self, x):
        x = torch.cat([self.a(x), self.b(x)], dim=1)
        x = torch.relu(self.c(x))
        return self.fc(functional.avg_pool2d(x, 3).flatten(1))


class Twice(nn.Module):
    """Siamese: layers are called twice."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3, 6), nn.Linear(6, 5)
        self.act = nn.ReLU()
        self.fc3 = nn.Linear(5, 2)

    def forward(self, x, other):
        one, two = (torch.relu(self.fc2(self.act(self.fc1(t)))) for t in (x, other))
        return self.fc3(torch.cat([one, two])).chunk(2)


class SharedReader(nn.Module):
    """One weight reads two layers in the same columns."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 6), nn.Linear(3, 6)
        self.fc = nn.Linear(6, 2)

    def forward(self, x):
        return self.fc(torch.relu(self.a(x))) - self.fc(torch.relu(self.b(x)))


class TwoReaders(nn.Module):
    """Actor and critic on one body."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh()
        )
        self.actor, self.critic = nn.Linear(6, 2), nn.Linear(6, 1)

    def forward(self, x):
        x = self.body(x)
        return self.actor(x), self.critic(x)


class Shuffled(nn.Module):
    """ShuffleNet's: channels in another order."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        x = torch.relu(self.conv1(x))
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.fc(torch.relu(self.conv2(x)).amax((2, 3)))


class PairedMax(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(3, 8), nn.Linear(8, 6), nn.Linear(6, 2)

    def forward(self, x):
        pairs = self.fc1(x).unflatten(-1, (4, 2))
        x = torch.stack([pairs.amin(-1), pairs.amax(-1)], -1).flatten(1)
        return self.fc3(functional.leaky_relu(self.fc2(x), 0.1))


class ConcatenatedReLU(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3, 8), nn.Linear(16, 2)
        self.act = nn.ReLU()

    def forward(self, x):
        x = self.fc1(x)
        return self.fc2(torch.cat([self.act(x), self.act(-x)], -1))


class ChannelsLast(nn.Module):
    """Flattened with channels last: a unit's entries are not neighbours."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4 * 16, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        x = torch.relu(self.conv(x)).permute(0, 2, 3, 1).flatten(1)
        return self.head(functional.elu(self.fc(x)))


class NormAfter(nn.Module):
    def __init__(self, norm=nn.BatchNorm1d):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(3, 8), nn.Linear(8, 6), nn.Linear(6, 2)
        self.norm = norm(8)

    def forward(self, x):
        return self.fc3(torch.relu(self.fc2(self.norm(torch.relu(self.fc1(x))))))


class TiedAutoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Linear(4, 6)
        self.offset = nn.Parameter(torch.zeros(4))

    def forward(self, x):
        return functional.linear(
            torch.relu(self.weight(x)), self.weight.weight.t(), self.offset
        )


class Raw(nn.Module):
    """Weights without layers, in the orientation (in, out)."""

    def __init__(self):
        super().__init__()
        self.dense = nn.ParameterDict(
            {"weight_in": torch.randn(3, 7), "bias_in": torch.zeros(7)}
        )
        self.act = nn.ELU()
        self.head = nn.Linear(7, 2)

    def forward(self, x):
        return self.head(self.act(x @ self.dense["weight_in"] + self.dense["bias_in"]))


class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.down, self.up = nn.Conv2d(6, 3, 1), nn.Conv2d(3, 6, 1)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        x = torch.relu(self.conv(x))
        gate = torch.sigmoid(self.up(torch.relu(self.down(x.mean((2, 3), True)))))
        return self.head((x * gate).mean((2, 3)))


class Decoder(nn.Module):
    """Transposed convolutions, up- and downsampling, two modules of one kind."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.SiLU(),
            nn.ConvTranspose2d(4, 6, 2, 2),
            nn.BatchNorm2d(6),
            nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(6, 4, 3),
            nn.GroupNorm(2, 4),
            nn.Mish(),
            nn.ZeroPad2d(1),
            nn.Conv2d(4, 3, 3),
        )

    def forward(self, x):
        return torch.sigmoid(self.net(x))


class Output(nn.Module):
    """Hidden units are an output as well."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3, 6), nn.Linear(6, 2)

    def forward(self, x):
        hidden = torch.relu(self.fc1(x))
        return {"logits": self.fc2(hidden), "features": hidden}


class Noise(nn.Module):
    """An operation of which nothing is known."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.fc2(torch.cumsum(torch.relu(self.fc1(x)), -1))


class Grouped(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.depth = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, groups=6)
        self.conv2, self.fc = nn.Conv2d(6, 5, 1), nn.Linear(5, 2)

    def forward(self, x):
        x = torch.relu(self.depth(torch.relu(self.conv1(x))))
        return self.fc(torch.relu(self.conv2(x)).mean((-1, -2)))


def mixer(norm):
    return sequence(
        lambda: nn.Linear(3, 6),
        lambda: norm(6),
        nn.ReLU,
        lambda: nn.Linear(6, 8),
        nn.Tanh,
        lambda: nn.Dropout(0.3),
        lambda: nn.Linear(8, 2),
    )


MLP = sequence(lambda: nn.Linear(3, 6), nn.ReLU, lambda: nn.Linear(6, 2))
CNN = sequence(
    lambda: nn.Conv2d(3, 4, 3),
    nn.ReLU,
    lambda: nn.MaxPool2d(2),
    lambda: nn.Conv2d(4, 6, 3, padding=1),
    lambda: nn.BatchNorm2d(6),
    lambda: nn.ReLU(inplace=True),
    lambda: nn.Dropout2d(0.2),
    nn.Flatten,
    lambda: nn.Linear(6 * 9, 8),
    nn.GELU,
    lambda: nn.Linear(8, 2),
)
CONV1D = sequence(
    lambda: nn.Conv1d(3, 4, 3),
    nn.PReLU,
    lambda: nn.MaxPool1d(2),
    lambda: nn.Conv1d(4, 5, 3),
    nn.Softplus,
    lambda: nn.AdaptiveAvgPool1d(2),
    nn.Flatten,
    lambda: nn.Linear(10, 2),
)
IMAGE = (3, 8, 8)
SMALL = (3, 6, 6)


class Overwritten(nn.Module):
    """What was flattened is read after the nonlinearity acted in place on the maps."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4 * 16, 2)

    def forward(self, x):
        x = self.conv(x)
        flat = x.flatten(1)
        x.relu_()
        return self.fc(flat)


class Numpy(nn.Module):
    """Leaves torch on the way."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(3, 6), nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        x = torch.from_numpy(x.detach().numpy().cumsum(-1)) + 0 * x
        return self.fc3(torch.relu(self.fc2(x)))


class Scaled(nn.Module):
    """A constant factor moves the activations to behind it; a random mask does not."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(3, 6), nn.Linear(6, 5), nn.Linear(5, 2)
        self.register_buffer("factor", torch.tensor(0.1))

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        mask = torch.rand(x.shape, dtype=x.dtype) < 0.7
        x = torch.relu(self.fc2(x * mask.div(0.7)))
        return self.fc3(x * self.factor)


class Unpooled(nn.Module):
    """SegNet's: the places of maxima are used again further on."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)
        self.conv3 = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        x, places = self.pool(torch.relu(self.conv1(x)))
        x = torch.relu(self.conv2(x))
        return self.conv3(self.unpool(x, places))


class Stateful(nn.Module):
    """What it computed is there at the next call."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3, 6), nn.Linear(6, 2)
        self.before = None

    def forward(self, x):
        hidden = torch.relu(self.fc1(x))
        found = self.fc2(hidden)
        if self.before is not None:
            found = found + self.before.sum()
        self.before = hidden.detach()
        return found


def normed_reader(norm):
    """A layer whose weight is made from others reads units, and has units itself."""
    reader = norm(nn.Linear(6, 5))
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), reader, nn.ReLU(), nn.Linear(5, 2))
