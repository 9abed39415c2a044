"""A user's day: what was opened and changed, when the client could ask to sync, and which version it had."""

from bisect import bisect_right
from dataclasses import dataclass
from random import Random

from producers.simulator.sync.places import Field, Kind, Open, User

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
SHIFT_MS = 9 * HOUR_MS
LOOKS = 0.12
"""Of all visits to an entity, those that change nothing: the client only fetches."""
FORGOTTEN = 0.06
"""Of all visits, those in which the user went away and saved long after."""
REFRESH_MS = 100 * MINUTE_MS
"""A client with a network fetches what its user may need about so often, and says nothing of it."""
FLAKY = 0.05
"""Of all syncs, those whose merge comes minutes later, after tries that failed."""

Changes = dict[Field, int]
"""New values by field; they are only compared."""


@dataclass(slots=True)
class Ask:
    """A client asks to sync an entity.

    Attributes:
        at, merged_at: when it asks, and when the server merges; epoch milliseconds.
        base: when the client had the server's version that the changes were made on.
    """

    user: User | None
    kind: Kind
    entity_id: str
    changes: Changes
    base: int
    at: int
    merged_at: int


def day_of(
    user: User, member: int, work: dict[Kind, list[Open]], midnight: int, fetched: dict[str, int], r: Random
) -> list[Ask]:
    """What a user's client asks on a day.

    Args:
        member: place of the user among the team.
        work: what the team works on.
        midnight: begin of the day, epoch milliseconds.
        fetched: when the client last had the server's version of each entity; changed in place.
    """
    begin = midnight + round(user.begins * HOUR_MS)
    network = _network(user, begin, r)
    refreshed = _refreshed(network, begin, r)
    kinds = list(work)
    shares = [kind.share for kind in kinds]
    own = {kind: [each for each in work[kind] if each.owner == member] for kind in kinds}
    waiting: dict[str, Ask] = {}
    asks = []
    for opened in sorted(_moments(user, begin, r)):
        for done in [each for each in waiting.values() if each.at <= opened]:
            del waiting[done.entity_id]
        kind = r.choices(kinds, shares)[0]
        many = work[kind] if r.random() < user.shares or not own[kind] else own[kind]
        entity = many[int(len(many) * r.random() ** 2)]
        name = entity.entity_id
        saved = opened + round(MINUTE_MS * user.thinks * r.lognormvariate(0, 0.8))
        if r.random() < FORGOTTEN:
            saved += round(HOUR_MS * r.uniform(0.5, 4))
        changes = {} if r.random() < LOOKS else _changes(kind, r)
        if name in waiting:  # without a network since then: the client sends both at once
            waiting[name].changes |= changes
            continue
        if _online(network, opened):
            base = opened
        else:
            last = bisect_right(refreshed, opened)
            base = max(fetched.get(name, 0), refreshed[last - 1] if last else begin - HOUR_MS)
        ask = saved + r.randint(200, 2500)
        if not _online(network, ask):
            ask = _next(network, ask) + r.randint(1000, 90_000)
        merged = ask + r.randint(100, 3000) + (round(MINUTE_MS * r.expovariate(0.25)) if r.random() < FLAKY else 0)
        made = Ask(user, kind, name, changes, base, ask, merged)
        asks.append(made)
        waiting[name] = made
        fetched[name] = merged
    return asks


def _changes(kind: Kind, r: Random) -> Changes:
    count = 1 + (r.random() < 0.45) + (r.random() < 0.2) + (r.random() < 0.1)
    found = r.choices(kind.fields, kind.weights, k=count)
    return {field: r.randrange(field.values or 1 << 30) for field in found}


def _moments(user: User, begin: int, r: Random) -> list[int]:
    """When entities are opened: over the day, and more at its begin and end, when work is handed over."""
    count = int(r.gauss(user.edits, user.edits**0.5) + 0.5)
    spread = (lambda: r.random(), lambda: r.triangular(0, 0.2, 0.03), lambda: r.triangular(0.8, 1, 0.95))
    return [begin + round(SHIFT_MS * r.choices(spread, (0.6, 0.2, 0.2))[0]()) for _ in range(max(0, count))]


def _network(user: User, begin: int, r: Random) -> list[int]:
    """Moments at which the network goes and comes, in turn; it is there at the begin, and for good at the end."""
    if not user.offline_min:
        return []
    changes: list[int] = []
    at, end = float(begin), begin + SHIFT_MS + 3 * HOUR_MS
    while True:
        at += MINUTE_MS * r.expovariate(1 / user.online_min)
        if at >= end:
            return changes
        changes.append(round(at))
        at += MINUTE_MS * r.expovariate(1 / user.offline_min)
        changes.append(round(at))


def _online(network: list[int], at: int) -> bool:
    return bisect_right(network, at) % 2 == 0


def _next(network: list[int], at: int) -> int:
    """When the network comes back, for a moment without one."""
    return network[bisect_right(network, at)]


def _refreshed(network: list[int], begin: int, r: Random) -> list[int]:
    at, found = begin, []
    while at < begin + SHIFT_MS:
        if _online(network, at):
            found.append(at)
        at += round(REFRESH_MS * r.uniform(0.5, 1.5))
    return found
