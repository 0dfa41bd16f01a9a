"""The errors raised for bad data (misuse of the API is ValueError or TypeError).

VocsmoothError
├── InputError         a folder, list, recipe, image or mask that the user gave
│   ├── UnknownNameError   a name that is not known: of a recipe, split, map, format...
│   └── OverrideError      a key or value given beside a file of settings, as by --set
├── DatasetError       a shard, sidecar or index that is missing, damaged or of another format
├── ClusterError       a Dask cluster that cannot be used or was lost
└── ConvergenceError   an iterative solver that could not reach its promised accuracy
"""

from __future__ import annotations


class VocsmoothError(Exception):
    """Base of the project's own errors; the commands print its message and exit non-zero.

    Examples
    --------
    >>> issubclass(ConvergenceError, VocsmoothError)
    True
    """


class InputError(VocsmoothError, ValueError):
    """Something the user gave cannot be used; the message says what, where and what to do.

    Examples
    --------
    >>> from pathlib import Path
    >>> from vocsmooth.settings import load_toml
    >>> load_toml(dict, Path("missing.toml"))
    Traceback (most recent call last):
    vocsmooth.errors.InputError: No settings file missing.toml.
    """


class UnknownNameError(InputError):
    """A name is not known; the message lists the legal names, or suggests the nearest.

    Examples
    --------
    >>> issubclass(UnknownNameError, InputError)
    True
    """


class OverrideError(InputError):
    """A setting that was given beside a file of settings does not fit them.

    Examples
    --------
    >>> issubclass(OverrideError, InputError)
    True
    """


class DatasetError(VocsmoothError, ValueError):
    """A dataset on disk is not what its index or its schema promises.

    Examples
    --------
    It is a ValueError too, for those who do not import this package:

    >>> try:
    ...     raise DatasetError("shard-00000.h5 does not have the recorded SHA-256.")
    ... except ValueError as error:
    ...     print(error)
    shard-00000.h5 does not have the recorded SHA-256.
    """


class ClusterError(VocsmoothError, RuntimeError):
    """A Dask cluster cannot do the work; what it has finished is kept.

    Examples
    --------
    >>> issubclass(ClusterError, RuntimeError)
    True
    """


class ConvergenceError(VocsmoothError, ArithmeticError):
    """A solver stopped before its error fell below the bound.

    Examples
    --------
    >>> issubclass(ConvergenceError, ArithmeticError)
    True
    """
