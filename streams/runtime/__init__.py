"""The frame engine: one Kafka transaction carries a frame's outputs, its state changes and its input position.

It knows nothing of any domain. An agent is a pure function over frames; the same function runs under Faust
(`streams.runtime.engine`) and offline, over any iterable of records (`streams.runtime.offline`).
"""

from streams.runtime.agent import Agent
from streams.runtime.control import Control, Spans
from streams.runtime.errors import Halt, PoisonFloodError, StateVersionError
from streams.runtime.formats import Change
from streams.runtime.frame import Event, Frame, Record
from streams.runtime.state import Live, Part, State
from streams.runtime.timers import Due

__all__ = [
    "Agent",
    "Change",
    "Control",
    "Due",
    "Event",
    "Frame",
    "Halt",
    "Live",
    "Part",
    "PoisonFloodError",
    "Record",
    "Spans",
    "State",
    "StateVersionError",
]
