-- What people do with alerts and what belongs together: the newer columns of alerts, incidents, verdicts.
ALTER TABLE {database}.alerts
    ADD COLUMN IF NOT EXISTS note Nullable(String) COMMENT 'What the person said who caused this version; NULL without a word.' AFTER runbook,
    ADD COLUMN IF NOT EXISTS assignee Nullable(String) COMMENT 'Who looks after it; NULL for nobody.' AFTER note,
    ADD COLUMN IF NOT EXISTS escalation Int32 COMMENT 'How often it was escalated because nobody took it.' AFTER assignee,
    ADD COLUMN IF NOT EXISTS snoozed_until Nullable(DateTime64(3, 'UTC')) COMMENT 'No notification of this alert before then; NULL when it is not snoozed.' AFTER escalation,
    ADD COLUMN IF NOT EXISTS muted Nullable(String) COMMENT 'Why nobody is notified of this version; NULL where somebody is.' AFTER snoozed_until,
    ADD COLUMN IF NOT EXISTS flapping Bool COMMENT 'Whether it came and went so often that it is held open.' AFTER muted,
    ADD COLUMN IF NOT EXISTS links Array(LowCardinality(String)) COMMENT 'What it shares with related alerts, such as host:web-1.' AFTER flapping,
    ADD COLUMN IF NOT EXISTS incident_id Nullable(UUID) COMMENT 'The incident that it belongs to; NULL for none.' AFTER links,
    ADD COLUMN IF NOT EXISTS verdict Nullable(String) COMMENT 'true_positive or false_positive, as a person judged; NULL until then.' AFTER incident_id,
    ADD COLUMN IF NOT EXISTS verdict_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the verdict was given; NULL until then.' AFTER verdict,
    ADD COLUMN IF NOT EXISTS label_version Int32 COMMENT 'How many verdicts have held so far.' AFTER verdict_at;

ALTER TABLE {database}.alert_events
    ADD COLUMN IF NOT EXISTS note Nullable(String) COMMENT 'What the person said who caused this version; NULL without a word.' AFTER runbook,
    ADD COLUMN IF NOT EXISTS assignee Nullable(String) COMMENT 'Who looks after it; NULL for nobody.' AFTER note,
    ADD COLUMN IF NOT EXISTS escalation Int32 COMMENT 'How often it was escalated because nobody took it.' AFTER assignee,
    ADD COLUMN IF NOT EXISTS snoozed_until Nullable(DateTime64(3, 'UTC')) COMMENT 'No notification of this alert before then; NULL when it is not snoozed.' AFTER escalation,
    ADD COLUMN IF NOT EXISTS muted Nullable(String) COMMENT 'Why nobody is notified of this version; NULL where somebody is.' AFTER snoozed_until,
    ADD COLUMN IF NOT EXISTS flapping Bool COMMENT 'Whether it came and went so often that it is held open.' AFTER muted,
    ADD COLUMN IF NOT EXISTS links Array(LowCardinality(String)) COMMENT 'What it shares with related alerts, such as host:web-1.' AFTER flapping,
    ADD COLUMN IF NOT EXISTS incident_id Nullable(UUID) COMMENT 'The incident that it belongs to; NULL for none.' AFTER links,
    ADD COLUMN IF NOT EXISTS verdict Nullable(String) COMMENT 'true_positive or false_positive, as a person judged; NULL until then.' AFTER incident_id,
    ADD COLUMN IF NOT EXISTS verdict_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the verdict was given; NULL until then.' AFTER verdict,
    ADD COLUMN IF NOT EXISTS label_version Int32 COMMENT 'How many verdicts have held so far.' AFTER verdict_at;

CREATE TABLE IF NOT EXISTS {database}.incidents
(
    tenant_id LowCardinality(String) COMMENT 'Tenant concerned.',
    incident_id UUID COMMENT 'Its alerts carry it.',
    seq Int32 COMMENT 'Version of the incident; 1, 2, ... The newest holds.',
    state LowCardinality(String) COMMENT 'candidate, confirmed or closed.',
    severity LowCardinality(String) COMMENT 'The worst of its alerts: INFO, WARNING, HIGH or CRITICAL.',
    link LowCardinality(String) COMMENT 'What its alerts share, such as host:web-1.',
    links Array(LowCardinality(String)) COMMENT 'What its alerts are about besides link, after a merge.',
    opened_at DateTime64(3, 'UTC') COMMENT 'Event time of the alert that it began with.',
    updated_at DateTime64(3, 'UTC') COMMENT 'Event time of this version.',
    closed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was closed; NULL until then.',
    alerts Int32 COMMENT 'Its alerts so far; 1 to 50.',
    active Int32 COMMENT 'Those that are not resolved.',
    alert_id UUID COMMENT 'The worst of its alerts: what to look at first.',
    summary String COMMENT 'What this alert says.',
    by LowCardinality(String) COMMENT 'Who caused this version: system or a user name.',
    reason LowCardinality(String) COMMENT 'Why there is this version: opened, joined, confirmed, merged, ...',
    note Nullable(String) COMMENT 'What the person said who caused this version; NULL without a word.',
    related_incident_id Nullable(UUID) COMMENT 'The other incident of a merge or a split.',
    source_partition Int32 COMMENT 'Partition of the incident topic.',
    source_offset Int64 COMMENT 'Offset in the incident topic.',
    record_time DateTime64(3, 'UTC') COMMENT 'When this version was published: its Kafka timestamp.',
    CONSTRAINT tenant CHECK match(tenant_id, '^[a-z0-9_][a-z0-9_-]*$')
)
ENGINE = ReplacingMergeTree(seq)
PARTITION BY toYYYYMM(opened_at)
ORDER BY (tenant_id, opened_at, incident_id)
TTL toDateTime(opened_at) + INTERVAL 5 YEAR
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Each incident as it stands.';

CREATE TABLE IF NOT EXISTS {database}.incident_events AS {database}.incidents
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(opened_at)
ORDER BY (tenant_id, opened_at, incident_id, seq)
TTL toDateTime(opened_at) + INTERVAL 5 YEAR
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every version of every incident: what happened to it, when, by whom.';

CREATE TABLE IF NOT EXISTS {database}.labelled
(
    tenant_id LowCardinality(String) COMMENT 'Tenant concerned.',
    model LowCardinality(String) DEFAULT 'anomaly' COMMENT 'Model whose prediction was judged.',
    subject LowCardinality(String) COMMENT 'What the event is about: a host.',
    event_id String COMMENT 'The event that opened the alert: its prediction is what is labelled.',
    event_time DateTime64(3, 'UTC') COMMENT 'When this event happened.',
    alert_id UUID COMMENT 'The alert that was judged.',
    label_version Int32 COMMENT 'Version of the verdict; 1, 2, ... The newest holds.',
    verdict LowCardinality(String) COMMENT 'true_positive or false_positive.',
    by LowCardinality(String) COMMENT 'Who judged.',
    decided_at DateTime64(3, 'UTC') COMMENT 'When it was judged.',
    kind LowCardinality(String) COMMENT 'Kind of the alert, which names the detector.',
    metric LowCardinality(String) COMMENT 'Metric concerned.',
    direction LowCardinality(String) COMMENT 'up, down or none.',
    severity LowCardinality(String) COMMENT 'INFO, WARNING, HIGH or CRITICAL.',
    score Float64 COMMENT 'Highest score of the alert; 0 to 1.',
    source_partition Int32 COMMENT 'Partition of the topic of labels.',
    source_offset Int64 COMMENT 'Offset in the topic of labels.',
    record_time DateTime64(3, 'UTC') COMMENT 'When the verdict was published: its Kafka timestamp.',
    CONSTRAINT tenant CHECK match(tenant_id, '^[a-z0-9_][a-z0-9_-]*$')
)
ENGINE = ReplacingMergeTree(label_version)
PARTITION BY toYYYYMM(event_time)
ORDER BY (tenant_id, model, event_time, alert_id)
TTL toDateTime(event_time) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What people said of predictions: the newest verdict on each alert.';

-- A view has the columns that its table had when the view was made.
CREATE OR REPLACE VIEW {database}.v_alerts AS
SELECT * FROM {database}.alerts FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_alert_events AS
SELECT * FROM {database}.alert_events FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_incidents AS
SELECT * FROM {database}.incidents FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_incident_events AS
SELECT * FROM {database}.incident_events FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_labelled AS
SELECT * FROM {database}.labelled FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
