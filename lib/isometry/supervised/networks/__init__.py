"""Stacked networks: MLP, CNN and transformer."""

from isometry.supervised.networks.convolutional import CNN
from isometry.supervised.networks.kinds import Network, network_of
from isometry.supervised.networks.mlp import MLP, as_module
from isometry.supervised.networks.transformer import Transformer

__all__ = ["CNN", "MLP", "Network", "Transformer", "as_module", "network_of"]
