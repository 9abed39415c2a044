"""Numbered SQL files; sinks.migrate applies them."""
