"""What is known of the broker, and what must not be said of it."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from pydantic import SecretStr

from heimdall_edge.publish.broker import Broker, Tls

SECRET = "hunter2-hunter2"


def broker(**changes: object) -> Broker:
    return Broker(host="localhost", port=1883, client_id="x", **changes)  # type: ignore[arg-type]


def test_a_password_is_given_or_fetched_anew_each_time() -> None:
    words = iter(["first", "second"])
    fetched = broker(password=lambda: SecretStr(next(words)))
    assert [fetched.current_password(), fetched.current_password()] == ["first", "second"]
    assert broker(password=SecretStr(SECRET)).current_password() == SECRET
    assert broker().current_password() is None


def test_a_password_is_in_no_repr() -> None:
    for password in (SecretStr(SECRET), lambda: SecretStr(SECRET)):
        assert SECRET not in repr(broker(password=password))
        assert SECRET not in str(broker(password=password))


def test_the_brokers_certificate_and_name_are_always_verified() -> None:
    context = Tls().context()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("field", ["ca_file", "cert_file"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, field: str) -> None:
    missing = tmp_path / "missing.pem"
    with pytest.raises(OSError, match=r"missing\.pem"):
        Tls(**{field: missing}).context()
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("garbage")
    with pytest.raises(OSError, match=r"garbage\.pem"):
        Tls(**{field: garbage}).context()
