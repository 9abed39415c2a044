"""Going on past lost records: explicit, refused without need, and on the record."""

import pytest
from confluent_kafka import TopicPartition

from schemas import topics
from streams.runtime import kafka, skip
from tests.streams.runtime.conftest import Lab, eventually, figure, processed
from tests.streams.runtime.tally import TOPIC, records, sample, tally

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(90)]


async def test_a_partition_goes_on_behind_what_was_lost(lab: Lab) -> None:
    kafka.prepare()
    agent = tally()
    lab.create_all()
    lab.write(TOPIC.name, records(sample(number) for number in range(100)))
    where = (agent, lab.servers, lab.prefix, 0)
    assert (await skip.standing(*where))[0].mark is None
    with pytest.raises(skip.NothingLostError, match="stands at 0, the log holds 0 to 100: nothing is lost"):
        await skip.skip(*where, by="ann", reason="none")
    async with lab.running() as engine:
        await processed(engine, 100)
    lab.write(TOPIC.name, records(sample(number) for number in range(100, 200)))
    for deleted in lab.admin.delete_records([TopicPartition(lab.source, 0, 150)]).values():
        deleted.result(20)
    async with lab.running() as engine:
        await eventually(lambda: figure(engine.metrics, "watchfloor_halted_partitions") == 1, "the halt")
        assert (await skip.standing(*where))[0].lost == "records 100 to 149 are gone from the log"
        (stood,) = await skip.skip(*where, by="ann", reason="disk full")
        assert (stood.position, stood.begin, stood.end) == (100, 150, 200)
        await processed(engine, 50)
    (after,) = await skip.standing(*where)
    assert (after.position, after.lost) == (200, None)
    (value,) = [value for _, value in lab.rows(topics.DEAD_LETTERS.name)]
    letter = topics.DEAD_LETTERS.codec.decode(value or b"")
    assert (letter["error_class"], letter["source_offset"], letter["source_topic"]) == ("RecordsLost", 100, lab.source)
    assert letter["message"] == "records 100 to 149 are gone from the log; skipped to 150 by ann: disk full"
