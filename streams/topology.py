"""Every agent of the pipeline, in the order of the data's way."""

from streams.alerts import ALERTS
from streams.control import CONTROL
from streams.metrics import METRICS
from streams.runtime import Agent

AGENTS: tuple[Agent, ...] = (METRICS, ALERTS, CONTROL)
