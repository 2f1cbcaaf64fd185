"""Recordings of what was heard: :mod:`~heimdall_edge.evidence.recorder` starts here."""
