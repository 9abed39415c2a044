-- OCR readings without personal data, captures and gold labels, verdicts, labeling tasks.
CREATE TABLE IF NOT EXISTS {database}.events_ocr
(
    tenant_id LowCardinality(String) COMMENT 'Tenant concerned.',
    event_id String COMMENT 'Unique per tenant.' CODEC(ZSTD(1)),
    source_type LowCardinality(String) COMMENT 'meter_reading or vehicle_entry.',
    asset_id String COMMENT 'Meter or gate.' CODEC(ZSTD(1)),
    source_id String COMMENT 'Id of the reading where it was made.' CODEC(ZSTD(1)),
    text String COMMENT 'Redacted: digits of a meter with ? for all else; classes of the characters of a plate, or the plate where the tenant allows that.',
    fingerprints Array(String) COMMENT 'Of a plate: keyed fingerprints of it, and of it without one character; empty without a key.',
    value Nullable(Float64) COMMENT 'The number that the text means.',
    unit Nullable(String) COMMENT 'Of the value.',
    confidence Float64 COMMENT 'What the engine says of its own reading; 0 to 1.',
    engine LowCardinality(String) COMMENT 'Name of the OCR engine.',
    engine_version LowCardinality(String) COMMENT 'Its version.',
    image_uri String COMMENT 'Where the image is.' CODEC(ZSTD(1)),
    occurred_at DateTime64(3, 'UTC') COMMENT 'When the image was taken.' CODEC(Delta, LZ4),
    published_at DateTime64(3, 'UTC') COMMENT 'Kafka timestamp of events.ocr.' CODEC(Delta, LZ4),
    captured Bool COMMENT 'Whether its confidence was below the threshold of captures.',
    source_partition Int32 COMMENT 'Partition of ocr.readings.',
    source_offset Int64 COMMENT 'Offset in ocr.readings: of one asset, the order in which readings were scored.' CODEC(Delta, LZ4),
    record_time DateTime64(3, 'UTC') COMMENT 'Kafka timestamp of that record.' CODEC(Delta, LZ4),
    CONSTRAINT tenant CHECK match(tenant_id, '^[a-z0-9_][a-z0-9_-]*$')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, source_type, asset_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Readings of meters and plates as they were scored, without personal data.';

CREATE TABLE IF NOT EXISTS {database}.ocr_captures
(
    tenant_id LowCardinality(String) COMMENT 'Tenant concerned.',
    capture_id UUID COMMENT 'Derived from tenant and event.',
    version Int64 COMMENT '0 as captured, decided_at of a correction in epoch milliseconds. The newest holds.',
    event_id String COMMENT 'The event that was read.',
    source_type LowCardinality(String) COMMENT 'meter_reading or vehicle_entry.',
    asset_id String COMMENT 'Meter or gate.',
    source_id String COMMENT 'Id of the reading where it was made.',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When the image was taken.',
    confidence Float64 COMMENT 'What the engine says of its own reading; 0 to 1.',
    engine LowCardinality(String) COMMENT 'Name of the OCR engine.',
    engine_version LowCardinality(String) COMMENT 'Its version.',
    image_uri String COMMENT 'Where the image is.',
    text String COMMENT 'What was read, redacted as in events_ocr.',
    fingerprints Array(String) COMMENT 'Of what was read, as in events_ocr.',
    uncertainty Float64 COMMENT '1 - confidence; 1 for a gold label. 0 to 1.',
    origin LowCardinality(String) COMMENT 'low_confidence, or correction: a gold label.',
    corrected_text Nullable(String) COMMENT 'What the image shows, redacted; NULL without a correction.',
    corrected_fingerprints Array(String) COMMENT 'Of what the image shows.',
    wrong Nullable(Bool) COMMENT 'Whether the reading was wrong; NULL where that is not known.',
    correction_type Nullable(String) COMMENT 'OCR_ERROR or WRONG_READING.',
    corrected_by Nullable(String) COMMENT 'Who corrected it.',
    decided_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was corrected.',
    outcome_id Nullable(String) COMMENT 'The outcome that says so.',
    source_partition Int32 COMMENT 'Partition of ocr.captures.',
    source_offset Int64 COMMENT 'Offset in ocr.captures.',
    record_time DateTime64(3, 'UTC') COMMENT 'When this version was published: its Kafka timestamp.',
    CONSTRAINT tenant CHECK match(tenant_id, '^[a-z0-9_][a-z0-9_-]*$')
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, occurred_at, capture_id)
TTL toDateTime(occurred_at) + INTERVAL 2 YEAR
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Readings worth a look, each as it stands; one that was corrected is a gold label.';

CREATE TABLE IF NOT EXISTS {database}.outcomes_ocr
(
    tenant_id LowCardinality(String) COMMENT 'Tenant concerned.',
    outcome_id String COMMENT 'As the sender named it, else derived from the correction.',
    event_id String COMMENT 'The event that was judged.',
    subject String COMMENT 'source_type|asset_id of it.',
    verdict LowCardinality(String) COMMENT 'wrong, right or unsure.',
    decided_by LowCardinality(String) COMMENT 'Who judged.',
    decided_at DateTime64(3, 'UTC') COMMENT 'When it was judged.',
    reason Nullable(String) COMMENT 'OCR_ERROR or WRONG_READING; NULL where the reading was right.',
    source_partition Int32 COMMENT 'Partition of ocr.verdicts.',
    source_offset Int64 COMMENT 'Offset in ocr.verdicts.',
    record_time DateTime64(3, 'UTC') COMMENT 'When it was published: its Kafka timestamp.',
    CONSTRAINT tenant CHECK match(tenant_id, '^[a-z0-9_][a-z0-9_-]*$')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(decided_at)
ORDER BY (tenant_id, event_id, decided_at, outcome_id)
TTL toDateTime(decided_at) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Corrections of readings, without any text; the labels say which of them holds.';

CREATE TABLE IF NOT EXISTS {database}.labeling_tasks
(
    tenant_id LowCardinality(String) COMMENT 'Tenant concerned.',
    task_id UUID COMMENT 'Derived from what it is about.',
    seq Int32 COMMENT 'Version of the task; 1, 2, ... The newest holds.',
    state LowCardinality(String) COMMENT 'open, assigned, labelled or skipped.',
    reason LowCardinality(String) COMMENT 'Why it was asked for, such as implausible.',
    event_id String COMMENT 'The event that was read.',
    source_type LowCardinality(String) COMMENT 'meter_reading or vehicle_entry.',
    asset_id String COMMENT 'Meter or gate.',
    source_id String COMMENT 'Id of the reading where it was made.',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When the image was taken.',
    image_uri String COMMENT 'Where the image is.',
    text String COMMENT 'What was read, redacted as in events_ocr.',
    updated_at DateTime64(3, 'UTC') COMMENT 'Time of this version.',
    by LowCardinality(String) COMMENT 'Who caused this version: system or a user name.',
    note Nullable(String) COMMENT 'What else is to be said of it.',
    source_partition Int32 COMMENT 'Partition of ocr.labeling-tasks.',
    source_offset Int64 COMMENT 'Offset in ocr.labeling-tasks.',
    record_time DateTime64(3, 'UTC') COMMENT 'When this version was published: its Kafka timestamp.',
    CONSTRAINT tenant CHECK match(tenant_id, '^[a-z0-9_][a-z0-9_-]*$')
)
ENGINE = ReplacingMergeTree(seq)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, occurred_at, task_id)
TTL toDateTime(occurred_at) + INTERVAL 2 YEAR
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Readings that people are asked to look at, each task as it stands.';

CREATE OR REPLACE VIEW {database}.v_events_ocr AS
SELECT * FROM {database}.events_ocr FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_ocr_captures AS
SELECT * FROM {database}.ocr_captures FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_outcomes_ocr AS
SELECT * FROM {database}.outcomes_ocr FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_labeling_tasks AS
SELECT * FROM {database}.labeling_tasks FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
