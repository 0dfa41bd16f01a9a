"""The errors raised for bad data (misuse of the API is ValueError or TypeError).

VocsmoothError
├── InputError         a folder, list, recipe, image or mask that the user gave
├── DatasetError       a shard, sidecar or index that is missing, damaged or of another kind
├── ClusterError       a Dask cluster that cannot be used or was lost
└── ConvergenceError   an iterative solver that could not reach its promised accuracy
"""

from __future__ import annotations


class VocsmoothError(Exception):
    """Base of the project's own errors; the commands print its message and exit non-zero."""


class InputError(VocsmoothError, ValueError):
    """Something the user gave cannot be used; the message says what, where and what to do."""


class DatasetError(VocsmoothError, ValueError):
    """A dataset on disk is not what its index or its schema promises."""


class ClusterError(VocsmoothError, RuntimeError):
    """A Dask cluster cannot do the work; what it has finished is kept."""


class ConvergenceError(VocsmoothError, ArithmeticError):
    """A solver stopped before its error bound held."""
