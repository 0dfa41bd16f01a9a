"""Teachers of every kind, small and untrained."""

from __future__ import annotations

import pytest
import torch

from csgisnet.networks.features import SegmenterFeatures
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
from csgisnet.networks.smoothing import COMPACT, SmoothingNetwork
from csgisnet.objective.losses import Teachers


@pytest.fixture(scope="module")
def teachers() -> Teachers:
    torch.manual_seed(0)
    segmenter = Segmenter(SegmenterConfig(width=0.25, head_width=16))
    return Teachers(
        segmenter=segmenter,
        features=SegmenterFeatures(segmenter),
        average=SmoothingNetwork(COMPACT),
        copies=(SmoothingNetwork(COMPACT),),
    )
