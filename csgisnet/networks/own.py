"""A network of somebody else's, with the face of ours."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from csgisnet.networks.smoothing import Smoothing

_CHANNELS = Smoothing(result=3, coarse=3, residual=3, edge=1)  # type: ignore[arg-type]


class OwnNetwork(nn.Module):
    """Calls any module that smooths images as training calls a `SmoothingNetwork`.

    Parameters
    ----------
    network : Module
        Maps images (B, 3, H, W) in [0, 1], of any size, to smoothed images of that shape or to a
        `Smoothing`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Smoothing:
        """Smooth a batch; of a network that returns images only, the edges are NaN."""
        found = self.network(image.contiguous())  # which the layouts of our batches need not be
        if isinstance(found, Smoothing):
            return found
        return Smoothing(
            result=found,
            coarse=found,
            residual=torch.zeros_like(found),
            edge=torch.full_like(found[:, :1], torch.nan),
        )

    @torch.no_grad()
    def returns_smoothing(self, height: int, width: int) -> bool:
        """Try the network, in eval mode, on an image of this size.

        Returns
        -------
        bool
            Whether it returns a `Smoothing` rather than images only.

        Raises
        ------
        ValueError
            It fails, or what it returns has another type or shape.
        """
        modes = {module: module.training for module in self.modules()}
        device = next(self.parameters()).device
        try:
            found = self.eval().network(torch.zeros(1, 3, height, width, device=device))
        except Exception as error:
            raise ValueError(
                f"it fails on an image of {height} x {width} pixels ({type(error).__name__}: "
                f"{error}). Whole images of any size are smoothed to validate it: have it pad its "
                "input, and cut its result"
            ) from error
        finally:
            for module, training in modes.items():
                module.training = training
        for name, shape, expected in _shapes(found, height, width):
            if shape != expected:
                raise ValueError(f"for an image {(1, 3, height, width)} its {name} is {shape}")
        return isinstance(found, Smoothing)


def _shapes(
    found: object, height: int, width: int
) -> Iterator[tuple[str, object, tuple[int, ...]]]:
    """Yield the name, shape, and expected shape of each map of a result."""
    if not isinstance(found, Smoothing):
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        yield "result", shape, (1, 3, height, width)
        return
    for name, channels in _CHANNELS._asdict().items():
        yield name, tuple(getattr(found, name).shape), (1, channels, height, width)
