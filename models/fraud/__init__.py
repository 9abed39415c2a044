"""Attendance fraud: from check-ins and check-outs to feature vectors and their scores. See docs/fraud.md."""
