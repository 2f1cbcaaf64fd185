"""heimdall-edge: says over MQTT where a transmitter is, and how sure that is.

Start reading at :mod:`heimdall_edge.pipeline`.
"""

__version__ = "0.1.0"
