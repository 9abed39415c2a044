"""The fraud path on quixstreams, exactly once: the product's own features, model, answers and encoding, event by event.

What differs is what carries it: how records come in, how a person's state is kept and made safe, and how predictions
go out together with it. State is text, because quixstreams keeps it as JSON.
"""

import json
import os
from pathlib import Path

import work
from quixstreams import Application

from models.decisions import CLEAR, Policy
from models.fraud import policy, rules
from models.fraud.artifact import NAME, unpack
from models.fraud.audit import chances
from models.fraud.references import References
from models.fraud.vectors import People, measure
from models.identity import prediction_id
from models.registry import Place, Registry, Trust
from schemas import topics
from streams.attendance import SLOT, Events, predictions
from streams.fraud_scoring import Group, answers
from streams.serving import Serving

WORLD = Path(os.environ["BENCH_WORLD"])
ABOUT = json.loads((WORLD / "world.json").read_text())
SITES = References.of(*(map(json.loads, (WORLD / name).read_text().splitlines()) for name in ABOUT["references"]))
PARTS = ("heads", "days")

app = Application(
    broker_address=work.BOOTSTRAP,
    consumer_group=work.GROUP,
    processing_guarantee="exactly-once",
    auto_offset_reset="earliest",
    state_dir=work.STATE,
    commit_interval=work.COMMIT_MS / 1000,
    loglevel="WARNING",
)
source = app.topic(work.INPUT, value_deserializer="bytes", key_deserializer="bytes")
sink = app.topic(work.OUTPUT, value_serializer="bytes", key_serializer="bytes")
meter = work.Meter()


def loaded() -> dict[str, Group]:
    """What serves each tenant, and what that may do, as the defaults of the product have it."""
    registry = Registry(ABOUT["models"], Trust.read(WORLD / "trusted_keys"))
    found = {}
    for tenant in ABOUT["tenants"]:
        place = Place(NAME, tenant)
        model = unpack(registry.load(place, ABOUT["version"]))
        may = Policy(model.scorer.cuts, audit=policy.AUDITED, travel=rules.TRAVEL_KMH)
        found[tenant] = Group(Serving(model, ABOUT["version"], place), may, [0])
    return found


SERVING = loaded()
decode = topics.ATTENDANCE_ENRICHED.codec.decode


def score(raw, state):
    meter.begin()
    event = decode(raw)
    tenant = event["tenant_id"]
    key = topics.ATTENDANCE_ENRICHED.key_of(event)
    people = People()
    before = {}
    for name in PARTS:
        before[name] = stored = state.get(name)
        if stored is not None:
            getattr(people, name)[key] = stored.encode("latin-1")
    events = Events({name: [value] for name, value in event.items()})
    table, nowhere = measure([key], events.columns, SITES, people)
    found = answers([SERVING[tenant]], table)
    ids = [prediction_id(tenant, NAME, SLOT, event["event_id"])]
    if found.decision[0] == CLEAR and chances(ids)[0] < found.audit[0]:
        found.draw([0])
    (made,) = predictions(events, ids, table, nowhere, found, ABOUT["control_offset"])
    for name in PARTS:
        after = getattr(people, name)[key]
        if after is not None and (text := after.decode("latin-1")) != before[name]:
            state.set(name, text)
    meter.add()
    return made


app.dataframe(source).apply(score, stateful=True).to_topic(sink)
app.run()
