"""A thread that listens to an observation source, and remembers all that it said."""

from __future__ import annotations

import threading
from typing import Self

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.base import ObservationSource
from heimdall_edge.types import Listening, Observation
from tests.sources.contract import PATIENCE_S


class Ear:
    """Opens the source, listens until it fails or the block ends, and closes it."""

    def __init__(self, source: ObservationSource) -> None:
        self.said: list[Observation | Listening] = []
        self.error: SourceError | None = None
        self._source = source
        self._thread = threading.Thread(target=self._listen)

    def _listen(self) -> None:
        try:
            for said in self._source.observations():
                self.said.append(said)
        except SourceError as error:
            self.error = error

    def __enter__(self) -> Self:
        self._source.open()
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._source.close()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def ends(self) -> SourceError:
        """Wait for the error that ends it."""
        self._thread.join(PATIENCE_S)
        assert self.error is not None
        return self.error

    def heard(self, channel: str) -> list[Observation]:
        return [s for s in self.said if isinstance(s, Observation) and s.channel == channel]

    def listened(self, channel: str) -> list[Listening]:
        return [s for s in self.said if isinstance(s, Listening) and channel in s.limit_dbfs]
