"""What every source is: open it, iterate it, close it from any thread.

::

        open()                 blocks() / observations()            close()
    ──────────────▶ [opened] ──────────────────────────▶ [ended] ◀────────── any thread, any time
      SourceError              SourceError, or the end

Two kinds exist: an :class:`IQSource` gives samples, an :class:`ObservationSource` gives finished
observations (another station's, or a level-only feed). The reader thread calls ``open`` and
iterates; whoever stops the daemon calls ``close``, after which the iterator ends within a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from heimdall_edge.types import IQBlock, Listening, Observation

CLOSE_TIMEOUT_S = 1.0
"""The longest that an iterator may go on after ``close()``."""


@runtime_checkable
class IQSource(Protocol):
    """A receiver that gives IQ samples.

    Blocks come in time order; a block's ``sample_start`` is the previous block's, plus its
    samples, plus what was lost, dropped or discarded between them: the consumer never has to guess
    a gap.
    """

    @property
    def may_wait(self) -> bool:
        """True where the consumer may take its time (a file); a radio may not wait."""
        ...

    @property
    def progress(self) -> float:
        """Share of its data that was given, 0…1; 0 where there is no end."""
        ...

    @property
    def device(self) -> str | None:
        """What was opened, in words, with the gain and rate in force; ``None`` for a file."""
        ...

    def open(self) -> None:
        """Open the device, file or connection.

        Raises
        ------
        SourceError
            It cannot be opened now; the message says what, where, and what was expected.
        SourceDataError
            It is malformed; trying again will not help.
        """
        ...

    def blocks(self) -> Iterator[IQBlock]:
        """Give blocks until the end of the data or until ``close()``; raises as ``open`` does."""
        ...

    def close(self) -> None:
        """Release everything; idempotent, from any thread, also before ``open()``."""
        ...


@runtime_checkable
class Tunable(Protocol):
    """What an :class:`IQSource` also is where it can be tuned while it runs.

    ::

        block  block  tune(f)  (settles: discarded_samples)  block round f  block round f  …
    """

    def tune(self, center_freq_hz: float) -> None:
        """Tune to another centre; from the thread that iterates ``blocks()``, between two blocks.

        Each block that comes afterwards is of the new centre and says so; what was under way or
        unsettled is counted by the first of them as ``discarded_samples``. A centre that is tuned
        to already changes nothing.

        Raises
        ------
        SourceError
            The device does not answer, or is not open.
        SourceDataError
            It cannot be tuned there.
        """
        ...


@runtime_checkable
class ObservationSource(Protocol):
    """A feed of finished observations; the same life as :class:`IQSource`."""

    @property
    def may_wait(self) -> bool: ...

    @property
    def progress(self) -> float: ...

    @property
    def device(self) -> str | None: ...

    def open(self) -> None: ...

    def observations(self) -> Iterator[Observation | Listening]:
        """Give what was heard, and that it listened, until the end or until ``close()``."""
        ...

    def close(self) -> None: ...


class Live:
    """What every source is that follows the clock: it may not wait, and has no end."""

    @property
    def may_wait(self) -> bool:
        return False

    @property
    def progress(self) -> float:
        return 0.0
