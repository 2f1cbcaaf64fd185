"""Random numbers that depend on their name only: the simulation's one source of chance.

A generator is addressed, not carried along: whoever asks for block 7 of ``(seed, "noise", "rx1")``
gets the same numbers, whatever was asked for before and in whichever process.
"""

from __future__ import annotations

import hashlib

import numpy as np


def generator(*name: str | int, block: int = 0) -> np.random.Generator:
    """The generator of a name: Philox, keyed by the name's hash, at a block's own 2^192 numbers."""
    digest = hashlib.blake2b(repr(name).encode(), digest_size=16).digest()
    key = np.frombuffer(digest, "<u8").astype(np.uint64)
    counter = np.array([0, 0, 0, block], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
