"""Where the broker is, who we are to it, and what may come back from it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Transport security; the broker's certificate and name are always verified."""

    ca_file: Path | None = None
    """The system's authorities when left out."""
    cert_file: Path | None = None
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Read the files, anew for each connection: certificates are renewed."""
        try:
            context = _ClosingContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.ca_file:
                context.load_verify_locations(self.ca_file)
            else:
                context.load_default_certs()
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file)
        except OSError as error:
            files = ", ".join(str(f) for f in (self.ca_file, self.cert_file, self.key_file) if f)
            raise OSError(f"TLS files {files}: {error}") from None
        return context


class _ClosingContext(ssl.SSLContext):
    """Shakes hands at once, and closes the socket if that fails; paho would leave it open."""

    def wrap_socket(self, sock, *args, **kwargs):  # type: ignore[no-untyped-def]
        wrapped = super().wrap_socket(sock, *args, **kwargs)
        try:
            wrapped.do_handshake()
        except BaseException:
            wrapped.close()
            raise
        return wrapped


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """The broker to connect to."""

    host: str
    port: int
    client_id: str
    """The same at every start: the broker keeps a session under it."""
    username: str | None = None
    password: SecretStr | Callable[[], SecretStr] | None = field(default=None, repr=False)
    """Called anew for each connection, where it is callable."""
    tls: Tls | None = None
    protocol: Literal["5", "3.1.1"] = "5"
    keepalive_s: int = 30
    session_expiry_s: int = 3600
    """How long the broker keeps the session of a client that is gone (MQTT v5)."""
    connect_timeout_s: float = 5.0

    def current_password(self) -> str | None:
        secret = self.password() if callable(self.password) else self.password
        return secret.get_secret_value() if secret is not None else None


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says of us when we are gone without a word."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The broker has taken us."""

    receive_maximum: int = 65_535
    """Messages that it takes before it has acknowledged the first."""
    maximum_packet_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The connection has ended, or could not be made."""

    reason: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker's word on one message."""

    mid: int
    code: int = 0
    """MQTT v5 reason code; 128 and above is a refusal."""
    reason: str = "Success"


LinkEvent = LinkUp | LinkDown | Acknowledged
