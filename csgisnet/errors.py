"""The errors that csgisnet raises for bad data (misuse of the API is ValueError or TypeError).

VocsmoothError
├── InputError
│   ├── ConfigError        a setting of a run that cannot be used, or that needs a teacher not given
│   └── CheckpointError    a weights or state file that is missing, damaged or of another kind
└── TrainingError          a run that cannot go on, such as a loss that is not a number
"""

from __future__ import annotations

from vocsmooth.errors import InputError, VocsmoothError


class ConfigError(InputError):
    """A setting cannot be used as given; the message says which, and what to do."""


class CheckpointError(InputError):
    """A file of weights or training state cannot be used; the message says what it should hold."""


class TrainingError(VocsmoothError):
    """Training cannot go on; what was learnt so far is on disk."""
