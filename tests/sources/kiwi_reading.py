"""How tests read an emulated KiwiSDR; its world is in ``conftest.py``."""

from __future__ import annotations

import pytest

from heimdall_edge.errors import SourceError

BEGUN_UTC_NS = 1_790_000_000_000_000_000
SPEED = 20.0


def opened(source):
    """A source's blocks, once it is open."""
    source.open()
    return source.blocks()


def until(stream, condition, limit=400):
    """Blocks up to the one that fulfils a condition."""
    blocks = []
    for block in stream:
        blocks.append(block)
        if condition(block):
            return blocks
        assert len(blocks) < limit, "never so"
    raise AssertionError("the blocks ended")


def failure_of(source):
    """The error that ends a source."""
    with pytest.raises(SourceError) as caught:
        list(opened(source))
    return caught.value
