"""Any bytes as an NTP daemon's answer."""

from heimdall_edge.sources.host_time import clock_of_ntp_daemon
from heimdall_edge.sources.ntp_daemon import parse_ntp


def one_input(data: bytes) -> None:
    """Read ``data`` as an answer; whatever it is, the result is a clock state or none."""
    status = parse_ntp(data, cookie=data[24:32])
    if status is not None:
        state = clock_of_ntp_daemon(status)
        assert state.sigma_s is None or state.sigma_s > 0
