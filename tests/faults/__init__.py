"""Fault tests: real processes are killed under load, and every value that came out is compared."""
