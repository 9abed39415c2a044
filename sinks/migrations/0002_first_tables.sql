-- Rows of one sort key are identical (or, for alerts, ordered by seq), so writing one again changes nothing:
-- partition and sort keys hold immutable fields only.
CREATE TABLE IF NOT EXISTS {database}.predictions
(
    tenant_id LowCardinality(String) COMMENT 'Tenant that owns the subject.',
    prediction_id UUID COMMENT 'Derived from tenant, model, slot and event_id: a replay gives the same one.',
    event_id String COMMENT 'The event that was scored.' CODEC(ZSTD(1)),
    subject LowCardinality(String) COMMENT 'What the event is about: a host.',
    model LowCardinality(String) COMMENT 'Name of the model.',
    model_version LowCardinality(String) COMMENT 'Version of the model that scored.',
    calibration_version LowCardinality(String) COMMENT 'Version of the calibration; none without one.',
    feature_set LowCardinality(String) COMMENT 'Names and fixes the order of features.',
    slot LowCardinality(String) COMMENT 'champion (acts), challenger, shadow:NAME or backfill:RUN.',
    event_time DateTime64(3, 'UTC') COMMENT 'When the event happened.' CODEC(Delta, LZ4),
    probability Float64 COMMENT 'The score; 0 to 1.',
    interval_low Nullable(Float64) COMMENT 'Lower Venn-Abers bound of the probability; 0 to 1.',
    interval_high Nullable(Float64) COMMENT 'Upper Venn-Abers bound of the probability; 0 to 1.',
    interval_width Nullable(Float64) COMMENT 'interval_high - interval_low; 0 to 1.',
    label_set_90 Array(LowCardinality(String)) COMMENT 'Labels in the conformal set at 0.90; empty, too, where calibration_score is NULL.',
    label_set_95 Array(LowCardinality(String)) COMMENT 'Labels in the conformal set at 0.95; empty, too, where calibration_score is NULL.',
    label_set_99 Array(LowCardinality(String)) COMMENT 'Labels in the conformal set at 0.99; empty, too, where calibration_score is NULL.',
    calibration_score Nullable(Float64) COMMENT 'Nonconformity score used for the sets; 0 or more.',
    risk_level LowCardinality(String) COMMENT 'LOW, MEDIUM, HIGH or CRITICAL.',
    decision LowCardinality(String) COMMENT 'clear, alert or ticket.',
    certified Bool COMMENT 'Whether the calibration held a valid certificate.',
    control_offset Int64 COMMENT 'Offset in the control log whose settings applied; -1 before any.' CODEC(Delta, LZ4),
    features Array(Nullable(Float64)) COMMENT 'The features in the order of feature_set; NULL where not measured.',
    contributions Map(LowCardinality(String), Float64) COMMENT 'Share of each feature in the score, log-odds; empty without an explanation.',
    detail Map(LowCardinality(String), Float64) COMMENT 'Score of each detector on each metric by metric/detector; 0 to 1.',
    advice Nullable(String) COMMENT 'What to look at first, in plain words.',
    held_out Bool COMMENT 'Whether the event is kept out of training.',
    fallback_reason Nullable(String) COMMENT 'Why a simpler model scored than the activated one.',
    scored_by LowCardinality(String) COMMENT 'stream, request or backfill.',
    source_partition Int32 COMMENT 'Partition of the prediction topic.',
    source_offset Int64 COMMENT 'Offset in the prediction topic.' CODEC(Delta, LZ4),
    record_time DateTime64(3, 'UTC') COMMENT 'When the prediction was made: its Kafka timestamp.' CODEC(Delta, LZ4),
    INDEX by_prediction_id prediction_id TYPE bloom_filter(0.01) GRANULARITY 4,
    CONSTRAINT tenant CHECK match(tenant_id, '^[a-z0-9_][a-z0-9_-]*$')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (tenant_id, model, subject, event_time, prediction_id)
TTL toDateTime(event_time) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every score of every model version.';

CREATE TABLE IF NOT EXISTS {database}.metric_samples
(
    tenant_id LowCardinality(String) COMMENT 'Tenant that owns the host.',
    event_id String COMMENT 'Unique per tenant.' CODEC(ZSTD(1)),
    host LowCardinality(String) COMMENT 'Name of the host.',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When the sample was taken.' CODEC(Delta, LZ4),
    cpu_percent Nullable(Float64) COMMENT 'Busy share of all cores; percent, 0 to 100.',
    memory_percent Nullable(Float64) COMMENT 'Used share of memory; percent, 0 to 100.',
    disk_read_bytes_per_s Nullable(Float64) COMMENT 'Read from all disks; bytes per second.',
    disk_write_bytes_per_s Nullable(Float64) COMMENT 'Written to all disks; bytes per second.',
    db_connections Nullable(Float64) COMMENT 'Open connections of the database; count.',
    db_query_ms Nullable(Float64) COMMENT 'Mean time of a database query; milliseconds.',
    queue_depth Nullable(Float64) COMMENT 'Records that wait to be processed; count.',
    request_latency_ms Nullable(Float64) COMMENT 'Time from a request to its answer; milliseconds.',
    error_rate Nullable(Float64) COMMENT 'Failed share of requests; 0 to 1.',
    extra Map(LowCardinality(String), Float64) COMMENT 'Custom metrics by name, in the sender''s units.',
    source_partition Int32 COMMENT 'Partition of events.metrics.',
    source_offset Int64 COMMENT 'Offset in events.metrics: replays read in this order.' CODEC(Delta, LZ4),
    record_time DateTime64(3, 'UTC') COMMENT 'When the sample was published: its Kafka timestamp.' CODEC(Delta, LZ4),
    precedence UInt64 MATERIALIZED 9223372036854775807 - source_offset COMMENT 'Of samples with one event_id the first published holds, as for the agent.',
    CONSTRAINT tenant CHECK match(tenant_id, '^[a-z0-9_][a-z0-9_-]*$')
)
ENGINE = ReplacingMergeTree(precedence)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, host, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Metrics of hosts as they were published.';

CREATE TABLE IF NOT EXISTS {database}.alerts
(
    tenant_id LowCardinality(String) COMMENT 'Tenant concerned.',
    alert_id UUID COMMENT 'Derived from the fingerprint and the opening event.',
    seq Int32 COMMENT 'Version of the alert; 1, 2, ... The newest holds.',
    fingerprint String COMMENT 'What makes two alerts the same.',
    kind LowCardinality(String) COMMENT 'Kind in the alert catalogue.',
    subject LowCardinality(String) COMMENT 'What it is about: a host.',
    metric LowCardinality(String) COMMENT 'Metric concerned.',
    direction LowCardinality(String) COMMENT 'up, down or none.',
    state LowCardinality(String) COMMENT 'open, acknowledged or resolved.',
    severity LowCardinality(String) COMMENT 'INFO, WARNING, HIGH or CRITICAL.',
    opened_at DateTime64(3, 'UTC') COMMENT 'Event time of the opening event.',
    updated_at DateTime64(3, 'UTC') COMMENT 'Event time of this version.',
    resolved_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Event time of the resolution; NULL until then.',
    count Int64 COMMENT 'Firing samples so far.',
    held_back Int32 COMMENT 'Openings held back by the quiet time of the fingerprint.',
    event_id String COMMENT 'The event that opened it.',
    previous_alert_id Nullable(UUID) COMMENT 'The alert that this one reopens.',
    score Float64 COMMENT 'Highest score so far; 0 to 1.',
    value Nullable(Float64) COMMENT 'What was measured, in the metric''s unit.',
    expected Nullable(Float64) COMMENT 'What is usual, in the metric''s unit.',
    limit_value Nullable(Float64) COMMENT 'Static limit that was passed, in the metric''s unit.',
    summary String COMMENT 'One sentence for people.',
    evidence Map(LowCardinality(String), Float64) COMMENT 'Figures behind it by name; units in the names.',
    by LowCardinality(String) COMMENT 'Who caused this version: system or a user name.',
    reason LowCardinality(String) COMMENT 'Why there is this version: opened, more, severity, resolved, ...',
    runbook LowCardinality(String) COMMENT 'Page that says what to do.',
    source_partition Int32 COMMENT 'Partition of the alert topic.',
    source_offset Int64 COMMENT 'Offset in the alert topic.',
    record_time DateTime64(3, 'UTC') COMMENT 'When this version was published: its Kafka timestamp.',
    CONSTRAINT tenant CHECK match(tenant_id, '^[a-z0-9_][a-z0-9_-]*$')
)
ENGINE = ReplacingMergeTree(seq)
PARTITION BY toYYYYMM(opened_at)
ORDER BY (tenant_id, opened_at, alert_id)
TTL toDateTime(opened_at) + INTERVAL 5 YEAR
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Each alert as it stands.';

CREATE TABLE IF NOT EXISTS {database}.alert_events AS {database}.alerts
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(opened_at)
ORDER BY (tenant_id, opened_at, alert_id, seq)
TTL toDateTime(opened_at) + INTERVAL 5 YEAR
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every version of every alert: what happened to it, when, by whom.';

CREATE TABLE IF NOT EXISTS {database}.dead_letters
(
    tenant_id LowCardinality(String) COMMENT 'Tenant, where key or value still say it; else empty.',
    source_topic LowCardinality(String) COMMENT 'Topic that the record came from.',
    source_partition Int32 COMMENT 'Partition that it came from.',
    source_offset Int64 COMMENT 'Offset that it came from.',
    source_timestamp DateTime64(3, 'UTC') COMMENT 'Its Kafka timestamp.',
    agent LowCardinality(String) COMMENT 'Agent (or sink) that refused it.',
    error_class LowCardinality(String) COMMENT 'Short name of the reason.',
    message String COMMENT 'What was expected and what came.',
    key Nullable(String) COMMENT 'Its key as it came; bytes.',
    value Nullable(String) COMMENT 'Its value as it came; bytes.' CODEC(ZSTD(1)),
    headers Array(Tuple(name String, value Nullable(String))) COMMENT 'Its headers in their order; values are bytes.',
    letter_partition Int32 COMMENT 'Partition of the dead-letter topic.',
    letter_offset Int64 COMMENT 'Offset in the dead-letter topic.',
    record_time DateTime64(3, 'UTC') COMMENT 'When it became a dead letter: its timestamp in the dead-letter topic.'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(source_timestamp)
ORDER BY (tenant_id, source_topic, source_partition, source_offset)
TTL toDateTime(record_time) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Records that could not be processed, whole, with the reason.';
