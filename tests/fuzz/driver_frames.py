"""Arbitrary bytes as a driver's output."""

from heimdall_edge.drivers.framing import FrameKind, FrameParser, FramingError


def one_input(data: bytes) -> None:
    parser = FrameParser()
    step = 1 + data[0] if data else 1
    try:
        for begin in range(0, len(data), step):
            parser.feed(data[begin : begin + step])
            for frame in parser:
                if frame.kind is not FrameKind.SAMPLES:
                    assert isinstance(frame.json, dict)
    except FramingError:
        return
    assert len(parser) <= len(data)
