"""What the sink must know of Kafka's topics: their UUIDs and where their logs begin and end."""

from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from sinks.errors import LostTrack, Unavailable
from sinks.progress import Position

LIMIT_S = 10.0


class Cluster:
    """Read-only questions about topics."""

    def __init__(self, servers: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})

    def topic_ids(self, names: Iterable[str]) -> dict[str, str]:
        """UUID by topic, without those that do not exist. Raises Unavailable."""
        wanted = list(names)
        found = {}
        answers = self._admin.describe_topics(TopicCollection(wanted), request_timeout=LIMIT_S)
        for name, answer in answers.items():
            try:
                found[name] = str(answer.result(LIMIT_S).topic_id)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise Unavailable(f"Kafka does not describe {name}: {error.args[0].str()}") from error
            except TimeoutError as error:
                raise Unavailable(f"Kafka did not describe {name} within {LIMIT_S:.0f} s") from error
        return found


def log_range(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """First offset of the log and the one after its last. Raises Unavailable."""
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=LIMIT_S)
    except KafkaException as error:
        raise Unavailable(f"Kafka does not say where {topic}[{partition}] begins: {error.args[0].str()}") from error
    return low, high


def check(position: Position, low: int, high: int) -> None:
    """Raises LostTrack when the log does not hold what the sink has yet to store."""
    where = f"{position.topic}[{position.partition}]"
    remedy = f"To go on from what the log holds: watchfloor sink --accept {position.topic}"
    if position.next_offset < low:
        raise LostTrack(
            f"{where} has lost records that were not stored: the next one is offset {position.next_offset}, the log "
            f"begins at {low} (retention is shorter than the sink was away). {remedy}"
        )
    if position.next_offset > high:
        raise LostTrack(
            f"{where} is shorter than what was stored from it: the next record would be offset "
            f"{position.next_offset}, the log ends at {high} (was Kafka restored from a backup?). {remedy}"
        )
