"""One way to the empirical NTK of a model in use, in a process of its own.

Called by ``ntk_of_models.py`` in the environment that has transformers. It prints its
peak memory, and for each line that it is sent the processor seconds of a kernel.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

OURS, BASELINE = "ours", "torch.func, Jacobian contraction in chunks"
REFERENCE, CHECKED = "torch.func in double precision", 2  # at so many inputs
OUTPUTS = 4  # of each input, of which a kernel is taken
Kernel = Callable[[int], Tensor]  # number of inputs -> (n, n, m, m)


def resnet() -> tuple[nn.Module, Tensor]:
    """ResNet-18 with all its parameters, at images of 32 x 32."""
    from transformers import ResNetConfig, ResNetForImageClassification

    sizes = {"hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2]}
    kind = {"embedding_size": 64, "layer_type": "basic", "num_labels": OUTPUTS}
    model = ResNetForImageClassification(ResNetConfig(**sizes, **kind)).eval()
    return model, torch.randn(32, 3, 32, 32)


def gpt2(tokens: int) -> tuple[nn.Module, Tensor]:
    """GPT-2 small, its twelve blocks trained and its tables not."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(attn_implementation="eager")).eval()
    model.requires_grad_(False)
    model.transformer.h.requires_grad_(True)
    return model, torch.randint(50257, (4, tokens))


CASES: dict[str, tuple[Callable[[], tuple[nn.Module, Tensor]], int]] = {
    # and inputs whose Jacobian torch.func holds at a time, so that two fit in 10 GB
    "ResNet-18, 32 inputs of 32 x 32": (resnet, 16),
    "GPT-2 small's blocks, 4 inputs of 16 tokens": (lambda: gpt2(16), 2),
    "GPT-2 small's blocks, 4 inputs of 64 tokens": (lambda: gpt2(64), 2),
}


def pick(said) -> Tensor:
    """Return ``(n, m)`` of what a model says: first logits of the last token."""
    logits = said.logits
    return logits if logits.ndim == 2 else logits[:, -1, :OUTPUTS]


def ours(model: nn.Module, inputs: Tensor, _: int) -> Kernel:
    from isometry.ntk import empirical_ntk

    return lambda n: empirical_ntk(model, inputs[:n], outputs=pick)


def torch_func(model: nn.Module, inputs: Tensor, chunk: int) -> Kernel:
    """Jacobians of two chunks of inputs at a time, one contraction a parameter."""
    named = model.named_parameters()
    trained = {name: p.detach() for name, p in named if p.requires_grad}

    def single(values: dict[str, Tensor], one: Tensor) -> Tensor:
        return pick(functional_call(model, values, (one.unsqueeze(0),))).squeeze(0)

    def rows(part: Tensor) -> list[Tensor]:
        found = vmap(jacrev(single), (None, 0))(trained, part)
        return [j.flatten(2) for j in found.values()]

    def kernel(n: int) -> Tensor:
        parts = inputs[:n].split(chunk)
        like = next(iter(trained.values()))
        found = like.new_zeros(n, n, OUTPUTS, OUTPUTS)
        for i, part in enumerate(parts):
            left = rows(part)
            for j, other in enumerate(parts[i:], i):
                right = left if i == j else rows(other)
                pairs = zip(left, right, strict=True)
                terms = [torch.einsum("Naf,Mbf->NMab", a, b) for a, b in pairs]
                block = torch.stack(terms).sum(0)
                one, two = slice(i * chunk, None), slice(j * chunk, None)
                found[one, two][: len(part), : len(other)] = block
                found[two, one][: len(other), : len(part)] = block.permute(1, 0, 3, 2)
        return found

    return kernel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=(OURS, BASELINE, REFERENCE))
    parser.add_argument("case", choices=CASES)
    parser.add_argument("kernel", type=Path, help="where to write the kernel, .pt")
    args = parser.parse_args()
    torch.manual_seed(0)
    make, chunk = CASES[args.case]
    model, inputs = make()
    if args.name == REFERENCE:
        model, inputs, chunk = model.double(), inputs[:CHECKED], 1
        inputs = inputs.double() if inputs.is_floating_point() else inputs
    kernel = (ours if args.name == OURS else torch_func)(model, inputs, chunk)
    with torch.no_grad():
        model(inputs[:1])  # imports, thread pools and first allocations
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    found = kernel(len(inputs))
    took = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    torch.save(found, args.kernel)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    first = {"peak_mib": peak / 1024, "parameters": trained, "first": took}
    print(json.dumps(first), flush=True)
    for _ in sys.stdin:
        begun = time.process_time()
        kernel(len(inputs))
        print(json.dumps({"seconds": time.process_time() - begun}), flush=True)


if __name__ == "__main__":
    main()
