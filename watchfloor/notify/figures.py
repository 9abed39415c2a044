"""Every figure that the notifier publishes, in one list."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Figures:
    """Figures of one process. All carry the label `channel`."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()

        def counter(name: str, text: str) -> Counter:
            return Counter(name, text, ("channel",), registry=self.registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, ("channel",), registry=self.registry)

        self.sent = counter("watchfloor_notify_sent", "Notifications that the other side has taken.")
        self.refused = counter("watchfloor_notify_refused", "Notifications given up: the other side refuses them.")
        self.retries = counter("watchfloor_notify_retries", "Attempts that failed and are made again.")
        self.expired = counter("watchfloor_notify_expired", "Notifications not sent because they were too old.")
        self.unreadable = counter("watchfloor_notify_unreadable", "Records of the alerts topic that are no alert.")
        self.held = gauge("watchfloor_notify_held", "Notifications that wait for the end of quiet hours.")
        self.failing = gauge("watchfloor_notify_failing", "1 while the channel does not work, else 0.")
        self.lag = gauge("watchfloor_notify_lag_records", "Records of the alerts topic not looked at yet.")
