"""Which readings a weekly batch asks people to look at. Pure: the same readings and name give the same batch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from models.ocr.labeling import CONTRADICTED, DUPLICATE, RANDOM, UNCERTAIN
from models.readings import RIGHT, WRONG

QUOTAS: Mapping[str, int] = {RANDOM: 10, UNCERTAIN: 30, CONTRADICTED: 5, DUPLICATE: 5}
"""How many tasks of each reason a batch has."""

SURE = 0.2
"""The model is sure that a reading is right where it says at most this probability of being wrong."""
REACH = 10
"""Diverse ones are chosen among so many times the quota of the most uncertain."""

TEXT, NAMES = 32, 16
"""Places of an embedding that a text, and that an engine or an asset are hashed to."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A reading that may be asked for.

    Attributes:
        event_id, source_type, asset_id, source_id, occurred_at, image_uri, text, engine, engine_version, confidence:
            as in ocr.readings.
        probability: that it is wrong, as it was said when it was scored; 0 to 1.
        verdict: what a person says of it: wrong, right or unsure; None where nobody does.
        asked, again: whether there is or was a task for a first look at it, and for a second one.
        pending: whether one of these is not done.
    """

    event_id: str
    source_type: str
    asset_id: str
    source_id: str
    occurred_at: int
    image_uri: str
    text: str
    engine: str
    engine_version: str
    confidence: float
    probability: float
    verdict: str | None = None
    asked: bool = False
    again: bool = False
    pending: bool = False

    @property
    def fresh(self) -> bool:
        """Whether nobody judged it or was asked to."""
        return self.verdict is None and not self.asked and not self.again

    @property
    def judged(self) -> bool:
        """Whether somebody said if it is right, and nobody was or is to say it again."""
        return self.verdict in (RIGHT, WRONG) and not self.again and not self.pending


@dataclass(frozen=True, slots=True)
class Pick:
    """A reading that is asked for, and why. `propensity`: of a random one, with which probability it was drawn."""

    reading: Candidate
    reason: str
    propensity: float | None = None


def select(readings: Iterable[Candidate], seed: str, quotas: Mapping[str, int] = QUOTAS) -> list[Pick]:
    """The picks of a batch; fewer than its quotas where there are not enough readings.

    - random: of the readings that nobody judged or was asked about, drawn before the uncertain ones are taken, so each
      has the same propensity. Drawn are those with the lowest hashes of seed and id (bottom-k sampling, Cohen and
      Kaplan, Summarizing data using bottom-k sketches, 2007): another reading more or less changes one pick at most.
    - uncertain: of the others of these, REACH times as many of the highest `uncertainty`; of them those that greedy
      k-centre takes (`spread`).
    - contradicted: the model was SURE that they are right, and a person said that they are wrong; the surest first.
    - duplicate: of the other judged readings, drawn as the random ones.

    Args:
        readings: each once, in any order.
        seed: a name of the batch.
        quotas: by reason.
    """
    every = list(readings)
    lot = {one.event_id: blake2b(f"{seed}|{one.event_id}".encode(), digest_size=8).digest() for one in every}
    fresh = sorted((one for one in every if one.fresh), key=lambda one: lot[one.event_id])
    drawn, rest = fresh[: quotas[RANDOM]], fresh[quotas[RANDOM] :]
    # Readings of one uncertainty are taken by lot, not by name.
    unsure = sorted(rest, key=lambda one: -uncertainty(one.probability))[: REACH * quotas[UNCERTAIN]]
    chosen = spread(np.array([embedding(one) for one in unsure]), quotas[UNCERTAIN])
    judged = sorted((one for one in every if one.judged), key=lambda one: lot[one.event_id])
    surprising = [one for one in judged if one.verdict == WRONG and one.probability <= SURE]
    contradicted = sorted(surprising, key=lambda one: one.probability)[: quotas[CONTRADICTED]]
    taken = {one.event_id for one in contradicted}
    again = [one for one in judged if one.event_id not in taken][: quotas[DUPLICATE]]
    return [
        *(Pick(one, RANDOM, len(drawn) / len(fresh)) for one in drawn),
        *(Pick(unsure[place], UNCERTAIN) for place in chosen),
        *(Pick(one, CONTRADICTED) for one in contradicted),
        *(Pick(one, DUPLICATE) for one in again),
    ]


def uncertainty(probability: float) -> float:
    """1 - |2 p - 1|: 1 where wrong and right are as likely, 0 where the model is sure of either.

    Of two classes least confidence, margin and entropy rank alike (Settles, Active learning literature survey, 2009,
    section 3.1).
    """
    return 1.0 - abs(2.0 * probability - 1.0)


def spread(points: Floats, count: int) -> list[int]:
    """Places of at most `count` points (rows, dimensions) that lie far apart: the first one, then always the one that
    is farthest from all that are taken; of equally far ones the first.

    Greedy k-centre: no point is more than twice as far from the nearest taken one as in the best choice (Gonzalez,
    Clustering to minimize the maximum intercluster distance, 1985). As a batch for labeling: Sener and Savarese, Active
    learning for convolutional neural networks: a core-set approach, 2018.
    """
    taken: list[int] = []
    away = np.full(len(points), np.inf)
    while len(taken) < min(count, len(points)):
        taken.append(int(np.argmax(away)))
        away = np.minimum(away, np.square(points - points[taken[-1]]).sum(axis=1))
        away[taken] = -1.0
    return taken


def embedding(reading: Candidate) -> Floats:
    """A reading as a point, (TEXT + 2 NAMES + 1,): shape of its text, engine, asset, confidence.

    Pairs of neighbouring characters of the redacted text are hashed to TEXT places with a sign, and the whole has
    length 1 (feature hashing: Weinberger and others, Feature hashing for large scale multitask learning, 2009); so are
    the names of engine and asset to NAMES places each. Texts, engines and assets that differ in all are sqrt(2) apart,
    readings whose confidences are 0 and 1 are 1 apart.
    """
    text = f"^{reading.text}$"
    pairs = [text[place : place + 2] for place in range(len(text) - 1)]
    return np.concatenate(
        [
            _hashed(pairs, TEXT),
            _hashed([f"{reading.engine}|{reading.engine_version}"], NAMES),
            _hashed([f"{reading.source_type}|{reading.asset_id}"], NAMES),
            [reading.confidence],
        ]
    )


def _hashed(tokens: Iterable[str], places: int) -> Floats:
    point = np.zeros(places)
    for token in tokens:
        number = _number(token)
        point[number % places] += 1.0 if number & 1 << 62 else -1.0
    length = float(np.sqrt(np.square(point).sum()))
    return point / length if length else point


@lru_cache(4096)
def _number(token: str) -> int:
    return int.from_bytes(blake2b(token.encode(), digest_size=8).digest(), "big")
