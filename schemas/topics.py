"""The topics: name, schema, key, how long records stay. The one place that names them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.codec import Codec, topic_codec
from schemas.murmur2 import partition_of

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """One public topic.

    Its key in Kafka is the UTF-8 text of tenant_id and the fields in `key`, joined by "|". A `key` of None
    means that a record keeps the key of the record it came from. `time` and `id` name the fields with the event
    time and the identity; `max_message_bytes` is the largest record, where it is not the broker's default.
    Records of `inbound` topics come from outside and carry their senders' time; all others are written by workers and
    carry the broker's, so that a worker with a wrong clock neither misleads who reads them nor is refused. `arrival`:
    an inbound topic whose records carry the broker's time all the same, because what counts is when they came.
    `personal`: its records may hold personal data. None is older than `retention_ms`, no table has them, and what an
    agent refuses of them is sealed.
    """

    name: str
    schema: str
    key: tuple[str, ...] | None
    time: str
    id: str | None
    retention_ms: int | None
    doc: str
    max_message_bytes: int | None = None
    partitions: int | None = None
    inbound: bool = False
    arrival: bool = False
    personal: bool = False

    @property
    def by_broker(self) -> bool:
        """Whether the broker stamps the records."""
        return self.arrival or not self.inbound

    @property
    def codec(self) -> Codec:
        """Single-object Avro encoder and decoder of the values; the same object each time."""
        return topic_codec(self.schema)

    def key_of(self, record: Mapping[str, Any]) -> bytes:
        """Key of a record. KeyError when a field of the key is missing."""
        if self.key is None:
            return record["key"] or b""
        if len(self.key) == 1:
            return f"{record['tenant_id']}|{record[self.key[0]]}".encode()
        return "|".join([record["tenant_id"], *(str(record[field]) for field in self.key)]).encode()

    def partition_of(self, key: bytes, count: int) -> int:
        """Partition of a key among `count`, as the default partitioner of the Java client."""
        return partition_of(key, count)


EVENTS_METRICS = Topic(
    name="events.metrics",
    schema="events.metrics",
    key=("host",),
    time="occurred_at",
    id="event_id",
    retention_ms=14 * DAY_MS,
    doc="Samples of hosts' metrics, from collectors and upstream systems.",
    inbound=True,
)
EVENTS_ATTENDANCE = Topic(
    name="events.attendance",
    schema="events.attendance",
    key=("person_id",),
    time="occurred_at",
    id="event_id",
    retention_ms=14 * DAY_MS,
    doc="Check-ins and check-outs of people at sites, from upstream systems.",
    inbound=True,
)
ATTENDANCE_BY_DEVICE = Topic(
    name="attendance.by-device",
    schema="attendance.by-device",
    key=("carrier",),
    time="occurred_at",
    id="event_id",
    retention_ms=3 * DAY_MS,
    doc="Good check-ins and check-outs by device: between two agents.",
)
ATTENDANCE_ENRICHED = Topic(
    name="attendance.enriched",
    schema="attendance.enriched",
    key=("person_id",),
    time="occurred_at",
    id="event_id",
    retention_ms=14 * DAY_MS,
    doc="Good check-ins and check-outs with what their device tells: what is scored, in the order in which it is.",
)
OUTCOMES_ATTENDANCE = Topic(
    name="outcomes.attendance",
    schema="outcomes.attendance",
    key=("person_id",),
    time="decided_at",
    id="outcome_id",
    retention_ms=30 * DAY_MS,
    doc="Verdicts of supervisors on check-ins and check-outs.",
    inbound=True,
    arrival=True,
)
EVENTS_SYNC = Topic(
    name="events.sync",
    schema="events.sync",
    key=("user_id",),
    time="occurred_at",
    id="event_id",
    retention_ms=14 * DAY_MS,
    doc="Clients that ask to sync what their users did with an entity, before the merge.",
    inbound=True,
)
SYNC_BY_ENTITY = Topic(
    name="sync.by-entity",
    schema="sync.by-entity",
    key=("domain", "entity_type", "entity_id"),
    time="occurred_at",
    id="event_id",
    retention_ms=3 * DAY_MS,
    doc="Good syncs by entity, with what their user's past tells, and what came of them: between two agents.",
)
OUTCOMES_SYNC = Topic(
    name="outcomes.sync",
    schema="outcomes.sync",
    key=("user_id",),
    time="decided_at",
    id="outcome_id",
    retention_ms=30 * DAY_MS,
    doc="Whether syncs conflicted.",
    inbound=True,
    arrival=True,
)
EVENTS_OCR = Topic(
    name="events.ocr",
    schema="events.ocr",
    key=("source_type", "asset_id"),
    time="occurred_at",
    id="event_id",
    retention_ms=3 * DAY_MS,
    doc="What OCR engines read from images of meters and vehicles, with whatever text that was.",
    inbound=True,
    personal=True,  # raw_text
)
OUTCOMES_OCR = Topic(
    name="outcomes.ocr",
    schema="outcomes.ocr",
    key=("source_type", "asset_id"),
    time="decided_at",
    id="outcome_id",
    retention_ms=3 * DAY_MS,
    doc="What people say that images show.",
    inbound=True,
    arrival=True,
    personal=True,  # corrected_text
)
OCR_READINGS = Topic(
    name="ocr.readings",
    schema="ocr.readings",
    key=(),
    time="occurred_at",
    id="event_id",
    retention_ms=30 * DAY_MS,
    doc="Good readings, each once, without personal data; by tenant, for capture health.",
)
OCR_CAPTURES = Topic(
    name="ocr.captures",
    schema="ocr.captures",
    key=("source_type", "asset_id"),
    time="occurred_at",
    id="capture_id",
    retention_ms=30 * DAY_MS,
    doc="Readings that are worth a look, and gold labels: every version of each.",
)
OCR_VERDICTS = Topic(
    name="ocr.verdicts",
    schema="ocr.verdicts",
    key=("subject",),
    time="decided_at",
    id="outcome_id",
    retention_ms=30 * DAY_MS,
    doc="Corrections that have found their reading, without any text: for the outcome join.",
)
OCR_LABELING_TASKS = Topic(
    name="ocr.labeling-tasks",
    schema="ocr.labeling-tasks",
    key=("source_type", "asset_id"),
    time="updated_at",
    id="task_id",
    retention_ms=30 * DAY_MS,
    doc="Readings that people are asked to look at: every version of each task.",
)
PREDICTIONS_ANOMALY = Topic(
    name="predictions.anomaly",
    schema="predictions.anomaly",
    key=("subject",),
    time="event_time",
    id="prediction_id",
    retention_ms=30 * DAY_MS,
    doc="One score per sample, with the scores of every detector on every metric.",
)
PREDICTIONS_FRAUD = Topic(
    name="predictions.fraud",
    schema="prediction",
    key=("subject",),
    time="event_time",
    id="prediction_id",
    retention_ms=30 * DAY_MS,
    doc="Probability, interval, features and decision of each check-in and check-out, for each slot.",
)
LABELLED_FRAUD = Topic(
    name="labelled.fraud",
    schema="labelled.prediction",
    key=("subject",),
    time="event_time",
    id="prediction_id",
    retention_ms=30 * DAY_MS,
    doc="Predictions of fraud with what supervisors said of them: every version of each label.",
)
PREDICTIONS_CONFLICT = Topic(
    name="predictions.conflict",
    schema="prediction",
    key=("subject",),
    time="event_time",
    id="prediction_id",
    retention_ms=30 * DAY_MS,
    doc="Probability, interval, features and advice of each sync, for each slot.",
)
LABELLED_CONFLICT = Topic(
    name="labelled.conflict",
    schema="labelled.prediction",
    key=("subject",),
    time="event_time",
    id="prediction_id",
    retention_ms=30 * DAY_MS,
    doc="Predictions of conflicts with whether they came: every version of each label.",
)
PREDICTIONS_OCR_TRUST = Topic(
    name="predictions.ocr_trust",
    schema="prediction",
    key=("subject",),
    time="event_time",
    id="prediction_id",
    retention_ms=30 * DAY_MS,
    doc="Probability that a reading is wrong, with features and advice; the subject is source_type|asset_id.",
)
LABELLED_OCR_TRUST = Topic(
    name="labelled.ocr_trust",
    schema="labelled.prediction",
    key=("subject",),
    time="event_time",
    id="prediction_id",
    retention_ms=30 * DAY_MS,
    doc="Predictions of ocr_trust with what people said of them: every version of each label.",
)
ALERTS_CANDIDATES = Topic(
    name="alerts.candidates",
    schema="alerts.candidates",
    key=(),
    time="event_time",
    id="candidate_id",
    retention_ms=30 * DAY_MS,
    doc="What domains ask the alert agent to open, update or clear.",
)
ALERTS = Topic(
    name="alerts",
    schema="alerts",
    key=(),
    time="updated_at",
    id="alert_id",
    retention_ms=30 * DAY_MS,
    doc="Every version of every alert.",
)
COMMANDS_ALERTS = Topic(
    name="commands.alerts",
    schema="commands.alerts",
    key=(),
    time="at",
    id="command_id",
    retention_ms=30 * DAY_MS,
    doc="What people ask the alert agent to do.",
    inbound=True,
)
ALERTS_ANSWERS = Topic(
    name="alerts.answers",
    schema="alerts.answers",
    key=(),
    time="at",
    id="command_id",
    retention_ms=30 * DAY_MS,
    doc="What became of each command to the alert agent.",
)
OUTCOMES_ALERTS = Topic(
    name="outcomes.alerts",
    schema="outcomes.alerts",
    key=(),
    time="decided_at",
    id="outcome_id",
    retention_ms=14 * DAY_MS,
    doc="Verdicts on alerts, from systems upstream.",
)
INCIDENTS = Topic(
    name="incidents",
    schema="incidents",
    key=(),
    time="updated_at",
    id="incident_id",
    retention_ms=30 * DAY_MS,
    doc="Every version of every incident.",
)
LABELLED_ANOMALY = Topic(
    name="labelled.anomaly",
    schema="labelled.anomaly",
    key=(),
    time="decided_at",
    id="alert_id",
    retention_ms=30 * DAY_MS,
    doc="Verdicts of people on alerts of the anomaly model.",
)
TICKETS_CANDIDATES = Topic(
    name="tickets.candidates",
    schema="tickets.candidates",
    key=(),
    time="event_time",
    id="candidate_id",
    retention_ms=30 * DAY_MS,
    doc="Events whose predictions were decided tickets, for the ticket agent.",
)
COMMANDS_TICKETS = Topic(
    name="commands.tickets",
    schema="commands.tickets",
    key=(),
    time="at",
    id="command_id",
    retention_ms=30 * DAY_MS,
    doc="What people ask the ticket agent to do.",
    inbound=True,
)
TICKETS = Topic(
    name="tickets",
    schema="tickets",
    key=(),
    time="updated_at",
    id="ticket_id",
    retention_ms=30 * DAY_MS,
    doc="Every version of every ticket.",
)
TICKETS_ANSWERS = Topic(
    name="tickets.answers",
    schema="tickets.answers",
    key=(),
    time="at",
    id="command_id",
    retention_ms=30 * DAY_MS,
    doc="What became of each command to the ticket agent.",
)
DEAD_LETTERS = Topic(
    name="dead-letters",
    schema="dead-letters",
    key=None,
    time="source_timestamp",
    id=None,
    retention_ms=30 * DAY_MS,
    doc="Records that could not be processed, whole, with the reason.",
    max_message_bytes=32 << 20,  # twice what the broker takes elsewhere, because a dead letter holds a whole record
)
CONTROL_COMMANDS = Topic(
    name="control.commands",
    schema="control.commands",
    key=("name",),
    time="requested_at",
    id="command_id",
    retention_ms=30 * DAY_MS,
    partitions=1,  # the order of all changes
    doc="Requests to change a setting.",
    inbound=True,
)


def _control(name: str, doc: str) -> Topic:
    """A topic of settings: every version of each is a record."""
    return Topic(
        name=f"control.{name}",
        schema="control.entry",
        key=("name", "version"),
        time="at",
        id="command_id",
        retention_ms=None,
        partitions=1,
        doc=doc,
    )


CONTROL_FLAGS = _control("flags", "What is switched on, by tenant: every version.")
CONTROL_THRESHOLDS = _control("thresholds", "Limits and budgets, by tenant: every version.")
CONTROL_MODELS = _control("models", "Which version of a model serves, by tenant: every version of the setting.")
CONTROL_AUDIT = Topic(
    name="control.audit",
    schema="control.audit",
    key=("name",),
    time="at",
    id="command_id",
    retention_ms=5 * 365 * DAY_MS,
    partitions=1,
    doc="What came of every command: the answer, and the audit trail.",
)

CONTROL_REFERENCES = _control("references", "Sites, calendars and rosters: every version, for workers.")

CONTROL: tuple[Topic, ...] = (CONTROL_FLAGS, CONTROL_THRESHOLDS, CONTROL_MODELS, CONTROL_REFERENCES)
"""The topics of settings, which workers follow."""


def _reference(name: str, key: tuple[str, ...], doc: str) -> Topic:
    """A topic of reference data for whoever reads along: the newest record of each key as it was entered."""
    return Topic(
        name=f"control.{name}",
        schema=f"control.{name}",
        key=key,
        time="updated_at",
        id=None,
        retention_ms=None,
        partitions=1,
        doc=doc,
    )


CONTROL_SITES = _reference("sites", ("site_id",), "Sites: where they are, their time zone and country.")
CONTROL_CALENDARS = _reference("calendars", (), "Weekends and own holidays, by tenant.")
CONTROL_ROSTERS = _reference("rosters", ("person_id",), "Sites at which each person may work.")

REFERENCE: tuple[Topic, ...] = (CONTROL_SITES, CONTROL_CALENDARS, CONTROL_ROSTERS)
"""The topics of reference data of the attendance domain."""

CATALOGUE: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        EVENTS_METRICS,
        EVENTS_ATTENDANCE,
        OUTCOMES_ATTENDANCE,
        ATTENDANCE_BY_DEVICE,
        ATTENDANCE_ENRICHED,
        EVENTS_SYNC,
        OUTCOMES_SYNC,
        SYNC_BY_ENTITY,
        EVENTS_OCR,
        OUTCOMES_OCR,
        OCR_READINGS,
        OCR_CAPTURES,
        OCR_VERDICTS,
        OCR_LABELING_TASKS,
        PREDICTIONS_ANOMALY,
        PREDICTIONS_FRAUD,
        LABELLED_FRAUD,
        PREDICTIONS_CONFLICT,
        LABELLED_CONFLICT,
        PREDICTIONS_OCR_TRUST,
        LABELLED_OCR_TRUST,
        ALERTS_CANDIDATES,
        COMMANDS_ALERTS,
        OUTCOMES_ALERTS,
        ALERTS,
        ALERTS_ANSWERS,
        INCIDENTS,
        LABELLED_ANOMALY,
        TICKETS_CANDIDATES,
        COMMANDS_TICKETS,
        TICKETS,
        TICKETS_ANSWERS,
        DEAD_LETTERS,
        CONTROL_COMMANDS,
        *CONTROL,
        CONTROL_AUDIT,
        *REFERENCE,
    )
}
