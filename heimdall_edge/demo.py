"""The whole daemon on simulated receivers, an embedded broker, and a subscriber beside it.

::

    demo.toml ─▶ Daemon ──MQTT──▶ EmbeddedBroker ──MQTT──▶ subscriber ─▶ a row a fix ◀─ truth

The subscriber knows what any hub knows, and the truth besides; the daemon does not.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any, TextIO

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from heimdall_edge import journal
from heimdall_edge.config import Config
from heimdall_edge.config_file import parse_config
from heimdall_edge.daemon import Daemon, Signals
from heimdall_edge.geodesy import LocalFrame, distance_m
from heimdall_edge.publish.embedded_broker import EmbeddedBroker
from heimdall_edge.service import mqtt_publisher
from heimdall_edge.sources.truth import Transmission, transmissions
from heimdall_edge.timestamps import utc_ns
from heimdall_edge.types import NS_PER_S, Place

MATCH_NS = NS_PER_S
"""A fix belongs to a transmission that was on the air within this of its start."""
ROW = "{:>8}  {:<7} {:<9} {:>9} {:>9}  {:>8}  {:>15}  {:>5}  {:<8} {:>5}"
TITLES = ROW.format(
    "UTC", "channel", "truth", "latitude", "longitude", "error",
    "95 % ellipse", "holds", "method", "heard",
)  # fmt: skip


def run_demo(*, signals: Signals, seconds: float | None = None, out: TextIO | None = None) -> int:
    """Run until Ctrl-C, or for some seconds, and print each fix beside the truth."""
    out = out or sys.stdout
    journal.configure(level="warning")
    start_utc_ns = time.time_ns()
    with (
        tempfile.TemporaryDirectory(prefix="heimdall-edge-demo-") as folder,
        EmbeddedBroker() as broker,
    ):
        config = demo_config(state_dir=Path(folder), port=broker.port)
        print(_welcome(config, broker.port), file=out, flush=True)
        watcher = FixWatcher(config, start_utc_ns=start_utc_ns, out=out)
        watcher.start()
        code = Daemon(
            load=lambda: config,
            publisher_of=mqtt_publisher,
            signals=_UntilTime(signals, seconds),
            start_utc_ns=start_utc_ns,
        ).run()
        watcher.stop()
    print(watcher.tally.in_words(), file=out, flush=True)
    return code


class _UntilTime:
    """The process's signals, and a made-up SIGTERM when the time is over."""

    def __init__(self, signals: Signals, seconds: float | None) -> None:
        self._signals = signals
        self._end_s = None if seconds is None else time.monotonic() + seconds

    def wait(self, timeout_s: float) -> int | None:
        if self._end_s is not None and time.monotonic() >= self._end_s:
            return signal.SIGTERM
        return self._signals.wait(timeout_s)


def demo_config(*, state_dir: Path, port: int) -> Config:
    """The embedded default: receivers and transmitters of ``demo.toml``, and this broker."""
    text = files("heimdall_edge").joinpath("data/demo.toml").read_text()
    config = parse_config(text, name="demo.toml")
    mqtt = config.mqtt.model_copy(update={"host": "127.0.0.1", "port": port, "protocol": "3.1.1"})
    metrics = config.metrics.model_copy(update={"port": 0})
    return config.model_copy(update={"state_dir": state_dir, "mqtt": mqtt, "metrics": metrics})


def _welcome(config: Config, port: int) -> str:
    topic = f"{config.mqtt.topic_root}/{config.station.name}/fix"
    return (
        f"{len(config.receivers)} simulated receivers, {len(config.channels)} channels, "
        f"{len(config.simulation.transmitters)} transmitters; broker on 127.0.0.1:{port}\n"
        f"see for yourself: mosquitto_sub -p {port} -t '{topic}'    (Ctrl-C ends)\n\n{TITLES}"
    )


@dataclass
class Tally:
    """What the fixes were worth so far."""

    errors_m: list[float] = field(default_factory=list)
    held: int = 0
    refused: int = 0

    def in_words(self) -> str:
        if not self.errors_m:
            return f"\nno fix yet, {self.refused} refused"
        n = len(self.errors_m)
        return (
            f"\n{n} fixes: median error {median(self.errors_m):.0f} m, "
            f"{self.held} of {n} inside their 95 % ellipse; {self.refused} refused"
        )


class FixWatcher:
    """Subscribes to the station's fixes, as a hub would, and prints them beside the truth."""

    def __init__(self, config: Config, *, start_utc_ns: int, out: TextIO) -> None:
        self._config = config
        self._start_utc_ns = start_utc_ns
        self._out = out
        self.tally = Tally()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="heimdall-demo", protocol=paho.MQTTv311
        )
        self._client.on_connect = self._subscribe
        self._client.on_message = self._show

    def start(self) -> None:
        self._client.connect("127.0.0.1", self._config.mqtt.port_number)
        self._client.loop_start()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _subscribe(self, client: paho.Client, *_details: object) -> None:
        client.subscribe(f"{self._config.mqtt.topic_root}/+/fix", qos=1)

    def _show(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        fix = json.loads(message.payload)
        print(self._row(fix), file=self._out, flush=True)

    def _row(self, fix: dict[str, Any]) -> str:
        clock = fix["timestamp"][11:19]
        truth = self._truth(fix)
        name = truth.transmitter if truth else "-"
        heard = sum(receiver["heard"] for receiver in fix["receivers"])
        if fix["position"] is None:
            self.tally.refused += 1
            refusal = f"refused: {fix['reason']} ({heard} heard)"
            return f"{clock:>8}  {fix['channel']:<7} {name:<9} {refusal}"
        place, ellipse = fix["position"], fix["ellipse"]
        error, holds = "-", "-"
        if truth:
            error_m, is_held = self._judge(fix, truth)
            error, holds = f"{error_m:.0f} m", "yes" if is_held else "no"
        size = f"{ellipse['semi_major_m']:.0f} x {ellipse['semi_minor_m']:.0f} m"
        return ROW.format(
            clock, fix["channel"], name, f"{place['latitude']:.4f}", f"{place['longitude']:.4f}",
            error, size, holds, fix["method"], heard,
        )  # fmt: skip

    def _truth(self, fix: dict[str, Any]) -> Transmission | None:
        """The transmission on that channel that was on the air then."""
        at_utc_ns = utc_ns(fix["timestamp"])
        channel = next(c for c in self._config.channels if c.name == fix["channel"])
        spoken = transmissions(
            self._config.simulation,
            start_utc_ns=self._start_utc_ns,
            until_s=(at_utc_ns - self._start_utc_ns) / NS_PER_S + 1,
        )
        for transmission in reversed(spoken):
            on_channel = (
                abs(transmission.frequency_hz - channel.frequency_hz) < channel.bandwidth_hz / 2
            )
            end_utc_ns = transmission.end_utc_ns or at_utc_ns
            if on_channel and transmission.start_utc_ns - MATCH_NS <= at_utc_ns <= end_utc_ns:
                return transmission
        return None

    def _judge(self, fix: dict[str, Any], truth: Transmission) -> tuple[float, bool]:
        """Error in metres, and whether the 95 % ellipse holds the truth."""
        latitude, longitude = fix["position"]["latitude"], fix["position"]["longitude"]
        true = (truth.mid_latitude_deg, truth.mid_longitude_deg)
        east_m, north_m = LocalFrame(Place(latitude, longitude)).to_enu_m(*true)
        ee, en, nn = fix["covariance_enu_m2"]
        nees = (nn * east_m**2 - 2 * en * east_m * north_m + ee * north_m**2) / (ee * nn - en**2)
        is_held = bool(nees <= 5.991)  # chi-squared with two degrees of freedom, 95 %
        error_m = float(distance_m(latitude, longitude, *true))
        self.tally.errors_m.append(error_m)
        self.tally.held += is_held
        return error_m, is_held
