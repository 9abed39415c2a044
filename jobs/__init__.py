"""The scheduled jobs: functions that read what is there, decide, and act through the same doors as people."""
