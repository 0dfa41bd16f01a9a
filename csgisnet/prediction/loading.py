"""Load a network from a file, a run or by its name, ready to smooth."""

from __future__ import annotations

from csgisnet.checkpoints.calibrations import load_calibration
from csgisnet.checkpoints.networks import ChannelOrder, load_network
from csgisnet.checkpoints.pretrained import find_weights
from csgisnet.device import PredictionPrecision
from csgisnet.prediction.smoother import Smoother
from vocsmooth.files import AnyPath


def load(
    path_or_name: AnyPath | None = None,
    *,
    device: str = "auto",
    precision: PredictionPrecision = "auto",
    memory: int | None = None,
    batch: int | None = None,
    channel_order: ChannelOrder | None = None,
    level: float | None = None,
    views: int = 1,
) -> Smoother:
    """Load a network, ours or one that the paper's authors released, ready to smooth.

    Parameters
    ----------
    path_or_name : str or path-like, optional
        A file of weights, the folder of a run (whose best weights are loaded), or the name of a
        network that comes with the package; by default "compact".
    device, precision, memory, batch, level, views
        See `Smoother`.
    channel_order : {"rgb", "bgr"}, optional
        Of another project's network, see `csgisnet.checkpoints.networks.load_network`.

    Returns
    -------
    Smoother
        Its `smooth` maps an image to its smoothed self.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or not a smoothing network; or no network has that name.
    ConfigError
        The device is unknown or not available, or does not compute in this precision.

    Examples
    --------
    >>> import numpy as np
    >>> load("compact", device="cpu").smooth(np.full((4, 6, 3), 0.5, np.float32)).shape
    (4, 6, 3)
    """
    path = find_weights(path_or_name)
    network = load_network(path, channel_order)
    return Smoother(
        network,
        device=device,
        precision=precision,
        memory=memory,
        batch=batch,
        level=level,
        views=views,
        calibration=load_calibration(path, network),
    )
