"""What a host's receivers hear where they stand: ``heimdall-edge survey``.

::

    source ─IQBlock─▶ Meter ─▶ Measured ─▶ advice ─▶ table, JSON, picture
"""
