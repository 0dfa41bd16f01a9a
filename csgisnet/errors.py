"""The errors that csgisnet raises for bad data (misuse of the API is ValueError or TypeError).

VocsmoothError
├── InputError
│   ├── ConfigError        a setting that cannot be used, or that needs a teacher not given
│   └── CheckpointError    a weights or state file that is missing, damaged or of another kind
└── TrainingError          a run that cannot continue, such as one whose loss is not finite

UserWarning
└── ChannelOrderWarning    a network whose file does not say whether it takes RGB or BGR
"""

from __future__ import annotations

from vocsmooth.errors import InputError, VocsmoothError


class ConfigError(InputError):
    """A setting cannot be used as given; the message says which, and what to do."""


class CheckpointError(InputError):
    """A weights or state file cannot be used; the message says what it should hold."""


class TrainingError(VocsmoothError):
    """Training cannot continue; the states saved before are still on disk."""


class ChannelOrderWarning(UserWarning):
    """A network is assumed to expect RGB, although its file does not say so."""
