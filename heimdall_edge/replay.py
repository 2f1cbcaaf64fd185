"""Sends recordings or observations through the daemon's own path, at full speed, to a file."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from heimdall_edge.config import Config, Mqtt
from heimdall_edge.config_capture import Capture
from heimdall_edge.config_kinds import ObservationFile
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.daemon import Daemon, Signals
from heimdall_edge.errors import ConfigError, SourceDataError
from heimdall_edge.geojson import position_feature
from heimdall_edge.metrics import Metrics
from heimdall_edge.pipeline import Pipeline
from heimdall_edge.publish.base import PublisherState
from heimdall_edge.publish.payload_station import InfoPayload, StatsPayload
from heimdall_edge.publish.wire_fix import fix_payload
from heimdall_edge.publish.wire_observation import observation_payload
from heimdall_edge.types import Fix, Observation, ReceiverState, ReceiverStatus

GEOJSON_SUFFIXES = {".geojson", ".json"}
BAR_CELLS = 30


def replay(
    config: Config,
    *,
    signals: Signals,
    observations: Path | None = None,
    out: Path | None = None,
    with_observations: bool = False,
) -> int:
    """Run a configuration's recordings, and a file of observations, to their end.

    Parameters
    ----------
    config
        Receivers and channels; whatever it says of pace, broker and metrics is set aside.
    signals
        Where Ctrl-C comes from.
    observations
        Lines of the published format; ``-`` is standard input.
    out
        Where fixes go: JSON lines, or one GeoJSON FeatureCollection if its name ends so;
        standard output when left out.
    with_observations
        Whether each observation is written too.

    Returns
    -------
    The exit code: 0, also when some lines were refused; they are said on standard error.

    Raises
    ------
    SourceDataError
        A recording could not be read to its end; what the others gave is in the output.
    """
    config = offline(config, observations)
    if not any(receiver.enabled for receiver in config.receivers):
        raise ConfigError("nothing to replay: expected a receiver, or --observations FILE")
    with open_output(out) as stream:
        writer = FixWriter(
            stream,
            as_geojson=out is not None and out.suffix in GEOJSON_SUFFIXES,
            with_observations=with_observations,
        )
        show = ProgressBar(sys.stderr) if sys.stderr.isatty() else lambda _pipeline: None
        daemon = Daemon(
            load=lambda: config,
            publisher_of=lambda _config, _metrics: writer,
            signals=signals,
            stop_at_end=True,
            on_turn=show,
        )
        code = daemon.run()
    if writer.failures:
        raise SourceDataError("\n".join(writer.failures))
    sys.stderr.write(writer.in_words(daemon.metrics) + "\n")
    return code


def offline(config: Config, observations: Path | None) -> Config:
    """The configuration with its files at full speed, no broker, no metrics, no evidence kept."""
    receivers = [_at_full_speed(receiver) for receiver in config.receivers]
    if observations is not None:
        receivers.append(
            Receiver(
                id="observations",
                kind="observations",
                observations=ObservationFile(path=observations),
            )
        )
    return config.model_copy(
        update={
            "receivers": tuple(receivers),
            "mqtt": Mqtt(enabled=False),
            "capture": Capture(),
            "metrics": config.metrics.model_copy(update={"enabled": False}),
        }
    )


def _at_full_speed(receiver: Receiver) -> Receiver:
    tables = {
        name: table.model_copy(update={"pace": "fast"})
        for name in ("recording", "simulated", "observations")
        if (table := getattr(receiver, name)) is not None
    }
    return receiver.model_copy(update=tables)


@contextlib.contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """The output stream; a file appears under its name only when it is whole."""
    if path is None:
        yield sys.stdout
        return
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            yield stream
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"--out {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


class FixWriter:
    """A publisher that writes fixes to a stream; called by the locator's thread, and one more."""

    def __init__(self, stream: TextIO, *, as_geojson: bool, with_observations: bool) -> None:
        self._stream = stream
        self._as_geojson = as_geojson
        self._with_observations = with_observations
        self._features: list[dict[str, Any]] = []
        self._guard = threading.Lock()
        self._n_fixes = self._n_refusals = 0
        self.failures: list[str] = []

    def start(self) -> None:
        """Nothing to open: the stream is."""

    def stop(self, timeout_s: float) -> None:  # noqa: ARG002 - a file takes what it is given
        """Write the collection, now that it is whole."""
        if self._as_geojson:
            json.dump({"type": "FeatureCollection", "features": self._features}, self._stream)
        self._stream.flush()

    def publish_fix(self, fix: Fix) -> None:
        if fix.position is None:
            self._n_refusals += 1
        else:
            self._n_fixes += 1
        payload = fix_payload(fix, published_at_utc_ns=time.time_ns())
        if not self._as_geojson:
            self._line(payload)
        elif fix.position is not None:
            self._features.append(position_feature(fix.position, payload))

    def publish_observation(self, observation: Observation) -> None:
        if self._with_observations and not self._as_geojson:
            self._line(observation_payload(observation))

    def publish_receiver(self, status: ReceiverStatus) -> None:
        if status.state is ReceiverState.FAILED:
            line = f"{status.receiver_id}: {status.reason}"
            if line not in self.failures:
                self.failures.append(line)

    def publish_info(self, info: InfoPayload) -> None:
        """A replay is no station: it says nothing of itself."""

    def publish_stats(self, stats: StatsPayload) -> None:
        """Neither does it keep count in public."""

    @property
    def progress_monotonic_s(self) -> float:
        return time.monotonic()

    @property
    def state(self) -> PublisherState:
        return PublisherState(is_connected=True)

    def in_words(self, metrics: Metrics) -> str:
        """What the replay came to."""
        refused = sum(
            sample.value
            for family in metrics.observations_refused.collect()
            for sample in family.samples
            if sample.name.endswith("_total") and sample.labels["reason"] == "malformed"
        )
        lines = f", {refused:.0f} lines were not usable" if refused else ""
        return f"{self._n_fixes} fixes, {self._n_refusals} refusals{lines}"

    def _line(self, payload: dict[str, Any]) -> None:
        with self._guard:
            self._stream.write(json.dumps(payload, ensure_ascii=False) + "\n")


class ProgressBar:
    """How far the slowest receiver is, redrawn on one line of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, pipeline: Pipeline) -> None:
        done = min((receiver.progress for receiver in pipeline.receivers), default=1.0)
        cells = round(done * BAR_CELLS)
        bar = "█" * cells + "·" * (BAR_CELLS - cells)
        end = "\n" if pipeline.has_ended else ""
        self._stream.write(f"\r{bar} {done:4.0%}{end}")
        self._stream.flush()
