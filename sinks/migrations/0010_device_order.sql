-- The order in which a device learned events: with it, what a device told is computed again from the archive.
ALTER TABLE {database}.events_attendance
ADD COLUMN IF NOT EXISTS device_offset Int64 DEFAULT -1
COMMENT 'Offset in attendance.by-device: the order in which its device learned events; -1 in rows of before there was this column.'
CODEC(Delta, LZ4) AFTER seconds_since_other_account;

CREATE OR REPLACE VIEW {database}.v_events_attendance AS
SELECT * FROM {database}.events_attendance FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
