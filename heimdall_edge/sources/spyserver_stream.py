"""A SpyServer's IQ packets, as blocks that say what is missing before them.

::

    packet ─▶ PacketCount ─▶ SampleClock ─▶ Settling ─ spoilt ─▶ Missing
                                                └──▶ Run ─ full, or a gap follows ─▶ IQBlock
"""

from __future__ import annotations

from heimdall_edge import journal
from heimdall_edge.errors import SourceError
from heimdall_edge.sources.block_size import block_samples
from heimdall_edge.sources.host_time import HostTime
from heimdall_edge.sources.missing import Missing, Settling
from heimdall_edge.sources.rate_watch import RateWatch
from heimdall_edge.sources.sample_clock import SampleClock
from heimdall_edge.sources.spyserver_iq import PacketCount, Run, count_samples
from heimdall_edge.sources.spyserver_protocol import IqFormat
from heimdall_edge.sources.spyserver_session import Message
from heimdall_edge.types import IQBlock

log = journal.logger("spyserver")

WRONG_RATE_PAUSE_S = 60.0
MOST_DIGITAL_GAIN_DB = 100
"""More in those bits is something else."""


class SpyStream:
    """Puts packets into blocks; the caller says of which centre they are.

    Parameters
    ----------
    receiver_id
        For the journal.
    sample_rate_hz
        Of the stage that was asked for.
    gain_db
        As configured; the digital gain of each packet comes on top.
    settle_s
        What is thrown away after each change.
    host
        The host's clocks.
    """

    def __init__(
        self,
        *,
        receiver_id: str,
        sample_rate_hz: float,
        gain_db: float | None,
        settle_s: float,
        host: HostTime,
    ) -> None:
        self._receiver_id, self._rate_hz, self._gain_db = receiver_id, sample_rate_hz, gain_db
        self._host = host
        self._packets = PacketCount(sample_rate_hz=sample_rate_hz)
        self._settling, self._missing = Settling(settle_s), Missing()
        self._clock: SampleClock | None = None
        self._untimed = 0  # samples before the clock ran
        self._run: Run | None = None
        self._digital_gain_db = 0
        self.has_given = False
        self._watch = RateWatch(
            sample_rate_hz=sample_rate_hz, began_monotonic_ns=host.monotonic_ns()
        )
        self._block_samples = block_samples(sample_rate_hz)

    def settle(self, monotonic_ns: int, *, round_trip_s: float = 0.0) -> None:
        """Something was changed: throw away what is under way, and what comes for a while."""
        self._settling.begin(monotonic_ns, sample_rate_hz=self._rate_hz, round_trip_s=round_trip_s)
        self.spoil()

    def spoil(self) -> None:
        """Throw the block in the making away: a part of it may be of another centre."""
        if self._run is not None:
            self._missing.lost_samples += self._run.missing.lost_samples
            self._missing.discarded_samples += self._run.missing.discarded_samples
            self._missing.discarded_samples += self._run.n_samples
            self._run = None

    def take(
        self, message: Message, *, began_ns: int, now_ns: int, center_freq_hz: int | None
    ) -> IQBlock | None:
        """Take an IQ packet; give the block that it fills, or ends by not following it.

        Parameters
        ----------
        began_ns, now_ns
            Monotonic, when it began to come, and when its last byte was at hand.
        center_freq_hz
            Its centre; ``None`` while nobody knows it.

        Raises
        ------
        SourceError
            Its samples are none, or come at another rate.
        """
        header, iq_format = message.header, message.header.iq_format
        assert iq_format is not None
        n_samples = count_samples(message.body, iq_format)
        known_lost = self._follow(header.sequence, n_samples)
        self._check_rate(n_samples, now_ns)
        spoilt = self._settling.spoils(n_samples, began_ns) or center_freq_hz is None
        if self._clock is None and spoilt:
            self._untimed += known_lost + n_samples
            self._discard(n_samples, known_lost)
            return None
        if self._clock is None:
            self._clock = SampleClock(sample_rate_hz=self._rate_hz, host=self._host)
        arrival = self._clock.arrived(n_samples, now_ns, lost_samples=known_lost)
        block = None
        digital_gain_db = header.flags if header.flags <= MOST_DIGITAL_GAIN_DB else 0
        if self._run is not None and (
            arrival.lost_samples or not self._run.fits(iq_format, digital_gain_db)
        ):
            block = self._block()
        if spoilt or center_freq_hz is None:
            self._discard(n_samples, arrival.lost_samples)
            return block
        self._missing.lost_samples += arrival.lost_samples
        if self._run is None:
            self._tell_digital_gain(iq_format, digital_gain_db)
            self._run = Run(
                iq_format, digital_gain_db, center_freq_hz, arrival, self._missing.take()
            )
        self._run.add(message.body)
        if block is None and self._run.n_samples >= self._block_samples:
            block = self._block()
        return block

    def _follow(self, sequence: int, n_samples: int) -> int:
        """Samples that are lost just before a packet, as its number says."""
        step = self._packets.follow(sequence, n_samples)
        if step.began_anew:
            log.warning("sequence_began_anew", receiver=self._receiver_id, sequence=sequence)
        return step.lost_samples

    def _check_rate(self, n_samples: int, now_ns: int) -> None:
        self._watch.note(n_samples, now_ns)
        if self._watch.is_too_fast:
            raise SourceError(
                f"gives {self._watch.measured_hz:.0f} samples/s, asked for {self._rate_hz:.12g}: "
                "it does not follow settings",
                pause_s=WRONG_RATE_PAUSE_S,
            )
        if self._watch.slow_hz is not None:
            log.warning(
                "too_few_samples",
                receiver=self._receiver_id,
                received_hz=round(self._watch.slow_hz),
                expected_hz=round(self._rate_hz),
                reason="the way from the server is too slow: samples come late, and are lost",
            )

    def _discard(self, n_samples: int, lost_samples: int) -> None:
        self._missing.discarded_samples += n_samples
        self._missing.lost_samples += lost_samples

    def _tell_digital_gain(self, iq_format: IqFormat, digital_gain_db: int) -> None:
        """It was asked to be 0; say each other value once."""
        if digital_gain_db == self._digital_gain_db:
            return
        self._digital_gain_db = digital_gain_db
        log.warning(
            "digital_gain",
            receiver=self._receiver_id,
            digital_gain_db=digital_gain_db,
            reason=f"asked for 0; taken off the level of its {iq_format.name} samples",
        )

    def _block(self) -> IQBlock:
        """The run as a block; another one may begin."""
        run, self._run = self._run, None
        assert run is not None
        self.has_given = True
        gain_db = self._gain_db
        if run.digital_gain_db:
            gain_db = (gain_db or 0.0) + run.digital_gain_db
        return IQBlock(
            samples=run.samples,
            datatype=run.iq_format.datatype,
            sample_rate_hz=self._rate_hz,
            center_freq_hz=float(run.center_freq_hz),
            sample_start=self._untimed + run.arrival.sample_start,
            start_utc_ns=run.arrival.start_utc_ns,
            lost_samples=run.missing.lost_samples,
            discarded_samples=run.missing.discarded_samples,
            clock=run.arrival.clock,
            gain_db=gain_db,
            frequency_error=run.arrival.frequency_error,
        )
