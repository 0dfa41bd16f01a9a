"""Train in several processes started by torchrun: one for each GPU, or several on a CPU."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TypeVar

import torch

# DistributedDataParallel loads this module, whose functions keep the group that exists by then as
# a default; its threads would run on after the group's end, and now and then abort the process.
import torch.distributed.nn
from torch import Tensor, distributed, nn
from torch.autograd.function import FunctionCtx
from torch.nn.parallel import DistributedDataParallel

from csgisnet.errors import ConfigError, TrainingError

Net = TypeVar("Net", bound=nn.Module)

_TIMEOUT = timedelta(minutes=10)

_LAST_TENSORS = 0.3
"""Seconds that gloo's threads have for freeing the tensors of the last exchange.

Two test runs hung at the end of a group. By the stack of one, the end waited for such a thread,
which waited, as it seems, for Python's lock. The pause lets it go first; it is not a proof.
"""

_START = (
    "To train in several processes, start them with torchrun, which sets all of these; to train in "
    "one, unset WORLD_SIZE and RANK."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Processes:
    """The place of this process among those that train together."""

    rank: int = 0
    world: int = 1
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and the log."""
        return self.rank == 0

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean over all processes."""
        return value if self.world == 1 else self.total(value) / self.world

    def total(self, value: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.world == 1:
            return value
        total = value.clone()
        distributed.all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:
        """Tell whether `flag` is true in any process; all must call together."""
        if self.world == 1:
            return flag
        return bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0)

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            distributed.barrier()


@contextlib.contextmanager
def join_processes(device: torch.device, report: Callable[[str], None]) -> Iterator[Processes]:
    """Join the processes that torchrun describes in the environment; without it, train alone.

    Parameters
    ----------
    device : torch.device
        Where to train; of several GPUs, each process takes the one that LOCAL_RANK numbers.
    report : callable
        Told by the first process that it waits for the others.

    Raises
    ------
    ConfigError
        The environment describes a group only in part or wrongly, the processes do not meet, or
        the device is one that several processes cannot train on.
    TrainingError
        Another process of the group has ended.
    """
    rank, world = _place_in_group()
    if world == 1:
        yield Processes(device=device)
        return
    device = _own_device(device)
    meeting = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    if rank == 0:
        report(f"waiting for {world} processes at {meeting}")
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        distributed.init_process_group(backend, timeout=_TIMEOUT, rank=rank, world_size=world)
    except (RuntimeError, ValueError) as error:
        reason = str(error).split("\n", maxsplit=1)[0].rstrip(".")
        raise ConfigError(
            f"{world} processes did not meet at {meeting} (MASTER_ADDR and MASTER_PORT): {reason}. "
            f"{_START}"
        ) from error
    try:
        yield Processes(rank=rank, world=world, device=device)
    except RuntimeError as error:
        if not _is_connection_lost(error):
            raise
        raise TrainingError(
            f"Process {rank} of {world} lost the others: one of them has ended, and its message "
            "says why. What was saved before is intact."
        ) from error
    finally:
        if backend == "gloo":
            time.sleep(_LAST_TENSORS)
        distributed.destroy_process_group()


def _place_in_group() -> tuple[int, int]:
    """Return rank and number of the processes, 0 and 1 for a process that trains alone.

    Some schedulers set WORLD_SIZE=1 and nothing else: that is a process alone, too.
    """
    world = _number("WORLD_SIZE", default=1)
    rank = _number("RANK", default=0)
    if not 0 <= rank < world:
        raise ConfigError(
            f"RANK is {rank} and WORLD_SIZE is {os.environ.get('WORLD_SIZE') or 'not set'}; RANK "
            f"must be 0 to WORLD_SIZE - 1. {_START}"
        )
    needed = ("RANK", "MASTER_ADDR", "MASTER_PORT") if world > 1 else ()
    absent = [name for name in needed if not os.environ.get(name)]
    if absent:
        raise ConfigError(
            f"WORLD_SIZE is {world}, but these are not set: {', '.join(absent)}. {_START}"
        )
    return rank, world


def _own_device(device: torch.device) -> torch.device:
    """Return the device of this one of several processes, and make it torch's current one."""
    if device.type == "mps":
        raise ConfigError(f"Several processes cannot train on {device}. Take --device cpu.")
    if device.type == "cuda":
        local, count = _number("LOCAL_RANK"), torch.cuda.device_count()
        if not 0 <= local < count:
            raise ConfigError(
                f"LOCAL_RANK is {local}, but this machine has {count} GPUs: start at most one "
                "process for each (torchrun --nproc-per-node)."
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    return device


def _number(name: str, default: int | None = None) -> int:
    """Return an integer of the environment, or `default` if it is not set or empty."""
    text = os.environ.get(name, "")
    if not text and default is not None:
        return default
    try:
        return int(text)
    except ValueError:
        found = f"is {text!r}, expected an integer" if text else "is not set"
        raise ConfigError(f"{name} {found}. {_START}") from None


def _is_connection_lost(error: RuntimeError) -> bool:
    """Tell whether an exchange between processes failed, as it does when one of them ends."""
    text = str(error)
    return isinstance(error, distributed.DistError) or "gloo" in text or "NCCL" in text


def synchronise(network: Net, processes: Processes) -> Net:
    """Make batch normalisation compute its statistics over all processes."""
    if processes.world == 1:
        return network
    if processes.device.type == "cuda":
        synced: Net = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return synced
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, SyncedBatchNorm2d.of(child))
    return network


def distribute(network: nn.Module, processes: Processes) -> nn.Module:
    """Wrap a network so that its gradients are averaged over all processes."""
    if processes.world == 1:
        return network
    return DistributedDataParallel(network)


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the equally large batches of all processes, on any device.

    torch's own takes CUDA tensors only. Like it, this one computes in the precision of its weights
    whatever that of the features: sums of bfloat16 would be worthless.
    """

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> SyncedBatchNorm2d:
        """Return a synced layer with the weights and statistics of `norm`."""
        synced = cls(norm.num_features, eps=norm.eps, momentum=norm.momentum)
        synced.load_state_dict(norm.state_dict())
        return synced

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W); in training by the statistics of all processes' batches."""
        if not self.training:
            return super().forward(x)
        kind = x.dtype
        x = x.to(self.weight.dtype)
        mean = _mean(x)
        variance = _mean((x - mean) ** 2)
        self._track(mean.detach().flatten(), variance.detach().flatten(), x)
        scale = torch.rsqrt(variance + self.eps) * self.weight.reshape(mean.shape)
        return ((x - mean) * scale + self.bias.reshape(mean.shape)).to(kind)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, x: Tensor) -> None:
        """Move the running statistics; the running variance is the unbiased one."""
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            return
        count = x.numel() // x.shape[1] * distributed.get_world_size()
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1


def _mean(x: Tensor) -> Tensor:
    """Mean (1, C, 1, 1) over the batches of all processes; gradients flow back to all of them."""
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    total: Tensor = _SumOverProcesses.apply(mean)  # type: ignore[no-untyped-call]
    return total / distributed.get_world_size()


class _SumOverProcesses(torch.autograd.Function):
    """A sum over all processes, received by each; its gradient is the sum of all gradients."""

    @staticmethod
    def forward(_: FunctionCtx, *inputs: Tensor) -> Tensor:
        total = inputs[0].clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: FunctionCtx, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total
