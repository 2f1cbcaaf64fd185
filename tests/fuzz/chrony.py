"""Any bytes as chronyd's reply."""

from heimdall_edge.sources.chrony import parse_tracking
from heimdall_edge.sources.host_time import clock_of_chrony


def one_input(data: bytes) -> None:
    """Read ``data`` as a reply; whatever it is, the answer is a clock state or none."""
    sequence = int.from_bytes(data[16:20], "big")
    tracking = parse_tracking(data, sequence=sequence)
    if tracking is not None:
        state = clock_of_chrony(tracking)
        assert state.sigma_s is None or state.sigma_s > 0
