"""The shards that one run makes: all of a plan or a part of it, as tasks that come one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vocsmooth.dataset.make import ShardTask
from vocsmooth.maps.recipe import Recipe
from vocsmooth.maps.textures import TextureSource
from vocsmooth.shards.planned import PlannedShards
from vocsmooth.sources.listing import Photographs


@dataclass(frozen=True, kw_only=True)
class Work:
    """Shards to make, and what to make them from."""

    shards: PlannedShards
    photographs: Photographs
    """Those of the shards, in their order."""
    digest: str
    """Digest of the plan."""
    recipe: Recipe
    textures: TextureSource
    out: Path
    """Folder for the shards."""
    strict: bool
    """Raise for a photograph that cannot be used."""
    fatal: Mapping[str, dict[str, str]] = field(default_factory=dict)
    """The photographs to leave out, by the names of their shards: ids with reasons."""

    def tasks(self) -> Iterator[ShardTask]:
        """Yield a task for each shard, with the photographs that it alone needs."""
        for number, planned in enumerate(self.shards):
            yield ShardTask(
                planned=planned,
                photographs=tuple(self.photographs[self.shards.rows(number)]),
                digest=self.digest,
                recipe=self.recipe,
                textures=self.textures,
                out=self.out,
                strict=self.strict,
                fatal=self.fatal.get(planned.name, {}),
            )
