"""The second agent of attendance, keyed by device: it adds who else uses the device, and sends events on by person."""

import math
import struct

from models.control import DEFAULTS, STATE_LEVEL
from models.fraud.device import UNUSED, WINDOW, mark_of, observe, pack_device, unpack_device
from schemas import topics
from streams.runtime import Agent, Due, Frame, Part

DEVICE = Part("device", version=1, pack=pack_device, unpack=unpack_device)

LATEST_DAYS = 31
"""An event comes at most so many days after it occurred: the intake takes no older ones."""

_MARK, _DAY = struct.Struct("<I"), struct.Struct("<i")


def process(frame: Frame) -> None:
    devices, timers = frame.state.values(DEVICE), frame.timers
    out = []
    for moment in frame.timeline():
        if isinstance(moment, Due):
            continue  # somebody has not been on the device for long
        event = moment.value
        key = topics.ATTENDANCE_BY_DEVICE.key_of(event)
        accounts = minutes = seconds = None
        if event["device_id"] is not None:
            # The last day of a person on the device is the payload of a timer that ends it.
            mark = mark_of(event["person_id"])
            name = _MARK.pack(mark)
            held = timers.get(key, name)
            last = None if held is None else int(_DAY.unpack(held[1])[0])
            facts, devices[key], day = observe(devices[key] or UNUSED, last, mark, event["occurred_at"])
            if day != last:
                # Where a partition catches up, others are days ahead in time: their clock must not forget him at once.
                known = max(day, moment.clock // topics.DAY_MS)
                timers.set(key, name, (known + WINDOW + LATEST_DAYS) * topics.DAY_MS, _DAY.pack(day))
            accounts, minutes, seconds = facts
        del event["carrier"]
        event["own_roster"] = event["allowed_sites"] is not None
        event["accounts_per_device_30d"] = accounts
        event["accounts_on_device_5min"] = minutes
        event["seconds_since_other_account"] = None if seconds is None or math.isnan(seconds) else seconds
        event["device_offset"] = moment.record.offset
        out.append(event)
    frame.send(topics.ATTENDANCE_ENRICHED, out)


ATTENDANCE_DEVICES = Agent(
    name="attendance-devices",
    inputs=(topics.ATTENDANCE_BY_DEVICE,),
    outputs=(topics.ATTENDANCE_ENRICHED,),
    process=process,
    max_age=None,  # the intake has judged it by the time at which it was published
    timers=True,
    settings=DEFAULTS,
    level=STATE_LEVEL,
)
