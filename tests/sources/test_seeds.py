"""Random numbers by name."""

import numpy as np

from heimdall_edge.sources.seeds import generator


def test_a_name_always_gives_the_same_numbers():
    first = generator(1, "noise", "a", block=7).standard_normal(100)
    generator(1, "noise", "a", block=6).standard_normal(100)
    assert np.array_equal(first, generator(1, "noise", "a", block=7).standard_normal(100))


def test_names_and_blocks_are_independent():
    names = [((1, "a"), 0), ((1, "a"), 1), ((1, "b"), 0), ((2, "a"), 0), (("1", "a"), 0)]
    numbers = [generator(*name, block=block).standard_normal(20_000) for name, block in names]
    correlation = np.corrcoef(numbers) - np.eye(len(numbers))
    assert np.abs(correlation).max() < 5 / np.sqrt(20_000)
