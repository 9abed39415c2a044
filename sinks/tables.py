"""Which topic fills which tables: the columns that the writer sends. The tables themselves are made by migrations."""

from dataclasses import dataclass

from schemas import topics
from schemas.topics import Topic

DAY_MS = 86_400_000

# What a row is told about its record, beside the record's own fields.
PARTITION = "@partition"
OFFSET = "@offset"
TIMESTAMP = "@timestamp"

WORD = "LowCardinality(String)"
TIME = "DateTime64(3, 'UTC')"
FIGURES = "Map(LowCardinality(String), Float64)"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str  # as ClickHouse writes it
    field: str  # field of the record, or one of PARTITION, OFFSET, TIMESTAMP


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the writer sees it. `month_of`: the record's field whose month is the row's partition."""

    name: str
    month_of: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def types(self) -> list[str]:
        return [column.type for column in self.columns]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a topic's records go.

    `judged_elsewhere`: anyone may write to the topic, and its agent judges each record, so what is wrong here is
    skipped and counted. In the topics that we write ourselves, it becomes a dead letter.
    """

    topic: Topic
    tables: tuple[Table, ...]
    judged_elsewhere: bool = False
    any_time: bool = False  # a time that cannot be is stored as 1970 instead of refusing the record

    @property
    def month_of(self) -> str:
        return self.tables[0].month_of

    @property
    def behind_ms(self) -> int:
        """How long before it was published an event may have happened, where anyone may write to the topic."""
        return LONGEST_BEHIND_MS if self.topic.arrival else MOST_BEHIND_MS


def columns(text: str, place: tuple[str, str] = ("source_partition", "source_offset")) -> tuple[Column, ...]:
    """Columns from lines of `name type` or `name type = field`, with the record's place and time at the end."""
    out = []
    for line in text.strip().splitlines():
        name, _, rest = line.strip().partition(" ")
        kind, _, field = rest.partition(" = ")
        out.append(Column(name, SHORT.get(kind, kind), field or name))
    return (
        *out,
        Column(place[0], "Int32", PARTITION),
        Column(place[1], "Int64", OFFSET),
        Column("record_time", TIME, TIMESTAMP),
    )


SHORT = {
    "word": WORD,
    "words": f"Array({WORD})",
    "time": TIME,
    "time?": f"Nullable({TIME})",
    "figures": FIGURES,
    "number?": "Nullable(Float64)",
    "bool?": "Nullable(Bool)",
    "text?": "Nullable(String)",
}

PREDICTIONS = Table(
    "predictions",
    "event_time",
    columns("""
        tenant_id word
        prediction_id UUID
        event_id String
        subject word
        model word
        model_version word
        calibration_version word
        feature_set word
        slot word
        event_time time
        probability Float64
        interval_low number?
        interval_high number?
        interval_width number?
        label_set_90 words
        label_set_95 words
        label_set_99 words
        calibration_score number?
        risk_level word
        decision word
        certified Bool
        control_offset Int64
        features Array(Nullable(Float64))
        contributions figures
        detail figures
        advice Nullable(String)
        held_out Bool
        fallback_reason Nullable(String)
        scored_by word
    """),
)
METRIC_SAMPLES = Table(
    "metric_samples",
    "occurred_at",
    columns("""
        tenant_id word
        event_id String
        host word
        occurred_at time
        cpu_percent number?
        memory_percent number?
        disk_read_bytes_per_s number?
        disk_write_bytes_per_s number?
        db_connections number?
        db_query_ms number?
        queue_depth number?
        request_latency_ms number?
        error_rate number?
        extra figures
    """),
)
EVENTS_ATTENDANCE = Table(
    "events_attendance",
    "occurred_at",
    columns("""
        tenant_id word
        event_id String
        person_id String
        site_id word
        kind word
        occurred_at time
        latitude number?
        longitude number?
        gps_accuracy_m number?
        fix_age_s number?
        mock_location bool?
        scheduled_start time?
        face_confidence number?
        face_matched bool?
        device_id text?
        allowed_sites words
        own_roster Bool
        published_at time
        accounts_per_device_30d number?
        accounts_on_device_5min number?
        seconds_since_other_account number?
        device_offset Int64
    """),
)
EVENTS_SYNC = Table(
    "events_sync",
    "occurred_at",
    columns("""
        tenant_id word
        event_id String
        user_id String
        device_id text?
        domain word
        entity_type word
        entity_id String
        occurred_at time
        last_synced_at time?
        fields_changed words
    """),
)
OUTCOMES_SYNC = Table(
    "outcomes_sync",
    "decided_at",
    columns("""
        tenant_id word
        outcome_id text?
        event_id String
        user_id String
        conflict_occurred Bool
        resolution text?
        decided_at time
    """),
)
EVENTS_OCR = Table(
    "events_ocr",
    "occurred_at",
    columns("""
        tenant_id word
        event_id String
        source_type word
        asset_id String
        source_id String
        text String
        fingerprints Array(String)
        value number?
        unit Nullable(String)
        confidence Float64
        engine word
        engine_version word
        image_uri String
        occurred_at time
        published_at time
        captured Bool
    """),
)
OCR_CAPTURE_COLUMNS = columns("""
    tenant_id word
    capture_id UUID
    version Int64
    event_id String
    source_type word
    asset_id String
    source_id String
    occurred_at time
    confidence Float64
    engine word
    engine_version word
    image_uri String
    text String
    fingerprints Array(String)
    uncertainty Float64
    origin word
    corrected_text text?
    corrected_fingerprints Array(String)
    wrong bool?
    correction_type text?
    corrected_by text?
    decided_at time?
    outcome_id text?
""")
OCR_CAPTURES = Table("ocr_captures", "occurred_at", OCR_CAPTURE_COLUMNS)
OCR_CAPTURE_EVENTS = Table("ocr_capture_events", "occurred_at", OCR_CAPTURE_COLUMNS)
OUTCOMES_OCR = Table(
    "outcomes_ocr",
    "decided_at",
    columns("""
        tenant_id word
        outcome_id String
        event_id String
        subject String
        verdict word
        decided_by word
        decided_at time
        reason text?
    """),
)
LABELING_TASKS = Table(
    "labeling_tasks",
    "occurred_at",
    columns("""
        tenant_id word
        task_id UUID
        seq Int32
        state word
        reason word
        event_id String
        source_type word
        asset_id String
        source_id String
        occurred_at time
        image_uri String
        text String
        updated_at time
        by word
        note text?
        batch text?
        propensity number?
    """),
)
ALERT_COLUMNS = columns("""
    tenant_id word
    alert_id UUID
    seq Int32
    fingerprint String
    kind word
    subject word
    metric word
    direction word
    state word
    severity word
    opened_at time
    updated_at time
    resolved_at time?
    count Int64
    held_back Int32
    event_id String
    previous_alert_id Nullable(UUID)
    score Float64
    value number?
    expected number?
    limit_value number? = limit
    summary String
    evidence figures
    by word
    reason word
    runbook word
    note Nullable(String)
    assignee Nullable(String)
    escalation Int32
    snoozed_until time?
    muted Nullable(String)
    flapping Bool
    links words
    incident_id Nullable(UUID)
    verdict Nullable(String)
    verdict_at time?
    label_version Int32
""")
ALERTS = Table("alerts", "opened_at", ALERT_COLUMNS)
ALERT_EVENTS = Table("alert_events", "opened_at", ALERT_COLUMNS)
INCIDENT_COLUMNS = columns("""
    tenant_id word
    incident_id UUID
    seq Int32
    state word
    severity word
    link word
    links words
    opened_at time
    updated_at time
    closed_at time?
    alerts Int32
    active Int32
    alert_id UUID
    summary String
    by word
    reason word
    note Nullable(String)
    related_incident_id Nullable(UUID)
""")
INCIDENTS = Table("incidents", "opened_at", INCIDENT_COLUMNS)
INCIDENT_EVENTS = Table("incident_events", "opened_at", INCIDENT_COLUMNS)
TICKET_COLUMNS = columns("""
    tenant_id word
    ticket_id UUID
    seq Int32
    model word
    subject String
    state word
    resolution text?
    severity word
    opened_at time
    updated_at time
    closed_at time?
    event_ids Array(String)
    probability Float64
    interval_low Float64
    interval_high Float64
    model_version word
    summary String
    by word
    reason word
    note text?
    assignee text?
    purpose word
""")
TICKETS = Table("tickets", "opened_at", TICKET_COLUMNS)
TICKET_EVENTS = Table("ticket_events", "opened_at", TICKET_COLUMNS)
LABELLED = Table(
    "labelled",
    "opened_at",
    columns("""
        tenant_id word
        subject word
        event_id String
        event_time time = opened_at
        alert_id UUID
        label_version Int32
        verdict word
        by word
        decided_at time
        kind word
        metric word
        direction word
        severity word
        score Float64
    """),
)
OUTCOMES = Table(
    "outcomes",
    "decided_at",
    columns("""
        tenant_id word
        outcome_id Nullable(String)
        event_id String
        subject word = person_id
        verdict word
        decided_by word
        decided_at time
        reason Nullable(String)
    """),
)
LABELLED_PREDICTIONS = Table(
    "labelled_predictions",
    "event_time",
    columns("""
        tenant_id word
        prediction_id UUID
        event_id String
        subject word
        model word
        model_version word
        calibration_version word
        feature_set word
        slot word
        event_time time
        probability Float64
        interval_low number?
        interval_high number?
        risk_level word
        decision word
        held_out Bool
        label Nullable(Bool)
        source word
        label_version Int64
        outcome_id Nullable(String)
        decided_by Nullable(String)
        decided_at time
    """),
)
DEAD_LETTERS = Table(
    "dead_letters",
    "source_timestamp",
    columns(
        """
        tenant_id word
        source_topic word
        source_partition Int32
        source_offset Int64
        source_timestamp time
        agent word
        error_class word
        message String
        key Nullable(String)
        value Nullable(String)
        headers Array(Tuple(name String, value Nullable(String)))
        """,
        place=("letter_partition", "letter_offset"),
    ),
)
CONTROL_AUDIT = Table(
    "control_audit",
    "at",
    columns("""
        tenant_id word
        command_id String
        action word
        name word
        outcome word
        code word
        message String
        asked Nullable(String)
        expected_version Int32
        previous_value Nullable(String)
        value Nullable(String)
        version Int32
        valid_from time?
        command_offset Int64
        by String
        at time
        reason String
    """),
)

ROUTES: tuple[Route, ...] = (
    Route(topics.EVENTS_METRICS, (METRIC_SAMPLES,), judged_elsewhere=True),
    Route(topics.PREDICTIONS_ANOMALY, (PREDICTIONS,)),
    Route(topics.PREDICTIONS_FRAUD, (PREDICTIONS,)),
    Route(topics.OUTCOMES_ATTENDANCE, (OUTCOMES,), judged_elsewhere=True),
    Route(topics.LABELLED_FRAUD, (LABELLED_PREDICTIONS,)),
    Route(topics.ATTENDANCE_ENRICHED, (EVENTS_ATTENDANCE,)),
    Route(topics.EVENTS_SYNC, (EVENTS_SYNC,), judged_elsewhere=True),
    Route(topics.OUTCOMES_SYNC, (OUTCOMES_SYNC,), judged_elsewhere=True),
    Route(topics.PREDICTIONS_CONFLICT, (PREDICTIONS,)),
    Route(topics.LABELLED_CONFLICT, (LABELLED_PREDICTIONS,)),
    Route(topics.OCR_READINGS, (EVENTS_OCR,)),
    Route(topics.OCR_CAPTURES, (OCR_CAPTURES, OCR_CAPTURE_EVENTS)),
    Route(topics.OCR_VERDICTS, (OUTCOMES_OCR,)),
    Route(topics.OCR_LABELING_TASKS, (LABELING_TASKS,)),
    Route(topics.PREDICTIONS_OCR_TRUST, (PREDICTIONS,)),
    Route(topics.LABELLED_OCR_TRUST, (LABELLED_PREDICTIONS,)),
    Route(topics.ALERTS, (ALERTS, ALERT_EVENTS)),
    Route(topics.INCIDENTS, (INCIDENTS, INCIDENT_EVENTS)),
    Route(topics.TICKETS, (TICKETS, TICKET_EVENTS)),
    Route(topics.LABELLED_ANOMALY, (LABELLED,)),
    Route(topics.CONTROL_AUDIT, (CONTROL_AUDIT,)),
    Route(topics.DEAD_LETTERS, (DEAD_LETTERS,), any_time=True),
)
TABLES: tuple[Table, ...] = tuple({table.name: table for route in ROUTES for table in route.tables}.values())

# ClickHouse keeps a DateTime64(3) outside these years, too, but nobody can be meant by it.
FIRST_MS = 0  # 1970
LAST_MS = 7_258_118_400_000  # 2200
# In a topic that anyone may write to, wilder times would cut a block, and make a partition, each: a little more than
# what agents take (30 days, 10 minutes).
MOST_BEHIND_MS = 31 * DAY_MS
MOST_AHEAD_MS = 3_600_000
LONGEST_BEHIND_MS = 400 * DAY_MS
"""Of topics that are stamped when their records come: what was decided long ago may come today. Their tables keep it so
long."""
