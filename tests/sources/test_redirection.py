from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.dialling import Address
from heimdall_edge.sources.redirection import IN_VAIN_PAUSE_S, next_address

HERE = Address("a.example", 8073)


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("http://b.example:8074/", Address("b.example", 8074)),
        ("http://b.example", Address("b.example", 80)),
        ("https://b.example/x?y", Address("b.example", 443, tls=True)),
        ("wss://b.example:8073", Address("b.example", 8073, tls=True)),
        ("//b.example:8074/status", Address("b.example", 8074)),
        ("https://a.example:8073/", Address("a.example", 8073, tls=True)),
        ("http://[2001:db8::7]:8073/", Address("2001:db8::7", 8073)),
    ],
)
def test_a_url_names_the_next_server(location, address):
    assert next_address(location, [HERE]) == address


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("", "circle"),
        ("/status", "circle"),
        ("http://A.example:8073/other", "circle"),
        ("http://", "expected a URL with a host"),
        ("http://b.example:99999/", "expected a URL with a host"),
        ("http://[::1/", "expected a URL with a host"),
        ("http://" + "x" * 300, "expected a URL with a host"),
        ("mailto:owner@b.example", "expected a URL with a host"),
    ],
)
def test_a_redirection_that_leads_nowhere_is_an_error_with_a_long_pause(location, why):
    with pytest.raises(SourceError, match=rf"a\.example:8073: sends us to .*{why}") as caught:
        next_address(location, [HERE])
    assert caught.value.pause_s == IN_VAIN_PAUSE_S


def test_a_chain_comes_to_an_end():
    asked = [Address(name, 8073) for name in ("a.example", "b.example", "c.example", "d.example")]
    assert next_address("http://d.example", asked[:3]) == Address("d.example", 80)
    with pytest.raises(SourceError, match="expected 3 redirections at most"):
        next_address("http://e.example", asked)


@given(st.text(max_size=40) | st.text(max_size=40).map(lambda t: "http://" + t))
def test_any_text_is_an_address_or_an_error(location):
    try:
        address = next_address(location, [HERE])
    except SourceError:
        return
    assert address.host
    assert 0 < address.port < 65_536
