"""Sync conflicts: from syncs to feature vectors and their scores. See docs/conflict.md."""
