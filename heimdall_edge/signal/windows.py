"""Windows of a signal that never ends, cut on a grid of UTC that all receivers share."""

from __future__ import annotations

from heimdall_edge.signal.floor import LEAST_NOISE_POWER, quiet_level
from heimdall_edge.signal.history import ChannelHistory, Span
from heimdall_edge.signal.stft import Stft, band_columns, hann
from heimdall_edge.types import NS_PER_S

_COLUMNS_IN_BAND = 256
_LEAST_AVERAGES = 16


class WindowGrid:
    """Gives the whole windows in which the channel is ``open_db`` over its floor.

    The floor is each window's own: its quiet columns, for there may be no quiet moment.
    """

    def __init__(
        self, *, sample_rate_hz: float, bandwidth_hz: float, open_db: float, window_s: float
    ) -> None:
        n_wanted = 2 * round(_COLUMNS_IN_BAND / 2 * sample_rate_hz / bandwidth_hz)
        n_longest = 2 * int(window_s * sample_rate_hz / _LEAST_AVERAGES)
        self._stft = Stft(hann(max(16, min(n_wanted, n_longest))))
        self._columns = band_columns(self._stft.n_fft, sample_rate_hz, bandwidth_hz)
        self._channel_share = min(bandwidth_hz / sample_rate_hz, 1.0)
        self._open_ratio = 10 ** (open_db / 10)
        self._window_ns = round(window_s * NS_PER_S)
        self._half_sample_ns = int(NS_PER_S / sample_rate_hz / 2)
        self._next_ns: int | None = None
        self._settled = 0
        self._noise_power: float | None = None

    @property
    def settled(self) -> int:
        """Every window that starts before this sample has been decided."""
        return self._settled

    @property
    def noise_power(self) -> float | None:
        """Noise floor in the channel in the newest window, linear; None before it."""
        return self._noise_power

    def add(self, history: ChannelHistory) -> list[Span]:
        """Give the windows that are complete by now."""
        if self._next_ns is None:
            start_ns = history.start_utc_ns - self._half_sample_ns
            self._next_ns = -(-start_ns // self._window_ns) * self._window_ns
        spans: list[Span] = []
        while (stop := history.index_at(self._next_ns + self._window_ns)) <= history.stop:
            start = max(self._settled, history.index_at(self._next_ns))
            spans += self._judge(start, stop, history)
            self._settled = stop
            self._next_ns += self._window_ns
        return spans

    def end_run(self, history: ChannelHistory) -> list[Span]:  # noqa: ARG002
        """Drop the window that is not whole: the run ends here."""
        self._next_ns, self._settled = None, 0
        return []

    def _judge(self, start: int, stop: int, history: ChannelHistory) -> list[Span]:
        iq = history.iq(start, stop)
        density = self._stft.mean_power_density(iq)[self._columns]
        n_frames = self._stft.n_frames(len(iq))
        floor = max(quiet_level(density, n_frames=n_frames), LEAST_NOISE_POWER)
        self._noise_power = floor * self._channel_share
        heard = density.mean() >= self._open_ratio * floor
        return [Span(start, stop, self._noise_power)] if heard else []
