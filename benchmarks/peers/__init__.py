"""The contenders: the same work on other engines, each run by its own interpreter."""
