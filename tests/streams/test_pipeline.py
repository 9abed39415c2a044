"""Both agents in a real worker on a real broker say what the offline driver says, byte for byte."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from schemas import topics
from streams.alerts import ALERTS
from streams.metrics import METRICS
from streams.runtime.frame import InputRecord, Row
from streams.runtime.offline import Outcome, run
from tests.faults import logs
from tests.faults.waiting import until
from tests.streams.test_metrics import hosts, records
from tests.worker import serving
from watchfloor.cli import main

PARTITIONS = 2


def by_key(rows: Iterable[Row]) -> dict[bytes | None, list[bytes | None]]:
    """Values in their order, by key: what does not depend on how partitions take turns."""
    found: dict[bytes | None, list[bytes | None]] = defaultdict(list)
    for key, value in rows:
        found[key].append(value)
    return found


def offline(source: list[InputRecord], prefix: str) -> tuple[Outcome, list[InputRecord]]:
    """Outcome of the metrics agent over all partitions, and its candidates as records."""
    topic = topics.EVENTS_METRICS
    counts = {each.name: PARTITIONS for each in topics.CATALOGUE.values()}
    whole = Outcome()
    for number in range(PARTITIONS):
        mine = [record for record in source if topic.partition_of(record.key or b"", PARTITIONS) == number]
        # Offsets are those within the partition, as the broker counts them.
        mine = [record._replace(offset=offset) for offset, record in enumerate(mine)]
        outcome = run(METRICS, mine, partition=number, counts=counts, prefix=prefix)
        for place, rows in outcome.outputs.items():
            whole.outputs.setdefault(place, []).extend(rows)
    candidates = [
        InputRecord(key, value, topics.ALERTS_CANDIDATES.codec.decode(value)["event_time"], offset)
        for offset, (key, value) in enumerate(whole.topic("alerts.candidates"))
        if value is not None
    ]
    return whole, candidates


@pytest.mark.kafka
def test_a_worker_says_what_the_offline_driver_says(kafka: str, prefix: str, tmp_path: Path) -> None:
    environment = {
        "WATCHFLOOR_HOME": str(tmp_path),
        "WATCHFLOOR_KAFKA": kafka,
        "WATCHFLOOR_PREFIX": prefix,
        "WATCHFLOOR_PARTITIONS": str(PARTITIONS),
    }
    made = CliRunner().invoke(main, ["topics", "apply", "--retention-forever"], env=environment)
    assert made.exit_code == 0, made.output
    # Under 20 dead letters in a partition are no flood, however the worker cuts its frames.
    source = records(hosts(seed=7, count=1500, odd=0.4))
    expected, candidates = offline(source, prefix)
    assert len(run(ALERTS, candidates).topic("alerts")) > 20

    producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True, "log_level": 0})
    for record in source:
        partition = topics.EVENTS_METRICS.partition_of(record.key or b"", PARTITIONS)
        name = prefix + topics.EVENTS_METRICS.name
        producer.produce(name, record.value, record.key, partition=partition, timestamp=record.timestamp)
    assert producer.flush(30) == 0

    def said(topic: str) -> list[Row]:
        return [(each.key, each.value) for log in logs.read(kafka, prefix + topic) for each in log]

    def alerts() -> list[Row]:
        """What the alert agent must say. Candidates of several hosts meet in the order of their log."""
        logged = logs.read(kafka, prefix + "alerts.candidates")
        heard = [[InputRecord(each.key, each.value, each.timestamp, each.offset) for each in log] for log in logged]
        return [row for log in heard for row in run(ALERTS, log).topic("alerts")]

    def finished() -> bool:
        heard = len(said("alerts.candidates")) == len(candidates)
        return heard and len(said("alerts")) >= len(alerts())

    with serving(environment) as worker:
        until(lambda: not worker.alive or finished(), 90, "the last alert", every=1.0)
    for topic in ("predictions.anomaly", "dead-letters"):
        assert by_key(said(topic)) == by_key(expected.topic(topic)), topic
    assert sorted(said("alerts.candidates")) == sorted(expected.topic("alerts.candidates"))
    assert by_key(said("alerts")) == by_key(alerts())
