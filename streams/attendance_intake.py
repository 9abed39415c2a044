"""The first agent of attendance: events in; good ones, each once, on their way to their devices, out.

What is wrong with an event is said here, at its source. See docs/fraud.md.
"""

from operator import itemgetter
from typing import Any

from models.attendance import event_fault
from models.control import DEFAULTS, STATE_LEVEL
from schemas import topics
from streams.repeats import HASH, REMEMBERED_MS, REPEATS, hashed
from streams.runtime import Agent, Due, Frame

_content = itemgetter(
    "site_id",
    "kind",
    "occurred_at",
    "latitude",
    "longitude",
    "gps_accuracy_m",
    "fix_age_s",
    "mock_location",
    "scheduled_start",
    "face_confidence",
    "face_matched",
    "device_id",
    "allowed_sites",
)


def process(frame: Frame) -> None:
    good: list[dict[str, Any]] = []
    repeats, timers = frame.state.values(REPEATS), frame.timers
    for moment in frame.timeline():
        if isinstance(moment, Due):
            continue  # an id is forgotten
        _, record, event, clock = moment
        wrong = event_fault(event)
        if wrong is not None:
            frame.reject(record, "InvalidEvent", wrong)
            continue
        key = topics.EVENTS_ATTENDANCE.key_of(event)
        name, content = hashed(event["event_id"], HASH), hashed(repr(_content(event)), HASH)
        # A remembered id is a timer, whose payload tells a repeat from an event that took somebody's name.
        held = timers.get(key, name)
        if held is None:
            timers.set(key, name, clock + REMEMBERED_MS, content)
            device = event["device_id"]
            event["carrier"] = event["person_id"] if device is None else device
            event["published_at"] = record.timestamp
            good.append(event)
        elif held[1] == content:
            repeats[key] = (repeats[key] or 0) + 1
        else:
            frame.reject(record, "ConflictingEvent", f"event_id {event['event_id']!r} came before with other content")
    frame.send(topics.ATTENDANCE_BY_DEVICE, good)


ATTENDANCE_INTAKE = Agent(
    name="attendance-intake",
    inputs=(topics.EVENTS_ATTENDANCE,),
    outputs=(topics.ATTENDANCE_BY_DEVICE,),
    process=process,
    timers=True,
    settings=DEFAULTS,
    level=STATE_LEVEL,
)
