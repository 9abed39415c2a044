-- Every version of every capture: ocr_captures keeps the newest alone, and a data set of an earlier time needs the older.
CREATE TABLE IF NOT EXISTS {database}.ocr_capture_events AS {database}.ocr_captures
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, occurred_at, capture_id, version, source_partition, source_offset)
TTL toDateTime(occurred_at) + INTERVAL 2 YEAR
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every version of every capture: as it was read, and what people said that it shows.';

CREATE OR REPLACE VIEW {database}.v_ocr_capture_events AS
SELECT * FROM {database}.ocr_capture_events FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- What these columns hold, and in which unit.
ALTER TABLE {database}.events_ocr COMMENT COLUMN value 'The number that the text means; in the unit of the column unit.';

ALTER TABLE {database}.predictions COMMENT COLUMN calibration_score 'Calibration cases that stand behind the probability; count, 0 or more.';

ALTER TABLE {database}.predictions COMMENT COLUMN detail 'Further figures by name: scores of detectors by metric/detector and cuts of the risk, 0 to 1, and what a decision went by.';
