"""Where samples and observations come from: one file a kind, one protocol."""
