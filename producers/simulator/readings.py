"""What devices report: the one way from what happened to an event, for honest people and cheats alike."""

from functools import lru_cache
from math import exp
from random import Random
from typing import Any

from models.identity import derived_id
from producers.simulator.chance import logistic, stream
from producers.simulator.honest import Face, Punch
from producers.simulator.people import Person
from producers.simulator.places import Point, between, daylight, nearby
from producers.simulator.tenants import Tenant

NO_FIX, CELL_FIX, OLD_FIX, REFLECTED = 0.02, 0.012, 0.02, 0.04
NO_FACE, MASKED = 0.012, 0.012
DARK_LOGITS = 2.6
"""What darkness takes from the confidence of the face camera, at a site without lamps."""


def event(tenant: Tenant, punch: Punch, noise: float) -> dict[str, Any]:
    """The event of events.attendance that the punch leads to."""
    r = stream(tenant.seed, tenant.tenant_id, punch.person.person_id, punch.at, punch.kind)
    confidence = face_confidence(tenant, punch, noise, r)
    point, accuracy, age = fix(punch, noise, r)
    mock = None
    if punch.device.tells_mock and point is not None:
        mock = punch.device.has_mock or (punch.spoof is not None and not punch.spoof.hidden)
    allowed = [site.site_id for site in punch.person.allowed] if tenant.sends_rosters else None
    return {
        "tenant_id": tenant.tenant_id,
        "event_id": derived_id(
            str(tenant.seed), tenant.tenant_id, punch.person.person_id, punch.site.site_id, punch.kind, str(punch.at)
        ),
        "person_id": punch.person.person_id,
        "site_id": punch.site.site_id,
        "kind": punch.kind,
        "occurred_at": punch.at,
        "latitude": None if point is None else round(point[0], 6),
        "longitude": None if point is None else round(point[1], 6),
        "gps_accuracy_m": None if accuracy is None else round(accuracy, 1),
        "fix_age_s": None if age is None else round(age, 1),
        "mock_location": mock,
        "scheduled_start": punch.scheduled_start,
        "face_confidence": None if confidence is None else round(confidence, 3),
        "face_matched": None if confidence is None else confidence >= tenant.face_threshold,
        "device_id": punch.device.device_id,
        "allowed_sites": allowed,
    }


def fix(punch: Punch, noise: float, r: Random) -> tuple[Point | None, float | None, float | None]:
    """Location, its accuracy in metres and its age in seconds; all None without a fix."""
    luck = r.random() / noise if noise else 1.0
    good = r.lognormvariate(2.1, 0.45) * punch.device.error * punch.site.canyon
    age = r.expovariate(1 / 4)
    if punch.spoof is not None:
        if punch.spoof.plain:
            return punch.spoof.point, 5.0, 0.0
        return nearby(punch.spoof.point, good / 2, r), good, age
    if punch.terminal:
        return nearby(punch.place, 3, r), good / 2, age
    if (luck := luck - NO_FIX) < 0:
        return None, None, None
    if (luck := luck - CELL_FIX) < 0:
        error = r.lognormvariate(6.4, 0.7)
        return nearby(punch.place, error / 1.4, r), error * r.uniform(0.8, 1.5), age
    if (luck := luck - OLD_FIX) < 0:
        # Taken on the way here: the older, the farther back.
        age = r.lognormvariate(6.3, 0.8)
        return nearby(between(punch.place, punch.before, 1 - exp(-age / 2400)), good / 2, r), good, age
    if luck < REFLECTED:
        # Off walls: farther away than the receiver believes.
        return nearby(punch.place, good * r.lognormvariate(1.5, 0.6), r), good * 2, age
    return nearby(punch.place, good / 2, r), good, age


def face_confidence(tenant: Tenant, punch: Punch, noise: float, r: Random) -> float | None:
    """Similarity to the enrolled face, 0 to 1; None without a picture of any face."""
    luck, wobble = r.random() / noise if noise else 1.0, r.gauss(0, 0.6)
    if punch.face is None or luck < NO_FACE:
        return None
    clarity = similarity(punch.face, punch.person) + wobble
    if luck < NO_FACE + MASKED:
        clarity -= r.uniform(1.5, 4.5)
    if not punch.terminal and punch.face.picture is None:
        dark = 1 - max(daylight(punch.place, punch.at), punch.site.lamps)
        clarity -= DARK_LOGITS * dark * min(1.5, noise) * r.uniform(0.4, 1.2)
    return logistic(clarity)


def similarity(face: Face, owner: Person) -> float:
    """Of what the camera sees and the enrolled face, in logits."""
    if face.picture is not None:
        return -1.2 + 3.4 * face.picture
    if face.person.person_id == owner.person_id:
        return owner.clarity
    return _likeness(face.person.person_id, owner.person_id)


@lru_cache(1 << 14)
def _likeness(one: str, other: str) -> float:
    """How much two people look alike, always the same for the two; few pass for each other."""
    return stream("likeness", *sorted((one, other))).gauss(-1.4, 1.0)
