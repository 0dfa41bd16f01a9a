"""Train in several processes started by torchrun: one for each GPU, or several on a CPU."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import FunctionCtx
from torch.nn.parallel import DistributedDataParallel

Net = TypeVar("Net", bound=nn.Module)

_TIMEOUT = timedelta(minutes=10)


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
        if self.world == 1:
            return value
        total = value.clone()
        distributed.all_reduce(total)
        return total / self.world

    def total(self, value: Tensor) -> Tensor:
        """Return the sum over all processes."""
        return self.mean(value) * self.world

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
def join_processes(device: torch.device) -> Iterator[Processes]:
    """Join the processes that torchrun describes in the environment; without it, train alone."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes(device=device)
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group(backend, timeout=_TIMEOUT)
    try:
        yield Processes(rank=distributed.get_rank(), world=world, device=device)
    finally:
        distributed.destroy_process_group()


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

    torch's own takes CUDA tensors only.
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
        mean = _mean(x)
        variance = _mean((x - mean) ** 2)
        self._track(mean.detach().flatten(), variance.detach().flatten(), x)
        scale = torch.rsqrt(variance + self.eps) * self.weight.reshape(mean.shape)
        return (x - mean) * scale + self.bias.reshape(mean.shape)

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
