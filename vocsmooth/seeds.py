"""Random generators that depend only on what is drawn, never on the worker or the order."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, key: str, number: int) -> np.random.Generator:
    """Return the random generator of one input: it depends on nothing but the arguments.

    Parameters
    ----------
    seed : int
        The recipe's seed, not negative.
    key : str
        A photograph's id or a texture's name.
    number : int
        Which input of the photograph, from 0.
    """
    word = int.from_bytes(hashlib.sha256(key.encode()).digest(), "big")
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, word, number))))
