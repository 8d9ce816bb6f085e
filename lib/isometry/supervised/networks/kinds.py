"""The kinds of network, by the name that the settings know them by."""

from typing import Any

from isometry.core.messages import refusal
from isometry.methods import Architecture, Method
from isometry.supervised.networks.convolutional import CNN
from isometry.supervised.networks.convolutional_module import cnn_as_module
from isometry.supervised.networks.mlp import MLP, as_module
from isometry.supervised.networks.transformer import Transformer
from isometry.supervised.networks.transformer_module import transformer_as_module
from isometry.supervised.settings import SupervisedSettings
from isometry.supervised.streams import Pixels

Network = MLP | CNN | Transformer
as_module.register(CNN, cnn_as_module)
as_module.register(Transformer, transformer_as_module)


def network_of(
    method: Method, method_settings: Any, settings: SupervisedSettings, pixels: Pixels
) -> Network:
    """Return the network that a method trains on a benchmark.

    Args:
        method: May change the architecture.
        method_settings: The method's own settings.
        settings: The run's settings.
        pixels: Give the images' shape and the numbers of inputs and classes.

    Raises:
        ValueError: If the network needs images and the data have no shape, or it has no
            hidden layer and the method changes one.
    """
    architecture = Architecture(
        network=settings.network,
        width=settings.width,
        depth=settings.depth,
        activation=settings.activation,
        negative_slope=settings.negative_slope,
        init=settings.init,
        init_gain=settings.init_gain,
        taper=settings.taper,
    )
    asked, architecture = (
        architecture,
        method.architecture(architecture, method_settings),
    )
    if settings.depth == 0 and architecture != asked:
        needed = f"a hidden layer for {method.name}, which changes what is in one"
        raise ValueError(refusal(needed, "depth=0", "change depth or method"))
    if settings.network == "mlp":
        return MLP(
            architecture=architecture,
            in_features=pixels.train_inputs.shape[1],
            num_classes=pixels.task_classes or pixels.num_classes,
        )
    if pixels.image_shape is None:
        raise ValueError(
            refusal(
                f"images for network={settings.network}",
                "flat vectors",
                "pass Pixels with an image_shape, or use network=mlp",
            )
        )
    kind: type[CNN] | type[Transformer]
    kind = CNN if settings.network == "cnn" else Transformer
    return kind(
        architecture=architecture,
        image_shape=pixels.image_shape,
        num_classes=pixels.task_classes or pixels.num_classes,
    )
