"""A receiver that never ends by itself, made to end: for the checklist of all sources."""

from __future__ import annotations

from collections.abc import Iterator

from heimdall_edge.types import IQBlock


class FirstBlocks:
    """A live source that closes itself after so many blocks."""

    may_wait = False

    def __init__(self, source, n_blocks: int) -> None:
        self._source, self._n_blocks = source, n_blocks
        self.given: list[IQBlock] = []
        self.open, self.close = source.open, source.close

    @property
    def progress(self) -> float:
        return self._source.progress

    @property
    def device(self) -> str | None:
        return self._source.device

    def blocks(self) -> Iterator[IQBlock]:
        for block in self._source.blocks():
            self.given.append(block)
            yield block
            if len(self.given) == self._n_blocks:
                self._source.close()
