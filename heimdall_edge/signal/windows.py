"""Windows of a signal that never ends, cut on a grid of UTC that all receivers share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heimdall_edge.config import Channel
from heimdall_edge.signal.floor import LEAST_NOISE_POWER, Rows, quiet_level
from heimdall_edge.signal.history import ChannelHistory, Instants, Span
from heimdall_edge.signal.stft import Stft, band_columns, hann
from heimdall_edge.types import NS_PER_S, ChannelBlock, ChannelSpec, Float64

_COLUMNS_IN_BAND = 256
_LEAST_AVERAGES = 16


class WindowGrid:
    """Gives the whole windows in which a channel is ``open_db`` over its floor.

    The floor is each window's own: its quiet columns, for there may be no quiet moment.

    Parameters
    ----------
    channels : sequence of Channel
        Of one bandwidth and one ``window_s``. Which of them the blocks hold may change within a
        run: one that is new begins with the next window, and one that is gone ends without one.
    """

    def __init__(self, channels: Sequence[Channel], *, sample_rate_hz: float) -> None:
        bandwidth_hz, window_s = channels[0].bandwidth_hz, channels[0].window_s
        n_wanted = 2 * round(_COLUMNS_IN_BAND / 2 * sample_rate_hz / bandwidth_hz)
        n_longest = 2 * int(window_s * sample_rate_hz / _LEAST_AVERAGES)
        self._stft = Stft(hann(max(16, min(n_wanted, n_longest))))
        self._columns = band_columns(self._stft.n_fft, sample_rate_hz, bandwidth_hz)
        self._channel_share = min(bandwidth_hz / sample_rate_hz, 1.0)
        self._open_ratios = {c.spec: 10 ** (c.open_db / 10) for c in channels}
        self._window_ns = round(window_s * NS_PER_S)
        self._half_sample_ns = int(NS_PER_S / sample_rate_hz / 2)
        self._noise_powers: dict[ChannelSpec, float] = {}
        self._begin_run()

    def _begin_run(self) -> None:
        self._channels: tuple[ChannelSpec, ...] = ()
        self._next_ns = 0
        """Where the window under way begins; 0: not known yet."""
        self._settled = 0
        self._since_ns: dict[ChannelSpec, int] = {}

    @property
    def since_utc_ns(self) -> Instants:
        """Nothing is known of what was before: no window held it whole, int64 [n_channels]."""
        return np.array([self._since_ns.get(c, 0) for c in self._open_ratios], np.int64)

    @property
    def settled(self) -> Rows:
        """Every window that starts before this sample has been decided, intp [n_channels]."""
        return np.full(len(self._open_ratios), self._settled, np.intp)

    @property
    def noise_power(self) -> Float64:
        """Noise floor in the channel, float64 [n_channels], linear; NaN before its first window."""
        return np.array([self._noise_powers.get(c, np.nan) for c in self._open_ratios])

    def add(self, history: ChannelHistory) -> list[Span]:
        """Give the windows that are complete by the newest block."""
        if not self._next_ns:
            self._next_ns = self._boundary_after(history.start_utc_ns)
        if history.newest_block.channels != self._channels:
            self._choose(history.newest_block)
        spans: list[Span] = []
        while (stop := history.index_at(self._next_ns + self._window_ns)) <= history.stop:
            start = max(self._settled, history.index_at(self._next_ns))
            spans += self._judge(start, stop, history)
            self._settled = stop
            self._next_ns += self._window_ns
        return spans

    def end_run(self, history: ChannelHistory) -> list[Span]:  # noqa: ARG002
        """Drop the window that is not whole: the run ends here."""
        self._begin_run()
        return []

    def _boundary_after(self, utc_ns: int) -> int:
        """The first boundary of the grid from an instant on, to half a sample."""
        return -(-(utc_ns - self._half_sample_ns) // self._window_ns) * self._window_ns

    def _choose(self, block: ChannelBlock) -> None:
        """Let channels that are new begin with the first window that they have whole."""
        since_ns = self._boundary_after(block.start_utc_ns)
        self._since_ns = {c: self._since_ns.get(c, since_ns) for c in block.channels}
        self._channels = block.channels

    def _judge(self, start: int, stop: int, history: ChannelHistory) -> list[Span]:
        whole = [c for c in self._channels if self._since_ns[c] <= self._next_ns]
        return [span for c in whole for span in self._judged(c, start, stop, history)]

    def _judged(
        self, channel: ChannelSpec, start: int, stop: int, history: ChannelHistory
    ) -> list[Span]:
        iq = history.iq(channel, start, stop)
        density = self._stft.mean_power_density(iq)[self._columns]
        n_frames = self._stft.n_frames(len(iq))
        floor = max(quiet_level(density, n_frames=n_frames), LEAST_NOISE_POWER)
        noise_power = self._noise_powers[channel] = floor * self._channel_share
        is_heard = density.mean() >= self._open_ratios[channel] * floor
        return [Span(channel, start, stop, noise_power)] if is_heard else []
