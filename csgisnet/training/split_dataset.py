"""A split as a map-style dataset of torch, for your own training loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from csgisnet.training.augment import AugmentConfig, draw_views, sample_keys
from csgisnet.training.data import read_windows
from vocsmooth.arrays import check_count
from vocsmooth.shards import Split

Sample = dict[str, Tensor]

_UPRIGHT = AugmentConfig(turns=False)


class SplitDataset(torch.utils.data.Dataset[Any]):
    """The samples of a split as tensors, ready for `torch.utils.data.DataLoader`.

    A sample is a pure function of the seed, the epoch and its index, whatever the number of workers
    and however they are started (fork, spawn, forkserver).

    Parameters
    ----------
    split : Split
        Any split of a dataset, from `vocsmooth.shards.open_dataset`.
    crop : int, optional
        Side of the square window to cut out of each sample, at a random place. Samples that are
        smaller are mirrored at their bottom and right to fill it, where their mask is void (255).
        By default samples are whole; where they differ in size, a batch can hold only one.
    maps : sequence of str
        Maps to return, see `vocsmooth.shards.Split.read`.
    transform : callable, optional
        Maps a sample to whatever the loop wants. Its random numbers repeat too if it takes them
        from torch's global generator, which is seeded for each sample and restored afterwards.
    seed : int
        Another seed gives other windows.

    Raises
    ------
    TypeError, ValueError
        `crop` is not a whole number of at least 1, or the dataset has no such map.

    Examples
    --------
    With a dataset of one photograph of 16 x 12 pixels in the folder "voc-smooth":

    >>> from vocsmooth.shards import open_dataset
    >>> samples = SplitDataset(open_dataset("voc-smooth").split("train"), crop=8)
    >>> loader = torch.utils.data.DataLoader(samples, batch_size=4, shuffle=True)
    >>> for epoch in range(2):
    ...     samples.set_epoch(epoch)
    ...     for batch in loader:
    ...         print(tuple(batch["input"].shape), batch["input"].dtype)
    (4, 3, 8, 8) torch.float32
    (4, 3, 8, 8) torch.float32
    """

    def __init__(
        self,
        split: Split,
        *,
        crop: int | None = None,
        maps: Sequence[str] = ("input", "label"),
        transform: Callable[[Sample], Any] | None = None,
        seed: int = 0,
    ) -> None:
        if crop is not None:
            check_count("crop", crop)
        split.crop([], [], [], 1, maps)  # refuses unknown maps here rather than in a worker
        self.split = split
        self._crop, self._maps, self._transform = crop, tuple(maps), transform
        self._seed = seed
        # In shared memory: workers that persist see what `set_epoch` writes.
        self._epoch = torch.zeros((), dtype=torch.int64)
        _share(self._epoch)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _share(self._epoch)  # a copy's may lie in memory of its own

    def set_epoch(self, epoch: int) -> None:
        """Cut the windows of `epoch` from now on, also in workers that are already running.

        Call it before each pass over a loader, and give the pass' number, so that a run that
        resumes sees the windows that it would have seen. Without a call every pass is epoch 0.
        """
        check_count("epoch", epoch, at_least=0)
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> Any:
        """Return one sample, or what `transform` makes of it; negative indices count from the end.

        Returns
        -------
        dict of str to Tensor
            By map: images (3, H, W) float32 in [0, 1]; "edge" (1, H, W) float32, 0 or 1; "mask"
            (H, W) int64, 0 to 20, or 255 for void; "texture" (C, H, W) float32 in [-1, 1], of one
            channel if it is grey.

        Raises
        ------
        IndexError
            There is no such sample.
        DatasetError
            The shard is not the one that the index describes.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} requested of {len(self)} samples")
        number = np.array([index % len(self)])
        keys = sample_keys(self._seed, np.array([int(self._epoch)]), number)
        if self._crop is None:
            arrays = self.split.read(int(number[0]), self._maps)
        else:
            views = draw_views(_UPRIGHT, self._crop, keys, self.split.shapes[number])
            windows = read_windows(self.split, number, views, self._crop, self._maps)
            arrays = {name: window[0] for name, window in windows.items()}
        sample = {name: _as_tensor(name, torch.from_numpy(a)) for name, a in arrays.items()}
        if self._transform is None:
            return sample
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed, which would seed the generators of GPUs too.
            torch.default_generator.manual_seed(int(np.random.Philox(key=keys[0]).random_raw()))
            return self._transform(sample)


def _share(tensor: Tensor) -> None:
    """Move a tensor to shared memory, if it is not there already."""
    tensor.share_memory_()  # type: ignore[no-untyped-call]


def _as_tensor(name: str, pixels: Tensor) -> Tensor:
    """Convert a map to the form that networks and losses take."""
    if name == "mask":
        return pixels.long()
    channels = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    return channels.float() if name == "edge" else channels.float().div_(255).contiguous()
