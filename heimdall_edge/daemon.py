"""The process: build, start, wait for signals, reload, stop in reverse.

::

    load config ─▶ model ─▶ publisher ─▶ pipeline ─▶ READY ─▶ wait ─┬─ SIGHUP ─▶ reload, or refuse
                                                                    ├─ SIGTERM ─▶ stop
                                                                    └─ a turn: watchdog, stats

Exit codes are those of :class:`~heimdall_edge.process.ExitCode`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Protocol

from heimdall_edge import __version__, journal
from heimdall_edge.config import Config
from heimdall_edge.config_file import check_whole
from heimdall_edge.errors import ConfigError, HeimdallError, ModelError
from heimdall_edge.live_changes import keys_that_need_restart, with_live_changes
from heimdall_edge.locate.model import LocatorModel, reference_model_path
from heimdall_edge.metrics import Metrics, MetricsEndpoint
from heimdall_edge.pipeline import Pipeline
from heimdall_edge.process import ExitCode
from heimdall_edge.publish.base import Publisher
from heimdall_edge.sources.host_time import HostTime, SystemTime
from heimdall_edge.station_report import station_info, station_stats
from heimdall_edge.status_line import status_line
from heimdall_edge.systemd import ServiceNotifier, watchdog_interval_s
from heimdall_edge.types import ClockState

log = journal.logger("daemon")

TURN_S = 0.25
STUCK_AFTER_S = 15.0
STOP_WITHIN_S = 20.0
"""Shorter than the unit's TimeoutStopSec."""
PUBLISHER_STOP_S = 5.0


class Signals(Protocol):
    """Where the daemon hears of signals."""

    def wait(self, timeout_s: float) -> int | None: ...


class Daemon:
    """Runs one configuration until a signal, or the end of all its recordings.

    Parameters
    ----------
    load
        Reads the configuration again: at start, and at each reload.
    publisher_of
        Makes the publisher for a configuration.
    signals
        Where signals come from.
    stop_at_end
        Stop when every receiver has come to its end (a replay), instead of waiting on.
    start_utc_ns
        The common start of simulated receivers; now, when left out.
    on_turn
        Called a few times a second, such as for a progress bar.
    host
        The host's clocks; the system's own, when left out.
    """

    def __init__(
        self,
        *,
        load: Callable[[], Config],
        publisher_of: Callable[[Config, Metrics], Publisher],
        signals: Signals,
        stop_at_end: bool = False,
        start_utc_ns: int | None = None,
        on_turn: Callable[[Pipeline], object] = lambda _pipeline: None,
        host: HostTime | None = None,
    ) -> None:
        self._load = load
        self._signals = signals
        self._stop_at_end = stop_at_end
        self._on_turn = on_turn
        self._began_monotonic_s = time.monotonic()
        self._began_utc_ns = time.time_ns()
        self._notifier = ServiceNotifier()
        self._problems: list[str] = []
        self._host: HostTime = SystemTime() if host is None else host
        self._told_clock = ClockState()
        self._failed = threading.Event()
        self.metrics = Metrics()
        self.metrics.build.info({"version": __version__})
        self._config = load()
        self._reference = LocatorModel.load(reference_model_path(), sha256=None)
        self._model = self._model_or_reference(self._config)
        self._publisher = publisher_of(self._config, self.metrics)
        self._pipeline = Pipeline(
            config=self._config,
            model=self._model,
            reference=self._reference,
            publisher=self._publisher,
            metrics=self.metrics,
            start_utc_ns=start_utc_ns,
            host=self._host,
        )
        self._watchdog_s = watchdog_interval_s()
        self._next_watchdog_s = self._next_stats_s = 0.0

    def run(self) -> ExitCode:
        """Start, wait, stop."""
        endpoint = self._open_endpoint()
        threading.excepthook = self._thread_failed
        try:
            self._publisher.start()
            self._publish_info()
            self._pipeline.start()
            self.metrics.ready_after.set(time.monotonic() - self._began_monotonic_s)
            self._notifier.ready(self._status_line())
            log.info("ready", **self._in_short())
            self._wait()
        finally:
            late = self._stop()
            if endpoint:
                endpoint.close()
            self._notifier.close()
        return self._ended(late)

    # ── start ─────────────────────────────────────────────────────────────────────────────

    def _model_or_reference(self, config: Config) -> LocatorModel:
        """The configured model; the built-in one, and a problem said, where that is refused."""
        try:
            return self._adopt(self._load_model(config))
        except ModelError as error:
            log.error("model_refused", reason=str(error), instead="the built-in reference model")
            self._problems = [f"model refused, the reference model runs instead: {error}"]
            return self._adopt(self._reference)

    def _load_model(self, config: Config) -> LocatorModel:
        """The model that the configuration names, checked and warm."""
        wanted = config.locator
        if wanted.model_path is None and wanted.model_sha256 in {
            None,
            self._reference.identity.sha256,
        }:
            return self._reference
        path = wanted.model_path or reference_model_path()
        return LocatorModel.load(path, sha256=wanted.model_sha256)

    def _adopt(self, model: LocatorModel) -> LocatorModel:
        identity = model.identity
        self.metrics.model.info(
            {"name": identity.name, "version": identity.version, "sha256": identity.sha256}
        )
        return model

    def _open_endpoint(self) -> MetricsEndpoint | None:
        wanted = self._config.metrics
        if not wanted.enabled:
            return None
        try:
            return MetricsEndpoint(self.metrics, listen=wanted.listen, port=wanted.port)
        except OSError as error:
            raise ConfigError(
                f"metrics.listen = {wanted.listen!r}, metrics.port = {wanted.port}: "
                f"{error.strerror or error}; expected an address of this host and a free port"
            ) from error

    # ── while it runs ─────────────────────────────────────────────────────────────────────

    def _wait(self) -> None:
        while True:
            signal_number = self._signals.wait(TURN_S)
            if signal_number == signal.SIGHUP:
                self.reload()
            elif signal_number is not None:
                log.info("stopping", signal=signal.Signals(signal_number).name)
                return
            self._turn()
            if self._failed.is_set():
                return
            if self._stop_at_end and self._pipeline.has_ended:
                return

    def _turn(self) -> None:
        now_s = time.monotonic()
        self._on_turn(self._pipeline)
        self._pipeline.look()
        self._watch_publisher()
        if self._watchdog_s and now_s >= self._next_watchdog_s:
            self._next_watchdog_s = now_s + self._watchdog_s
            stuck = self._pipeline.stuck(limit_s=STUCK_AFTER_S)
            if stuck:
                log.error("stuck", parts=", ".join(stuck))
            else:
                self._notifier.alive()
        self._notifier.status(self._status_line())
        if now_s >= self._next_stats_s:
            self._next_stats_s = now_s + self._config.mqtt.stats_interval_s
            self._report()

    def _report(self) -> None:
        """What goes out every minute: stats, and each receiver's state."""
        if self._host.clock.source is not self._told_clock.source:
            self._publish_info()
        statuses = self._pipeline.statuses()
        for status in statuses:
            self._publisher.publish_receiver(status)
            self.metrics.receiver_is(status)
        self.metrics.host_clock_is(self._host.clock)
        self._publisher.publish_stats(
            station_stats(
                self._config.station.name,
                self.metrics,
                statuses,
                started_monotonic_s=self._began_monotonic_s,
            )
        )

    def _watch_publisher(self) -> None:
        """Copy the publisher's state into the gauges."""
        state = self._publisher.state
        self.metrics.mqtt_connected.set(state.is_connected)
        if state.outbox:
            self.metrics.outbox_rows.set(state.outbox.depth)
            self.metrics.outbox_bytes.set(state.outbox.bytes)
            self.metrics.outbox_age.set(state.outbox.oldest_age_s or 0.0)
            self.metrics.outbox_on_disk.set(state.outbox.on_disk)
            self.metrics.follow(self.metrics.outbox_evicted, state.outbox.evicted)

    def _publish_info(self) -> None:
        self._told_clock = self._host.clock
        self._publisher.publish_info(
            station_info(
                self._config,
                self._model,
                problems=self._problems,
                started_utc_ns=self._began_utc_ns,
                clock=self._told_clock,
            )
        )

    def _status_line(self) -> str:
        return status_line(self._pipeline.statuses(), self._model.identity, self._problems)

    def _in_short(self) -> dict[str, object]:
        return {
            "version": __version__,
            "station": self._config.station.name,
            "receivers": len(self._pipeline.receivers),
            "channels": len(self._config.channels),
            "model": f"{self._model.identity.name}@{self._model.identity.version}",
        }

    # ── reload ────────────────────────────────────────────────────────────────────────────

    def reload(self) -> bool:
        """Take the configuration as it is now; whatever is wrong with it, the old one runs on."""
        self._notifier.reloading()
        try:
            config = self._load()
            model = self._adopt(self._load_model(config))
            needs_restart = keys_that_need_restart(self._config, config)
            if needs_restart:
                log.warning("reload_needs_restart", keys=", ".join(needs_restart))
            config = with_live_changes(self._config, config)
            check_whole(config)
            self._pipeline.swap(config, model)
        except HeimdallError as error:
            self._refuse(error)
            return False
        self._config, self._model = config, model
        self._problems = [f"needs restart: {key}" for key in needs_restart]
        journal.set_level(config.logging.level)
        self.metrics.reloads.labels("applied").inc()
        log.info("reloaded", **self._in_short())
        self._publish_info()
        self._notifier.ready(self._status_line())
        return True

    def _refuse(self, error: HeimdallError) -> None:
        self._adopt(self._model)
        self._problems = [f"reload refused: {error}"]
        self.metrics.reloads.labels("refused").inc()
        log.error("reload_refused", reason=str(error))
        self._publish_info()
        self._notifier.ready(self._status_line())

    # ── stop ──────────────────────────────────────────────────────────────────────────────

    def _stop(self) -> list[str]:
        self._notifier.stopping()
        late = self._pipeline.stop(time.monotonic() + STOP_WITHIN_S - PUBLISHER_STOP_S)
        self._report()
        self._publisher.stop(PUBLISHER_STOP_S)
        return late

    def _ended(self, late: list[str]) -> ExitCode:
        threading.excepthook = threading.__excepthook__
        if late:
            log.error("threads_outlived_the_deadline", threads=", ".join(late))
            os._exit(ExitCode.FAILURE)
        log.info("stopped", uptime_s=round(time.monotonic() - self._began_monotonic_s, 1))
        return ExitCode.FAILURE if self._failed.is_set() else ExitCode.OK

    def _thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        """A bug in a thread ends the process, with its traceback in the journal."""
        thread = failure.thread.name if failure.thread else "?"
        log.exception("bug", failure.exc_value, thread=thread)
        self._failed.set()
