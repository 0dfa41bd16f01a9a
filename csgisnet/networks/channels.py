"""How permuting and inverting an image's colours acts on the channels of a network's layers.

See `csgisnet.networks.symmetry`, which keeps weights symmetric under it.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MEMBERS = tuple((p, s) for p in itertools.permutations(range(3)) for s in (1, -1))
"""Of the group: where each channel goes, and -1 to invert the colours, else 1."""


Name: TypeAlias = tuple[int, ...]
"""Of a channel; the last three numbers are the kind of a set of channels that the group permutes
among themselves, which of that kind the set is, and which of the set the channel is."""


class Channels(NamedTuple):
    """How the group acts on n channels."""

    moves: NDArray[np.int64]
    """Where each member takes each channel, (12, n)."""
    signs: NDArray[np.int64]
    """What each member multiplies it by, (12, n) of 1 or -1."""
    grey: NDArray[np.float64]
    """Value about which inversion turns each channel, (n,): 0.5 for images."""
    names: tuple[Name, ...]
    """Of each channel, unique. A wider layer has the channels of a narrower one by name."""

    def beside(self, other: Channels) -> Channels:
        """Return the action on these channels followed by others."""
        moves = np.concatenate([self.moves, other.moves + len(self.grey)], axis=1)
        signs = np.concatenate([self.signs, other.signs], axis=1)
        names = (*((0, *name) for name in self.names), *((1, *name) for name in other.names))
        return Channels(moves, signs, np.concatenate([self.grey, other.grey]), names)

    def shuffled(self, cells: int) -> Channels:
        """Return the action on `cells` channels for each of these, as pixel shuffle orders them."""
        moves = self.moves[:, :, None] * cells + np.arange(cells)
        signs = self.signs.repeat(cells, axis=1)
        names = tuple((cell, *name) for name in self.names for cell in range(cells))
        return Channels(moves.reshape(len(MEMBERS), -1), signs, self.grey.repeat(cells), names)


def image() -> Channels:
    """Return the action on an image's channels."""
    moves = np.array([p for p, _ in MEMBERS], dtype=np.int64)
    signs = np.array([[s] * 3 for _, s in MEMBERS], dtype=np.int64)
    return Channels(moves, signs, np.full(3, 0.5), tuple((0, 0, c) for c in range(3)))


def change() -> Channels:
    """Return the action on what is added to an image, which inversion negates."""
    return image()._replace(grey=np.zeros(3))


def equal(count: int) -> Channels:
    """Return the action on channels that no member changes."""
    moves = np.tile(np.arange(count), (len(MEMBERS), 1))
    names = tuple((0, 0, number) for number in range(count))
    return Channels(moves, np.ones_like(moves), np.zeros(count), names)


_Element = tuple[int, ...]


class _Kind(NamedTuple):
    """Channels of a hidden layer that the group permutes among themselves."""

    elements: tuple[_Element, ...]
    """What each of them belongs to."""
    moved: Callable[[_Element, _Element, int], _Element]
    """Where a permutation of the colours and a sign take one of them."""

    def channels(self) -> Channels:
        """Return the action on one channel for each element."""
        moves = np.array(
            [[self.elements.index(self.moved(e, p, s)) for e in self.elements] for p, s in MEMBERS]
        )
        names = tuple((0, 0, number) for number in range(len(self.elements)))
        return Channels(moves, np.ones_like(moves), np.zeros(len(self.elements)), names)


_SIGNS = _Kind(((1,), (-1,)), lambda e, _, s: (s * e[0],))
_COLOURS = _Kind(((0,), (1,), (2,)), lambda e, p, _: (p[e[0]],))
_COLOURS_AND_SIGNS = _Kind(
    tuple(itertools.product(range(3), (1, -1))), lambda e, p, s: (p[e[0]], s * e[1])
)
_PAIRS = _Kind(tuple(itertools.permutations(range(3), 2)), lambda e, p, s: (p[e[0]], p[e[1]])[::s])
_NEITHER = _Kind(((),), lambda e, *_: e)
_KINDS = (_PAIRS, _COLOURS_AND_SIGNS, _COLOURS, _SIGNS, _NEITHER)


@functools.cache
def hidden(width: int) -> Channels:
    """Return the action on the channels of a hidden layer.

    Of twelve channels six belong to a colour and a sign (in every fourth dozen to two colours in
    order), three to a colour, two to a sign and one to neither; those left over are divided in the
    same order, as far as they go.
    """
    channels, names, found = equal(0), list[Name](), Counter[int]()
    for dozen in itertools.count():
        largest = _PAIRS if dozen % 4 == 3 else _COLOURS_AND_SIGNS
        for kind in (largest, _COLOURS, _SIGNS, _NEITHER):
            if len(names) + len(kind.elements) <= width:
                number = _KINDS.index(kind)
                channels = channels.beside(kind.channels())
                names += [(number, found[number], one) for one in range(len(kind.elements))]
                found[number] += 1
        if len(names) == width:
            return channels._replace(names=tuple(names))
    raise AssertionError("single channels fill any width")


def kin(wide: Channels, narrow: Channels) -> NDArray[np.int64]:
    """Return which channel of a narrower layer each channel of a wider one is or resembles.

    A channel whose name the narrower one lacks is new: it resembles one that the group moves alike,
    or none (-1).
    """
    alike: dict[Name, list[int]] = defaultdict(list)
    for place, name in enumerate(narrow.names):
        alike[(*name[:-2], name[-1])].append(place)
    found = ((alike[(*name[:-2], name[-1])], name[-2]) for name in wide.names)
    return np.array([places[s % len(places)] if places else -1 for places, s in found], np.int64)


class Orbits(NamedTuple):
    """Which elements of an array must be equal, but for their sign."""

    number: Tensor
    """Number of the orbit of each element of the flattened array, (n,) int64."""
    sign: Tensor
    """Of each element against the first of its orbit, (n,): 1, -1, or 0 if it has to be zero."""
    size: Tensor
    """Elements of each orbit, (m,) int64."""

    def like(self, values: Tensor) -> Orbits:
        """Return the same on the device of `values`, and in their type where `mean` multiplies."""
        number = self.number.to(values.device)
        return Orbits(number, self.sign.to(values), self.size.to(values))

    def mean(self, values: Tensor) -> Tensor:
        """Return the nearest array whose orbits are equal; further dimensions are kept apart.

        Parameters
        ----------
        values : Tensor
            Its first dimension, or its first two, has n elements.
        """
        rows = values.reshape(len(self.number), -1)
        number, sign = self.number.to(rows.device), self.sign.to(rows)[:, None]
        sums = rows.new_zeros(len(self.size), rows.shape[1]).index_add_(0, number, sign * rows)
        return (sign * (sums / self.size.to(rows)[:, None])[number]).reshape(values.shape)


def orbits(channels: Channels) -> Orbits:
    """Return the orbits of one value for each channel."""
    return _orbits(channels.moves, channels.signs)


def orbits_of_pairs(written: Channels, read: Channels) -> Orbits:
    """Return the orbits of one value for each pair of channels, flattened from (written, read)."""
    moves = written.moves[:, :, None] * read.moves.shape[1] + read.moves[:, None, :]
    signs = written.signs[:, :, None] * read.signs[:, None, :]
    return _orbits(moves.reshape(len(MEMBERS), -1), signs.reshape(len(MEMBERS), -1))


def _orbits(moves: NDArray[np.int64], signs: NDArray[np.int64]) -> Orbits:
    """Return the orbits of n elements, from where each member takes each of them, (12, n)."""
    first = moves.min(axis=0)
    # Members that take an element to the same place with either sign make it zero.
    sign = np.sign((signs * (moves == first)).sum(axis=0))
    _, number, size = np.unique(first, return_inverse=True, return_counts=True)
    return Orbits(
        torch.from_numpy(number.reshape(-1)), torch.from_numpy(sign), torch.from_numpy(size)
    )
