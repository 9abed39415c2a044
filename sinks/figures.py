"""Every figure that a sink publishes, in one list."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
ROWS = (1, 10, 100, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)


class Figures:
    """Figures of one sink process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.registry = registry

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, text, labels, registry=registry, buckets=buckets)

        self.rows = counter("watchfloor_sink_rows", "Rows stored.", "table")
        self.inserts = counter("watchfloor_sink_inserts", "Inserts that ClickHouse acknowledged.", "table")
        self.retries = counter("watchfloor_sink_retries", "Requests sent again because ClickHouse was away or busy.")
        self.dead_letters = counter(
            "watchfloor_sink_dead_letters", "Records of our own topics that got no row.", "topic"
        )
        self.skipped = counter("watchfloor_sink_skipped", "Records of input topics that their agent rejects.", "topic")
        self.block_rows = histogram("watchfloor_sink_block_rows", "Rows in an insert.", ROWS, "table")
        self.insert_seconds = histogram("watchfloor_sink_insert_seconds", "Time of an insert.", SECONDS, "table")
        self.flush_seconds = histogram("watchfloor_sink_flush_seconds", "Time from plan to stored.", SECONDS)
        self.lag = gauge("watchfloor_sink_lag_records", "Records not yet stored.", "topic", "partition")
        self.buffered = gauge("watchfloor_sink_buffered_bytes", "Values read and not yet stored.")
        self.partitions = gauge("watchfloor_sink_partitions", "Topic partitions that this process stores.")
        self.clickhouse_up = gauge("watchfloor_sink_clickhouse_up", "1 while ClickHouse takes inserts, else 0.")
