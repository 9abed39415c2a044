"""Every figure that the engine publishes, in one list."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
RECORDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


class Metrics:
    """Figures of one worker process. All carry the label `agent`."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, ("agent", *labels), registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, ("agent", *labels), registry=self.registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, ("agent",), registry=self.registry, buckets=buckets)

        self.events = counter("watchfloor_events", "Records processed, dead letters included.")
        self.outputs = counter("watchfloor_outputs", "Records written.", "topic")
        self.dead_letters = counter("watchfloor_dead_letters", "Records put into the dead letters.")
        self.frames = counter("watchfloor_frames", "Frames committed.")
        self.frame_records = histogram("watchfloor_frame_records", "Records in a frame.", RECORDS)
        self.process_seconds = histogram("watchfloor_process_seconds", "Time in the agent's function.", SECONDS)
        self.transaction_seconds = histogram("watchfloor_transaction_seconds", "Time of a transaction.", SECONDS)
        self.restore_seconds = histogram("watchfloor_restore_seconds", "Time to restore a partition.", SECONDS)
        self.errors = counter("watchfloor_errors", "What made a partition open again, by class.", "error")
        self.body_errors = counter("watchfloor_body_errors", "Times that the agent's function raised.")
        self.partitions = gauge("watchfloor_partitions", "Partitions open on this worker.")
        self.halted = gauge("watchfloor_halted_partitions", "Partitions stopped by an error that needs a person.")
        self.paused = gauge("watchfloor_paused", "1 while dead letters keep a partition paused.", "partition")
        self.lag = gauge("watchfloor_lag_records", "Records waiting in the input.", "partition")
        self.state_entries = gauge("watchfloor_state_entries", "Entries of state held.", "partition")
        self.changelog_bytes = counter("watchfloor_changelog_bytes", "Bytes written to the changelog.")
