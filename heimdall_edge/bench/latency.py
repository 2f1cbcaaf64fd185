"""From a closed window to its fix, and to the broker's word that it has the fix.

::

    scene ─▶ LocatorThread ─▶ publish_fix ─▶ Outbox on disk ─▶ broker ─▶ PUBACK
                              └ window to fix                    └ window to PUBACK

A scene's receivers close their windows within one block of samples, as workers do, and a scene
comes a moment after the fix before it: this is the latency of a station that keeps up, not that
of a queue.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np

from heimdall_edge.assembly import associator_of, locator_of
from heimdall_edge.bench.broker import LocalBroker
from heimdall_edge.bench.scenes import DURATION_S, LIMIT_DBFS, STATION, at, heard_by, ring
from heimdall_edge.bench.table import Table
from heimdall_edge.config import Config
from heimdall_edge.errors import HeimdallError
from heimdall_edge.locate.model import LocatorModel, reference_model_path
from heimdall_edge.locating import FeedTime, LocatorThread, Word
from heimdall_edge.metrics import Metrics
from heimdall_edge.publish.broker import Broker
from heimdall_edge.publish.delivery import Puback
from heimdall_edge.publish.mqtt import MqttPublisher
from heimdall_edge.publish.outbox import Outbox
from heimdall_edge.publish.topics import Topics
from heimdall_edge.types import NS_PER_S, Fix, Listening, Observation

TARGET_MS = 25.0
SHARED_CLOCKS = (0, 4)
"""Receivers of a scene between which arrival times are measured: none, and as in the demo."""
MAX_SCENES = 210
LIMIT_S = 15.0
"""So long a kind of scene is played; where each takes long, there are fewer."""
N_WARM_UP = 10
BLOCK_S = 0.027
"""65,536 samples at 2.4 Msps: the workers of a scene's receivers come to its end within this."""
PAUSE_S = (0.005, 0.025)
HANG_S = 0.2
"""A window closes so long after its end."""
CHANNELS = tuple(f"channel-{i}" for i in range(128))
"""The scenes take turns on them, so that two on one channel never overlap."""
N_DIFFERENT = 8
"""Scenes; they are played again and again."""
PATIENCE_S = 30.0
PERCENTILES = (50, 95, 99)


class TimedPublisher(MqttPublisher):
    """Notes how long ago a fix's last window was closed: at the fix, and at its PUBACK."""

    def __init__(self, *, broker: Broker, outbox: Outbox) -> None:
        topics = Topics(station=STATION)
        super().__init__(broker=broker, topics=topics, outbox=outbox, on_puback=self._note_puback)
        self.fix_s: queue.SimpleQueue[float] = queue.SimpleQueue()
        self.puback_s: queue.SimpleQueue[float] = queue.SimpleQueue()

    def publish_fix(self, fix: Fix) -> None:
        super().publish_fix(fix)
        closed_s = max(o.detected_monotonic_s or 0.0 for o in fix.scene.heard)
        self.fix_s.put(time.monotonic() - closed_s)

    def _note_puback(self, puback: Puback) -> None:
        if puback.since_window_s is not None:
            self.puback_s.put(puback.since_window_s)


def latency_table(broker: LocalBroker, folder: Path, *, max_scenes: int = MAX_SCENES) -> Table:
    """Percentiles of both latencies, for scenes with and without arrival times."""
    rows = []
    for n_shared in SHARED_CLOCKS:
        outbox = folder / f"outbox-{n_shared}.sqlite"
        fix_s, puback_s = _latencies_s(broker, outbox, n_shared, max_scenes)
        cells_ms = 1e3 * np.percentile([fix_s, puback_s], PERCENTILES, axis=1).T.ravel()
        cells = (f"{cell_ms:.1f}" for cell_ms in cells_ms)
        rows.append((f"{n_shared} of {len(ring())}", str(len(fix_s)), *cells))
    columns = [f"{what} p{p}" for what in ("fix", "PUBACK") for p in PERCENTILES]
    return Table(
        title=f"From window closed to fix, and to the PUBACK of {broker.name}, milliseconds",
        columns=("share a clock", "scenes", *columns),
        rows=rows,
        notes=(
            f"bursts of {DURATION_S:g} s, heard by {len(ring())} receivers; outbox on disk; "
            "arrival times are measured where a clock is shared",
            f"target: fix p95 at most {TARGET_MS:g} ms",
        ),
    )


def _latencies_s(
    broker: LocalBroker, outbox: Path, n_shared: int, max_scenes: int
) -> tuple[list[float], list[float]]:
    """To the fix and to its PUBACK, of each scene."""
    rng = np.random.default_rng(1)
    scenes = cycle([heard_by(ring(), n_shared=n_shared, rng=rng) for _ in range(N_DIFFERENT)])
    fix_s: list[float] = []
    with _connected_publisher(broker, outbox) as publisher, _running_locator(publisher) as locating:
        end_s = time.monotonic() + LIMIT_S
        for channel, _ in zip(cycle(CHANNELS), range(N_WARM_UP + max_scenes), strict=False):
            _speak(locating, next(scenes), channel, rng)
            fix_s.append(_taken(publisher.fix_s, "fix"))
            if time.monotonic() > end_s and len(fix_s) > N_WARM_UP:
                break
            time.sleep(rng.uniform(*PAUSE_S))
        puback_s = [_taken(publisher.puback_s, "PUBACK") for _ in fix_s]
    return fix_s[N_WARM_UP:], puback_s[N_WARM_UP:]


def _taken(latencies: queue.SimpleQueue[float], what: str) -> float:
    try:
        return latencies.get(timeout=PATIENCE_S)
    except queue.Empty:
        raise HeimdallError(f"no {what} within {PATIENCE_S:g} s") from None


@contextmanager
def _connected_publisher(broker: LocalBroker, outbox: Path) -> Iterator[TimedPublisher]:
    publisher = TimedPublisher(
        broker=Broker(
            host="127.0.0.1", port=broker.port, client_id=outbox.stem, protocol=broker.protocol
        ),
        outbox=Outbox(outbox),
    )
    publisher.start()
    try:
        deadline_s = time.monotonic() + PATIENCE_S
        while not publisher.state.is_connected:
            if time.monotonic() > deadline_s:
                raise HeimdallError(f"{broker.name}: {publisher.state.last_error}")
            time.sleep(0.01)
        yield publisher
    finally:
        publisher.stop(PATIENCE_S)


@contextmanager
def _running_locator(publisher: TimedPublisher) -> Iterator[LocatorThread]:
    """A locator that knows all receivers as listening on all channels."""
    model = LocatorModel.load(reference_model_path())
    locating = LocatorThread(
        station=STATION,
        associator=associator_of(Config()),
        locator=locator_of(Config(), model, fallback=model),
        publisher=publisher,
        metrics=Metrics(),
        feeds=[FeedTime(receiver.info.receiver_id, follows_clock=True) for receiver in ring()],
    )
    now_utc_ns = time.time_ns()
    limits_dbfs = dict.fromkeys(CHANNELS, LIMIT_DBFS)
    locating.thread.start()
    try:
        for receiver in ring():
            listening = Listening(receiver.info, now_utc_ns - NS_PER_S, now_utc_ns, limits_dbfs)
            locating.inbox.put(Word(receiver.info.receiver_id, listening))
        yield locating
    finally:
        locating.inbox.close()
        locating.thread.join()


def _speak(
    locating: LocatorThread, scene: Sequence[Observation], channel: str, rng: np.random.Generator
) -> None:
    """Let one receiver after the other say what it heard, and that it is decided until then."""
    start_utc_ns = time.time_ns() - round((DURATION_S + HANG_S) * NS_PER_S)
    for i in rng.permutation(len(scene)):
        observation = at(scene[i], channel, start_utc_ns)
        heard = replace(observation, detected_monotonic_s=time.monotonic())
        now_utc_ns, limits_dbfs = time.time_ns(), {channel: LIMIT_DBFS}
        listening = Listening(heard.receiver, start_utc_ns, now_utc_ns, limits_dbfs)
        for said in (heard, listening):
            locating.inbox.put(Word(heard.receiver.receiver_id, said))
        time.sleep(BLOCK_S / len(scene))
