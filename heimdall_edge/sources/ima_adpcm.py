"""IMA-ADPCM: four bits a sample, of which each says how far the next one steps.

Source: IMA Digital Audio Focus and Technical Working Groups, Recommended Practices 3.00 (1992).
Low nibble first, as web receivers send it.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.types import frozen_array

STEPS = (
    *(7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66),
    *(73, 80, 88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408),
    *(449, 494, 544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066),
    *(2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845, 8630),
    *(9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794),
    32767,
)
"""The quantiser's steps."""
_MOVES = (-1, -1, -1, -1, 2, 4, 6, 8)
_LEAST, _GREATEST = -32_768, 32_767
LARGEST_STEP_NIBBLE = 7
"""A nibble's magnitude that may have wanted to be more."""


def _change(step: int, nibble: int) -> int:
    """By how much a sample differs from the one before."""
    size = step >> 3
    size += step if nibble & 4 else 0
    size += step >> 1 if nibble & 2 else 0
    size += step >> 2 if nibble & 1 else 0
    return -size if nibble & 8 else size


_CHANGES = frozen_array(np.array([[_change(step, n) for n in range(16)] for step in STEPS]))
_NEXT_STEP = [
    [min(max(index + _MOVES[n & 7], 0), len(STEPS) - 1) for n in range(16)]
    for index in range(len(STEPS))
]


def nibbles_of(data: bytes) -> NDArray[np.uint8]:
    """The codes, uint8 [2 * len(data)], 0…15, in the order of the samples."""
    packed = np.frombuffer(data, np.uint8)
    return np.stack((packed & 15, packed >> 4), axis=1).ravel()


def decode(nibbles: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Decode with a fresh decoder: from 0, with the least step.

    Parameters
    ----------
    nibbles : uint8 [n_samples]
        0…15.

    Returns
    -------
    int64 [n_samples], -32768…32767
    """
    index, indices = 0, []
    for nibble in nibbles.tolist():
        indices.append(index)
        index = _NEXT_STEP[index][nibble]
    changes = _CHANGES[np.array(indices, np.intp), nibbles]
    samples = np.cumsum(changes)
    if len(samples) and not _LEAST <= int(samples.min()) <= int(samples.max()) <= _GREATEST:
        # Rare: only garbage gets there. Each sample is held to 16 bits before the next one.
        held = accumulate(changes.tolist(), lambda a, b: min(max(a + b, _LEAST), _GREATEST))
        first = min(max(int(changes[0]), _LEAST), _GREATEST)
        samples = np.array([first, *list(held)[1:]])
    return samples
