"""The receipt of a decision: what was seen, what it counted for, who scored, and whether it can be scored again."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.decisions import CLEAR, DECISIONS, HEURISTIC_CUTS, RISKS, Cuts, Policy
from models.fraud import heuristic, rules
from models.fraud.artifact import CALIBRATION, NAME, FraudModel, unpack, unpack_calibration
from models.fraud.counterfactual import MISSING, PERSON, TENANT, counterfactual, judge, usual
from models.fraud.features import FEATURE_SETS, FEATURES, FEATURES_V2, PLACE
from models.registry import EVERYONE, ArtifactRefused, KeyFileError, NoSuchVersion, Place, Registry, StorageError
from models.registry.activation import value_of
from models.registry.place import moment_of
from sinks import receipts
from sinks.store import Store
from streams.fraud_scoring import POST, SETS, answers
from streams.serving import Serving
from watchfloor.registry import open_registry
from watchfloor.settings import Settings

Record = Mapping[str, Any]

SCORE = ("probability", "interval_low", "interval_high", "interval_width", "calibration_score", *SETS)
"""What a replay must give again, to the last bit."""

KIND = PLACE["is_check_out"]


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
    """Everything about a prediction, as values of JSON; of models other than fraud only what was stored.

    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    row = dict(prediction)
    out: dict[str, Any] = {"prediction": row, "label": receipts.label(store, row)}
    if prediction["model"] != NAME:
        return out
    found = replay(settings, prediction)
    out |= {
        "event": receipts.event(store, row),
        "features": _features(prediction),
        "cuts": _cuts(prediction),
        "contributions": _contributions(prediction, found.serving),
        "activated": _activated(store, row, found.serving),
        "replay": found.about,
        "counterfactual": _counterfactual(store, row, found.serving),
    }
    return out


def replay(settings: Settings, prediction: Record) -> Replayed:
    """Score the logged features of a prediction of fraud again, with the version that scored them."""
    names = FEATURE_SETS.get(prediction["feature_set"])
    if names is None or len(prediction["features"]) != len(names):
        return Replayed(None, f"this release does not measure the feature set {prediction['feature_set']}")
    first: Replayed | None = None
    policy = Policy(Cuts(**_cuts(prediction)))
    try:
        for serving in _servings(settings, prediction):
            if serving.model is not None and len(serving.model.features) > len(names):
                return Replayed(None, f"{prediction['feature_set']} lacks features of the model")
            said = answers(serving, policy, vector_of(prediction)[None, :]).said(0)
            pairs = {name: (_plain(prediction[name]), _plain(said.fields.get(name))) for name in SCORE}
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


def vector_of(prediction: Record) -> NDArray[np.float64]:
    """The logged features as a vector of all features; NaN for what is missing."""
    out = np.full(len(FEATURES_V2), np.nan)
    given = [np.nan if value is None else value for value in prediction["features"]]
    out[: len(given)] = given
    return out


def _servings(settings: Settings, prediction: Record) -> Iterator[Serving]:
    """What may have scored it: a prediction names the version, not whether it is the tenant's own."""
    version = prediction["model_version"]
    if version == heuristic.VERSION:
        yield Serving()
        return
    try:
        moment_of(version)
    except ValueError as error:
        raise ArtifactRefused(str(error)) from error
    registry: Registry = open_registry(settings)
    for tenant in (prediction["tenant_id"], EVERYONE):
        place = Place(NAME, tenant)
        try:
            artifact = registry.load(place, version)
        except NoSuchVersion:
            continue
        model, own = unpack(artifact), prediction["calibration_version"]
        if own in ("none", version):
            yield Serving(model, version, place)
            continue
        made = unpack_calibration(registry.load(Place(CALIBRATION, prediction["tenant_id"]), own))
        if made.fits(place, version):
            yield Serving(made.on(model), version, place, calibration=own)


def _features(prediction: Record) -> list[dict[str, Any]]:
    """Features by name, with what they mean; without, where this release does not know the feature set."""
    names = FEATURE_SETS.get(prediction["feature_set"], ())
    return [
        {"name": name, "value": value, "unit": each.unit, "doc": each.doc, "missing": each.missing}
        for name, value, each in zip(names, prediction["features"], FEATURES, strict=False)
    ]


def _cuts(prediction: Record) -> dict[str, float]:
    """The cuts of the risk that were in force."""
    detail = prediction["detail"]
    return {
        name: detail.get(f"cut_{name}", default)
        for name, default in zip(
            ("medium", "high", "critical"),
            (HEURISTIC_CUTS.medium, HEURISTIC_CUTS.high, HEURISTIC_CUTS.critical),
            strict=True,
        )
    }


def _contributions(prediction: Record, serving: Serving | None) -> dict[str, Any] | None:
    """What each feature adds to the log-odds before calibration, the most first; None where nobody can say."""
    shares: Mapping[str, float] = prediction["contributions"] or {}
    source = "logged"
    if not shares:
        if serving is None:
            return None
        source, vector = "computed", vector_of(prediction)
        if serving.model is None:
            shares = heuristic.contributions(vector.tolist())
        else:
            model: FraudModel = serving.model
            row = model.contributions(vector[None, :])[0].tolist()
            shares = dict(zip((*model.features, "base"), row, strict=True))
    ordered = sorted(shares.items(), key=lambda each: (-abs(each[1]), each[0]))
    return {
        "source": source,
        "base": shares.get("base"),
        "log_odds": {name: share for name, share in ordered if name != "base" and share != 0.0},
    }


def _activated(store: Store, prediction: dict[str, Any], serving: Serving | None) -> dict[str, Any] | None:
    """Who let the version serve; None for the heuristic, and where the audit does not say."""
    if serving is None or serving.place is None:
        return None
    value = json.dumps(value_of(serving.place, serving.version))
    found = receipts.activation(store, prediction, POST.setting, value)
    return None if found is None else {name: found[name] for name in ("tenant_id", "by", "at", "reason")}


def _counterfactual(store: Store, prediction: dict[str, Any], serving: Serving | None) -> dict[str, Any] | None:
    """The smallest change that would have cleared it; None where it was cleared, or cannot be scored again."""
    if serving is None or prediction["decision"] == DECISIONS[CLEAR]:
        return None
    of_tenant = usual(receipts.cleared_before(store, prediction, KIND, of_person=False))
    of_person = usual(receipts.cleared_before(store, prediction, KIND, of_person=True), otherwise=of_tenant)
    others = {PERSON: of_person, TENANT: of_tenant, MISSING: np.full(len(of_tenant), np.nan)}
    cuts = Cuts(**_cuts(prediction))
    # Told of those alone whose travel was impossible: less of a change makes it possible.
    travel = prediction["detail"].get(rules.LIMIT, np.inf)
    change = counterfactual(vector_of(prediction), others, judge(serving.model, cuts, travel))
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


def _plain(value: Any) -> Any:
    """The database stores no set as an empty one."""
    return tuple(value) or None if isinstance(value, list | tuple) else value


def _number(value: float) -> float | None:
    return None if value != value else value
