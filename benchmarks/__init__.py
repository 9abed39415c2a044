"""Performance, measured: the runtime beside its peers, latency, restore, and the sink."""
