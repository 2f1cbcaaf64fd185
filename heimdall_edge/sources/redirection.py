"""Where a web server's redirection leads: checked, bounded, and never in a circle."""

from __future__ import annotations

from urllib.parse import urlsplit

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.dialling import Address

MAX_HOPS = 3
IN_VAIN_PAUSE_S = 600.0
MAX_HOST_LENGTH = 253


def next_address(location: str, asked: list[Address]) -> Address:
    """The server that a URL names, to be asked next.

    Parameters
    ----------
    asked
        All servers asked so far, the one that redirects last.

    Raises
    ------
    SourceError
        It names none, leads in a circle, or is one redirection too many.
    """
    here = asked[-1]
    said = f"{here}: sends us to {location[:200]!r}"
    address = _address(location, here)
    if address is None:
        raise SourceError(f"{said}; expected a URL with a host", pause_s=IN_VAIN_PAUSE_S)
    if any(_key(address) == _key(before) for before in asked):
        raise SourceError(f"{said}; it leads in a circle", pause_s=IN_VAIN_PAUSE_S)
    if len(asked) > MAX_HOPS:
        raise SourceError(
            f"{said}; expected {MAX_HOPS} redirections at most", pause_s=IN_VAIN_PAUSE_S
        )
    return address


def _address(location: str, here: Address) -> Address | None:
    try:
        url = urlsplit(location)
        host, port = url.hostname, url.port
    except ValueError:  # an impossible port, or half a bracket
        return None
    if not url.scheme and not url.netloc:  # a path on the same server
        return here
    tls = url.scheme in {"https", "wss"} if url.scheme else here.tls
    if not host or len(host) > MAX_HOST_LENGTH or not host.isprintable() or " " in host:
        return None
    return Address(host, port or (443 if tls else 80), tls)


def _key(address: Address) -> tuple[str, int, bool]:
    return address.host.casefold(), address.port, address.tls
