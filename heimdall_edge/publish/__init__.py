"""What goes out: the wire format, the outbox, the broker."""
