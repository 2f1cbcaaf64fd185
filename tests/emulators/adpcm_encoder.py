"""An IMA-ADPCM encoder, as the recommendation of 1992 describes it; low nibble first."""

from __future__ import annotations

from collections.abc import Iterable

STEP_TABLE = [
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73,
    80, 88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494,
    544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499,
    2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845, 8630, 9493, 10442,
    11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767,
]  # fmt: skip
INDEX_TABLE = [-1, -1, -1, -1, 2, 4, 6, 8, -1, -1, -1, -1, 2, 4, 6, 8]


class AdpcmCodec:
    """The state that encoder and decoder share."""

    def __init__(self) -> None:
        self.predicted, self.index = 0, 0

    def step(self, nibble: int) -> int:
        """What a decoder makes of one nibble."""
        size = STEP_TABLE[self.index]
        difference = size >> 3
        for bit, shift in ((4, 0), (2, 1), (1, 2)):
            if nibble & bit:
                difference += size >> shift
        self.predicted += -difference if nibble & 8 else difference
        self.predicted = max(-32768, min(32767, self.predicted))
        self.index = max(0, min(88, self.index + INDEX_TABLE[nibble]))
        return self.predicted

    def nibble_for(self, sample: int) -> int:
        """Successive approximation of the difference by the present step."""
        size, difference = STEP_TABLE[self.index], sample - self.predicted
        nibble = 8 if difference < 0 else 0
        difference = abs(difference)
        for bit in (4, 2, 1):
            if difference >= size:
                nibble |= bit
                difference -= size
            size >>= 1
        self.step(nibble)
        return nibble


def encode(samples: Iterable[int]) -> bytes:
    codec = AdpcmCodec()
    nibbles = [codec.nibble_for(sample) for sample in samples]
    nibbles += [0] * (len(nibbles) % 2)
    return bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))


def decode(data: bytes) -> list[int]:
    codec = AdpcmCodec()
    return [codec.step(nibble) for byte in data for nibble in (byte & 15, byte >> 4)]
