"""What runs beside the daemon, one process a device: opens a driver, and hands on raw bytes.

A driver may block for ever or crash; here it takes nobody with it. Nothing in this package imports
NumPy, or any other part of the daemon.
"""
