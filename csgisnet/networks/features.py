"""Feature extractors for the contrastive term: VGG-16, or the backbone of a segmenter.

References
----------
.. [1] K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
       Recognition", ICLR 2015, table 1, column D.
.. [2] J. Johnson, A. Alahi, L. Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and
       Super-Resolution", ECCV 2016 (the four layers).
"""

from __future__ import annotations

from torch import Tensor, nn

from csgisnet.networks.segmenter import Segmenter, normalise

LAYERS = 4
"""Number of feature maps that both extractors return."""

# Channels of the convolutions between poolings, up to relu4_3.
_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))


class VggFeatures(nn.Module):
    """Feature maps relu1_2, relu2_2, relu3_3 and relu4_3 of VGG-16, named as in torchvision."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self._taps: set[int] = set()
        channels = 3
        for group in _VGG16:
            if layers:
                layers.append(nn.MaxPool2d(2))
            for width in group:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            self._taps.add(len(layers) - 1)
        self.features = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the four feature maps of RGB images (B, 3, H, W) in [0, 1], normalised inside."""
        x, maps = normalise(image), []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self._taps:
                maps.append(x)
        return tuple(maps)


class SegmenterFeatures(nn.Module):
    """Feature maps of a segmenter's backbone at strides 2, 4, 8 and 16."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the four feature maps of RGB images (B, 3, H, W) in [0, 1]."""
        return self.segmenter.levels(image)[:LAYERS]
