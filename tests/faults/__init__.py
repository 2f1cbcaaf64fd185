"""The fault matrix: what each kind of receiver meets, how it recovers, and what it cost whom."""
