"""The engine on a real broker: every record counts once, whatever happens to its worker."""

import pytest

from streams.runtime.frame import InputRecord
from tests.streams.runtime.conftest import Lab, processed
from tests.streams.runtime.tally import FORGET, POISON, REFUSE, TOPIC, records, sample

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(60)]


def mixed(count: int, start: int = 0) -> list[InputRecord]:
    """Samples with all that may be wrong among them."""
    orders = {20: (POISON,), 21: (POISON,), 50: (REFUSE,), 70: (FORGET,)}
    made = records(sample(number, *orders.get(number % 100, ())) for number in range(start, start + count))
    return [one._replace(value=b"?") if one.offset % 100 == 40 else one for one in made]


async def test_every_record_counts_once(lab: Lab) -> None:
    lab.partitions = 2
    lab.create_all()
    lab.write(TOPIC.name, mixed(400))
    async with lab.running() as engine:
        await processed(engine, 400)
        lab.write(TOPIC.name, mixed(200, start=400))
        await processed(engine, 600)
    lab.check()
    assert sum(map(len, lab.log("dead-letters"))) == 6 * 4
