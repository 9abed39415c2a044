"""The receipt of a decision: what was seen, what it counted for, who scored, and whether it can be scored again."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.counterfactual import MISSING, SUBJECT, TENANT, counterfactual
from models.decisions import CLEAR, DECISIONS, RISKS, RISKY, Cuts
from models.fraud.artifact import CALIBRATION, unpack_calibration
from models.registry import EVERYONE, ArtifactRefused, KeyFileError, NoSuchVersion, Place, Registry, StorageError
from models.registry.activation import SLOT, value_of
from models.registry.place import moment_of
from sinks import receipts
from sinks.store import Store
from streams.scoring import SETS
from streams.serving import Serving
from watchfloor.explained import EXPLAINED, LOG_ODDS, Explained
from watchfloor.registry import READERS, open_registry
from watchfloor.settings import Settings

Record = Mapping[str, Any]

SCORE = ("probability", "interval_low", "interval_high", "interval_width", "calibration_score", *SETS)
"""What a replay must give again, to the last bit."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A prediction scored again from the features that were logged.

    Attributes:
        serving: what scored; None where that cannot be done, and `why`.
        differing: what was logged and what came, by field; empty when all is the same.
    """

    serving: Serving | None
    why: str | None = None
    differing: Mapping[str, tuple[Any, Any]] | None = None

    @property
    def about(self) -> dict[str, Any]:
        state = "not possible" if self.serving is None else "differs" if self.differing else "same"
        differing = {name: {"logged": was, "now": now} for name, (was, now) in (self.differing or {}).items()}
        return {"state": state, "why": self.why, "differing": differing}


def receipt(settings: Settings, store: Store, prediction: Record) -> dict[str, Any]:
    """Everything about a prediction, as values of JSON; of models that are not EXPLAINED only what was stored.

    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    row = dict(prediction)
    out: dict[str, Any] = {"prediction": row, "label": receipts.label(store, row)}
    about = EXPLAINED.get(prediction["model"])
    if about is None:
        return out
    found = replay(settings, about, prediction)
    out |= {
        "event": receipts.event(store, row, about.events, about.subject),
        "features": _features(about, prediction),
        "cuts": _cuts(about, prediction),
        "contributions": _contributions(about, prediction, found.serving),
        "activated": _activated(store, about, row, found.serving),
        "replay": found.about,
        "counterfactual": _counterfactual(store, about, row, found.serving),
    }
    return out


def replay(settings: Settings, about: Explained, prediction: Record) -> Replayed:
    """Score the logged features of a prediction again, with the version that scored them."""
    names = about.feature_sets.get(prediction["feature_set"])
    if names is None or len(prediction["features"]) != len(names):
        return Replayed(None, f"this release does not measure the feature set {prediction['feature_set']}")
    first: Replayed | None = None
    cuts = Cuts(**_cuts(about, prediction))
    try:
        for serving in _servings(settings, about, prediction):
            if serving.model is not None and len(serving.model.features) > len(names):
                return Replayed(None, f"{prediction['feature_set']} lacks features of the model")
            said = about.answer(serving, cuts, vector_of(about, prediction)[None, :])
            pairs = {name: (_plain(prediction[name]), _plain(said.get(name))) for name in SCORE}
            found = Replayed(serving, None, {name: pair for name, pair in pairs.items() if pair[0] != pair[1]})
            if not found.differing:
                return found
            first = first or found
    except (ArtifactRefused, KeyFileError, NoSuchVersion, StorageError) as error:
        return first or Replayed(None, str(error))
    if first is not None:
        return first
    return Replayed(
        None, f"version {prediction['model_version']} is not stored any more at {settings.model_store}: it was removed"
    )


def vector_of(about: Explained, prediction: Record) -> NDArray[np.float64]:
    """The logged features as a vector of all features; NaN for what is missing."""
    out = np.full(len(about.features), np.nan)
    given = [np.nan if value is None else value for value in prediction["features"]]
    out[: len(given)] = given
    return out


def _servings(settings: Settings, about: Explained, prediction: Record) -> Iterator[Serving]:
    """What may have scored it: a prediction names the version, not whether it is the tenant's own."""
    version = prediction["model_version"]
    if version == about.scoring.version:
        yield Serving()
        return
    try:
        moment_of(version)
    except ValueError as error:
        raise ArtifactRefused(str(error)) from error
    registry: Registry = open_registry(settings)
    for tenant in (prediction["tenant_id"], EVERYONE):
        place = Place(about.model, tenant)
        try:
            artifact = registry.load(place, version)
        except NoSuchVersion:
            continue
        model: Any = READERS[about.model](artifact)
        own = prediction["calibration_version"]
        if own in ("none", version):
            yield Serving(model, version, place)
            continue
        # Calibrations that are versions of their own are of fraud alone.
        made = unpack_calibration(registry.load(Place(CALIBRATION, prediction["tenant_id"]), own))
        if made.fits(place, version):
            yield Serving(made.on(model), version, place, calibration=own)


def _features(about: Explained, prediction: Record) -> list[dict[str, Any]]:
    """Features by name, with what they mean; without, where this release does not know the feature set."""
    names = about.feature_sets.get(prediction["feature_set"], ())
    return [
        {"name": name, "value": value, "unit": each.unit, "doc": each.doc, "missing": each.missing}
        for name, value, each in zip(names, prediction["features"], about.features, strict=False)
    ]


def _cuts(about: Explained, prediction: Record) -> dict[str, float]:
    """The cuts of the risk that were in force."""
    detail, otherwise = prediction["detail"], asdict(about.scoring.cuts)
    return {name: detail.get(f"cut_{name}", default) for name, default in otherwise.items()}


def _contributions(about: Explained, prediction: Record, serving: Serving | None) -> dict[str, Any] | None:
    """What each feature adds, the most first, to the log-odds before calibration or a heuristic's probability.

    None where nobody can say.
    """
    shares: Mapping[str, float] = prediction["contributions"] or {}
    source, unit = "logged", LOG_ODDS
    if not shares:
        if serving is None:
            return None
        source, vector = "computed", vector_of(about, prediction)
        if serving.model is None:
            shares, unit = about.shares(vector.tolist()), about.unit
        else:
            row = serving.model.contributions(vector[None, :])[0].tolist()
            shares = dict(zip((*serving.model.features, "base"), row, strict=True))
    ordered = sorted(shares.items(), key=lambda each: (-abs(each[1]), each[0]))
    return {
        "source": source,
        "unit": unit,
        "base": shares.get("base"),
        "shares": {name: share for name, share in ordered if name != "base" and share != 0.0},
    }


def _activated(
    store: Store, about: Explained, prediction: dict[str, Any], serving: Serving | None
) -> dict[str, Any] | None:
    """Who let the version serve; None for the heuristic, and where the audit does not say."""
    if serving is None or serving.place is None or not SLOT.fullmatch(prediction["slot"]):
        return None
    value = json.dumps(value_of(serving.place, serving.version))
    post = replace(about.scoring.post, slot=prediction["slot"])
    found = receipts.activation(store, prediction, post.setting, value)
    return None if found is None else {name: found[name] for name in ("tenant_id", "by", "at", "reason")}


def _counterfactual(
    store: Store, about: Explained, prediction: dict[str, Any], serving: Serving | None
) -> dict[str, Any] | None:
    """The smallest change that would have cleared it; None where it was not flagged, or cannot be scored again."""
    if serving is None or not flagged(prediction):
        return None
    space, vector = about.space, vector_of(about, prediction)
    alike = None if about.alike is None else space.place[about.alike]
    of_tenant = space.usual(receipts.cleared_before(store, prediction, alike, of_subject=False), vector)
    of_subject = space.usual(receipts.cleared_before(store, prediction, alike, of_subject=True), of_tenant)
    others = {SUBJECT: of_subject, TENANT: of_tenant, MISSING: space.unmeasured(vector)}
    cuts = Cuts(**_cuts(about, prediction))
    change = counterfactual(space, vector, others, about.judge(serving, cuts, prediction))
    if change is None:
        return {"found": False}
    return {
        "found": True,
        "group": change.group,
        "source": change.source,
        "probability": change.probability,
        "risk_level": RISKS[int(cuts.risk([change.probability])[0])],
        "values": {
            name: {"was": _number(was), "would_be": _number(would)} for name, (was, would) in change.values.items()
        },
    }


def flagged(prediction: Record) -> bool:
    """Whether a prediction says that something is to be looked at."""
    return prediction["decision"] != DECISIONS[CLEAR] or prediction["risk_level"] in RISKY


def _plain(value: Any) -> Any:
    """The database stores no set as an empty one."""
    return tuple(value) or None if isinstance(value, list | tuple) else value


def _number(value: float) -> float | None:
    return None if value != value else value
