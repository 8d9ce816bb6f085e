"""A model as a map of one tensor to one tensor, whatever else it takes and returns."""

from dataclasses import dataclass

from torch import Tensor, nn

from isometry.ntk.arguments import Arguments, Pick


def itself(outputs: Tensor) -> Tensor:
    """Return what the model returns.

    Args:
        outputs: One tensor.
    """
    return outputs


@dataclass(frozen=True, kw_only=True)
class Call:
    """A model with its arguments, as a map of the main one.

    Args:
        model: In evaluation mode.
        arguments: Of n inputs.
        pick: From what the model returns to one tensor.
    """

    model: nn.Module
    arguments: Arguments
    pick: Pick

    def __call__(self, main: Tensor) -> Tensor:
        """Return the outputs ``(c, ...)`` of the first c inputs.

        Args:
            main: In place of the main argument, ``(c, ...)``.
        """
        return self.pick(self.arguments.with_main(main).call(self.model))
