"""What every source must do, whatever its kind.

A kind's test module makes a class of each checklist that fits, and gives it its fixtures::

    class TestRecordingKeepsTheContract(IQSourceContract):
        @pytest.fixture
        def source(self): ...           # ends by itself, and soon
        @pytest.fixture
        def lasting_source(self): ...   # gives a first item at once, and then none for long
        @pytest.fixture
        def counts(self): ...           # (samples received, samples lost) of `source`
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.base import CLOSE_TIMEOUT_S, IQSource, ObservationSource
from heimdall_edge.types import IQBlock, Observation

COMPONENTS = {"cu8": "u1", "ci8": "i1", "ci16_le": "<i2", "ci16_be": ">i2", "cf32_le": "<f4"}
PATIENCE_S = 30.0
"""For what has no limit of its own; a test that waits so long has failed."""


def items_of(source: IQSource | ObservationSource) -> Iterator[IQBlock | Observation]:
    return source.blocks() if isinstance(source, IQSource) else source.observations()


def missing_before(block: IQBlock) -> int:
    """Samples that are not there, just before a block."""
    return block.lost_samples + block.dropped_samples + block.discarded_samples


class Reader:
    """A thread that reads a source to its end."""

    def __init__(self, source: IQSource | ObservationSource) -> None:
        self.has_one, self.errors = threading.Event(), []
        self._source = source
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for _ in items_of(self._source):
                self.has_one.set()
        except Exception as error:
            self.errors.append(error)

    def ends_within_s(self, limit_s: float) -> bool:
        self._thread.join(limit_s)
        return not self._thread.is_alive()


class _LifeContract:
    """The part that samples and observations share."""

    def test_close_from_another_thread_ends_a_reader_that_waits_within_a_second(
        self, lasting_source
    ):
        lasting_source.open()
        reader = Reader(lasting_source)
        assert reader.has_one.wait(PATIENCE_S), "a lasting source gives one item at once"
        assert not reader.ends_within_s(0.1), "a lasting source then gives none for long"
        closed_at_s = time.monotonic()
        lasting_source.close()
        assert time.monotonic() - closed_at_s < CLOSE_TIMEOUT_S, "close() itself must not wait"
        assert reader.ends_within_s(CLOSE_TIMEOUT_S)
        assert reader.errors == []

    def test_a_source_closed_before_it_is_opened_gives_nothing(self, lasting_source):
        lasting_source.close()
        try:
            lasting_source.open()
        except SourceError:
            return
        assert Reader(lasting_source).ends_within_s(CLOSE_TIMEOUT_S)

    def test_a_source_closed_between_opening_and_reading_ends_at_once(self, lasting_source):
        lasting_source.open()
        lasting_source.close()
        reader = Reader(lasting_source)
        assert reader.ends_within_s(CLOSE_TIMEOUT_S)
        assert not reader.has_one.is_set()

    def test_progress_rises_from_nothing_to_all_or_says_nothing(self, source):
        source.open()
        told = [source.progress, *(source.progress for _ in items_of(source)), source.progress]
        source.close()
        assert told[0] == 0.0
        assert told == sorted(told)
        assert told[-1] in (0.0, 1.0)

    def test_close_may_be_called_again_at_any_time(self, source):
        source.open()
        for _ in items_of(source):
            source.close()
            source.close()
        source.close()

    def test_a_source_that_was_never_opened_may_be_closed(self, source):
        source.close()
        source.close()


class IQSourceContract(_LifeContract):
    """The checklist of a source of samples."""

    @pytest.fixture
    def blocks(self, source) -> list[IQBlock]:
        source.open()
        blocks = list(source.blocks())
        source.close()
        assert len(blocks) > 1, "the checklist needs a source of several blocks"
        return blocks

    def test_it_is_an_iq_source(self, source):
        assert isinstance(source, IQSource)
        assert isinstance(source.may_wait, bool)

    def test_no_gap_is_hidden(self, blocks):
        first = blocks[0]
        assert first.sample_start == missing_before(first)
        for before, block in pairwise(blocks):
            missing = missing_before(block)
            assert missing >= 0
            assert block.sample_start == before.sample_start + before.n_samples + missing

    def test_every_sample_is_counted_once(self, blocks, counts):
        received, lost = counts
        assert sum(block.n_samples for block in blocks) == received
        assert sum(block.lost_samples for block in blocks) == lost
        unused = sum(block.dropped_samples + block.discarded_samples for block in blocks)
        assert blocks[-1].sample_start + blocks[-1].n_samples == received + lost + unused

    def test_stamps_rise(self, blocks):
        for before, block in pairwise(blocks):
            assert isinstance(block.start_utc_ns, int)
            assert before.start_utc_ns < block.start_utc_ns

    def test_a_gap_passes_in_time_as_it_does_in_samples(self, blocks):
        for before, block in pairwise(blocks):
            counted_s = (block.sample_start - before.sample_start) / block.sample_rate_hz
            stamped_s = (block.start_utc_ns - before.start_utc_ns) / 1e9
            assert stamped_s == pytest.approx(counted_s, rel=1e-3, abs=0.02)

    def test_samples_are_whole_read_only_and_in_their_own_numbers(self, blocks):
        for block in blocks:
            assert block.n_samples > 0
            assert len(block.samples) == 2 * block.n_samples
            assert block.samples.dtype == np.dtype(COMPONENTS[block.datatype])
            assert block.samples.ndim == 1
            assert not block.samples.flags.writeable

    def test_rate_and_frequency_are_real_numbers(self, blocks):
        for block in blocks:
            assert np.isfinite(block.sample_rate_hz)
            assert block.sample_rate_hz > 0
            assert np.isfinite(block.center_freq_hz)


class ObservationSourceContract(_LifeContract):
    """The checklist of a source of finished observations."""

    def test_it_is_an_observation_source(self, source):
        assert isinstance(source, ObservationSource)
        assert isinstance(source.may_wait, bool)

    def test_every_observation_is_given_once_and_in_order(self, source, observation_ids):
        source.open()
        given = [observation.observation_id for observation in source.observations()]
        source.close()
        assert given == observation_ids
