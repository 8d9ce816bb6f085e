"""A member of a stack of convolutional networks as a module of its own."""

from torch import nn

from isometry.core.stacking import Parameters
from isometry.methods.activations import (
    NORMALISATION_EPS,
    activation_module,
    linear_module,
    norm_module,
)
from isometry.supervised.networks.convolutional import CNN, KERNEL


def cnn_as_module(network: CNN, parameters: Parameters, member: int) -> nn.Sequential:
    """Return one member as a module of its own, on flat images.

    Args:
        network: The network.
        parameters: name -> ``(members, ...)``.
        member: Which one.

    Returns:
        torch's own layers in order; parameters are copies.
    """
    architecture = network.architecture
    own = {name: tensor[member].detach() for name, tensor in parameters.items()}
    layers: list[nn.Module] = [nn.Unflatten(1, network.image_shape)]
    for layer, (stride, _, _) in enumerate(network.maps):
        layers.append(_convolution_module(own, f"hidden.{layer}", stride))
        if architecture.normalised:
            layers.append(_group_norm_module(own, f"hidden.{layer}"))
        layers.append(activation_module(own, f"hidden.{layer}", architecture, 1))
    name = f"hidden.{len(network.maps)}"
    layers += [nn.Flatten(), linear_module(own, name)]
    if architecture.normalised:
        layers.append(norm_module(own, name))
    layers.append(activation_module(own, name, architecture))
    return nn.Sequential(*layers, linear_module(own, "head"))


def _convolution_module(own: Parameters, name: str, stride: int) -> nn.Conv2d:
    """Return a convolution as a module; torch's global generator stays as it is."""
    weight, bias = own[f"{name}.weight"], own.get(f"{name}.bias")
    out, fan_in = weight.shape[:2]
    convolution = nn.utils.skip_init(
        nn.Conv2d,
        fan_in,
        out,
        KERNEL,
        stride=stride,
        padding=KERNEL // 2,
        bias=bias is not None,
        device=weight.device,
    )
    convolution.load_state_dict(
        {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    )
    return convolution


def _group_norm_module(own: Parameters, name: str) -> nn.GroupNorm:
    """Return a LayerNorm over channels and places as a module."""
    if f"{name}.gain" not in own:
        channels = len(own[f"{name}.weight"])
        return nn.GroupNorm(1, channels, NORMALISATION_EPS, affine=False)
    gain, offset = own[f"{name}.gain"], own[f"{name}.offset"]
    norm = nn.GroupNorm(1, len(gain), eps=NORMALISATION_EPS, device=gain.device)
    norm.load_state_dict({"weight": gain, "bias": offset})
    return norm
