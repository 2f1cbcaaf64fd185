"""Signal processing: pure functions and small state machines; no clock, log, thread or file."""
