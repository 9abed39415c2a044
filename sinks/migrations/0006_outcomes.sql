CREATE TABLE IF NOT EXISTS {database}.outcomes
(
    tenant_id LowCardinality(String) COMMENT 'Tenant concerned.',
    model LowCardinality(String) DEFAULT 'fraud' COMMENT 'Model whose predictions it judges.',
    outcome_id Nullable(String) COMMENT 'As the sender named it; NULL where it did not.',
    event_id String COMMENT 'The event that was judged.',
    subject LowCardinality(String) COMMENT 'Whom or what the event is about.',
    verdict LowCardinality(String) COMMENT 'What turned out: fraud, genuine or unsure.',
    decided_by LowCardinality(String) COMMENT 'Who judged.',
    decided_at DateTime64(3, 'UTC') COMMENT 'When it was judged.',
    reason Nullable(String) COMMENT 'Why, in words.',
    source_partition Int32 COMMENT 'Partition of the topic of outcomes.',
    source_offset Int64 COMMENT 'Offset in the topic of outcomes.',
    record_time DateTime64(3, 'UTC') COMMENT 'When it was published: its Kafka timestamp.',
    CONSTRAINT tenant CHECK match(tenant_id, '^[a-z0-9_][a-z0-9_-]*$')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(decided_at)
ORDER BY (tenant_id, model, event_id, decided_at, source_partition, source_offset)
TTL toDateTime(decided_at) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What turned out to be true of events, as it was published; the labels say which of them holds.';

CREATE TABLE IF NOT EXISTS {database}.labelled_predictions
(
    tenant_id LowCardinality(String) COMMENT 'Tenant concerned.',
    prediction_id UUID COMMENT 'The prediction that is labelled.',
    event_id String COMMENT 'The event that was scored.',
    subject LowCardinality(String) COMMENT 'Whom or what the event is about.',
    model LowCardinality(String) COMMENT 'fraud, conflict or ocr_trust.',
    model_version LowCardinality(String) COMMENT 'Version of the model that scored.',
    calibration_version LowCardinality(String) COMMENT 'Version of the calibration; none without one.',
    feature_set LowCardinality(String) COMMENT 'Names and fixes the order of the features of the prediction.',
    slot LowCardinality(String) COMMENT 'champion, challenger, shadow:NAME or backfill:RUN.',
    event_time DateTime64(3, 'UTC') COMMENT 'When the event happened.',
    probability Float64 COMMENT 'By the model; 0 to 1.',
    interval_low Nullable(Float64) COMMENT 'Lower Venn-Abers bound; 0 to 1.',
    interval_high Nullable(Float64) COMMENT 'Upper Venn-Abers bound; 0 to 1.',
    risk_level LowCardinality(String) COMMENT 'LOW, MEDIUM, HIGH or CRITICAL.',
    decision LowCardinality(String) COMMENT 'clear, alert or ticket.',
    held_out Bool COMMENT 'Whether the event is kept out of training.',
    label Nullable(Bool) COMMENT 'Whether it was what the model looks for; NULL where that could not be told.',
    source LowCardinality(String) COMMENT 'supervisor, sync_result, user_correction or timeout.',
    label_version Int64 COMMENT 'decided_at of the outcome in epoch milliseconds, 0 for timeout. The newest holds.',
    outcome_id Nullable(String) COMMENT 'The outcome that says so; NULL for timeout.',
    decided_by Nullable(String) COMMENT 'Who judged; NULL for timeout.',
    decided_at DateTime64(3, 'UTC') COMMENT 'When it was judged, or presumed.',
    source_partition Int32 COMMENT 'Partition of the topic of labels.',
    source_offset Int64 COMMENT 'Offset in the topic of labels.',
    record_time DateTime64(3, 'UTC') COMMENT 'When the label was published: its Kafka timestamp.',
    CONSTRAINT tenant CHECK match(tenant_id, '^[a-z0-9_][a-z0-9_-]*$')
)
ENGINE = ReplacingMergeTree(label_version)
PARTITION BY toYYYYMM(event_time)
ORDER BY (tenant_id, model, event_time, prediction_id)
TTL toDateTime(event_time) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Predictions and what turned out to be true: the newest label of each.';

CREATE OR REPLACE VIEW {database}.v_outcomes AS
SELECT * FROM {database}.outcomes FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_labelled_predictions AS
SELECT * FROM {database}.labelled_predictions FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
