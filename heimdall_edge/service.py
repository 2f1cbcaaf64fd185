"""The daemon as systemd runs it: configuration from a file, fixes to a broker."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pydantic import SecretStr

from heimdall_edge import journal
from heimdall_edge.config import Config
from heimdall_edge.config_file import load_config, read_password
from heimdall_edge.daemon import Daemon, Signals
from heimdall_edge.errors import ConfigError
from heimdall_edge.metrics import Metrics
from heimdall_edge.publish.base import Publisher
from heimdall_edge.publish.broker import Broker, Tls
from heimdall_edge.publish.delivery import Puback
from heimdall_edge.publish.mqtt import MqttPublisher
from heimdall_edge.publish.outbox import Outbox
from heimdall_edge.publish.stdout import StdoutPublisher
from heimdall_edge.publish.topics import Topics

OUTBOX_FILE = "outbox.sqlite"


def run_service(path: Path, *, signals: Signals, to_stdout: bool = False) -> int:
    """Run until SIGTERM or SIGINT; SIGHUP reads the file again."""
    config = load_config(path)
    journal.configure(
        level=config.logging.level,
        style=config.logging.format,
        with_priority="JOURNAL_STREAM" in os.environ,
    )
    return Daemon(
        load=lambda: load_config(path),
        publisher_of=_stdout_publisher if to_stdout else mqtt_publisher,
        signals=signals,
    ).run()


def mqtt_publisher(config: Config, metrics: Metrics) -> Publisher:
    """The publisher that the ``[mqtt]`` table asks for, with its outbox in the state directory.

    Raises
    ------
    ConfigError
        The password's file cannot be read, or the state directory cannot be made.
    """
    mqtt = config.mqtt
    if not mqtt.enabled:
        return _stdout_publisher(config, metrics)
    read_password(mqtt.password_file)  # a file that is wrong is said at start, not at connect
    try:
        config.state_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"state_dir = {config.state_dir}: {error.strerror or error}") from error
    outbox = Outbox(
        config.state_dir / OUTBOX_FILE,
        max_rows=mqtt.outbox.max_rows,
        max_bytes=mqtt.outbox.max_bytes,
        max_age_s=mqtt.outbox.max_age_s,
    )
    return MqttPublisher(
        broker=broker_of(config),
        topics=Topics(station=config.station.name, root=mqtt.topic_root),
        outbox=outbox,
        in_flight=mqtt.in_flight,
        geojson=mqtt.geojson,
        include_mel=mqtt.include_mel,
        include_iq=mqtt.include_iq,
        fix_last_expiry_s=mqtt.fix_last_expiry_s,
        on_puback=lambda puback: _count(puback, metrics),
        on_refused=lambda reason: metrics.mqtt_refused.labels(reason).inc(),
    )


def broker_of(config: Config) -> Broker:
    """Where the broker is; the password is read anew at each connection."""
    mqtt = config.mqtt

    def password() -> SecretStr:
        return SecretStr(read_password(mqtt.password_file) or "")

    tls = mqtt.tls
    return Broker(
        host=mqtt.host,
        port=mqtt.port_number,
        client_id=f"heimdall-edge-{config.station.name}",
        username=mqtt.username,
        password=password if mqtt.username else None,
        tls=Tls(ca_file=tls.ca_file, cert_file=tls.cert_file, key_file=tls.key_file)
        if tls.enabled
        else None,
        protocol=mqtt.protocol,
        keepalive_s=mqtt.keepalive_s,
        session_expiry_s=mqtt.session_expiry_s,
    )


def _count(puback: Puback, metrics: Metrics) -> None:
    metrics.mqtt_acknowledged.labels(puback.kind).inc()
    metrics.puback.labels(puback.kind).observe(puback.latency_s)
    if puback.since_window_s is not None:
        metrics.window_to_puback.observe(puback.since_window_s)


def _stdout_publisher(config: Config, _metrics: Metrics) -> Publisher:
    return StdoutPublisher(stream=sys.stdout, station=config.station.name)
