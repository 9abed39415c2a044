"""Telling people of alerts: channels, routes, and one at-least-once consumer of the alerts topic per channel."""
