"""Gradient boosted trees: XGBoost, with one thread and from its own format, which holds no code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xgboost
from scipy.special import expit

from models.classifiers import ubjson
from models.classifiers.examples import Examples, Floats
from models.classifiers.shapley import Shapley
from models.classifiers.trees import Trees, base_score
from models.registry import ArtifactRefused

FILE = "model.ubj"
MOST_BYTES = 64 << 20
"""Of a model's file; one of 200 trees of depth 5 has under half a MB."""
MOST_TREES = 5_000

OBJECTIVE = "binary:logistic"
_OF_NODES = (
    *("left_children", "right_children", "parents", "default_left"),
    *("split_indices", "split_type", "split_conditions"),
    *("base_weights", "loss_changes", "sum_hessian"),
)


@dataclass(frozen=True, slots=True)
class Boosting:
    """How trees are grown. The defaults were chosen on simulated attendance; see docs/models.md.

    Attributes:
        rounds: how many.
        depth, rate, subsample, columns, least_child: max_depth, eta, subsample, colsample_bytree, min_child_weight.
        scale_pos_weight: weight of the rare class. Other than 1 it makes scores that are no probabilities.
    """

    rounds: int = 200
    depth: int = 5
    rate: float = 0.1
    subsample: float = 0.8
    columns: float = 0.8
    least_child: float = 1.0
    scale_pos_weight: float = 1.0

    def parameters(self, seed: int) -> dict[str, Any]:
        """They in the library's words."""
        return {
            "objective": OBJECTIVE,
            "tree_method": "hist",
            "max_depth": self.depth,
            "eta": self.rate,
            "subsample": self.subsample,
            "colsample_bytree": self.columns,
            "min_child_weight": self.least_child,
            "scale_pos_weight": self.scale_pos_weight,
            # Rare labels make leaves with hardly any curvature, whose steps would be wild.
            "max_delta_step": 1,
            "seed": seed,
            "nthread": 1,
        }


class Boosted:
    """A trained booster; see `Classifier`."""

    kind: ClassVar[str] = "xgboost"

    def __init__(self, booster: xgboost.Booster, stored: Any) -> None:
        booster.set_param({"nthread": 1})
        self._booster = booster
        self._trees = Trees(booster, stored)
        self._shapley = Shapley(stored["learner"])
        self.features = int(booster.num_features())

    @classmethod
    def fit(cls, examples: Examples, settings: Boosting, seed: int) -> "Boosted":
        """Trees of all examples; the same examples, settings and seed give the same ones."""
        matrix = xgboost.DMatrix(examples.features, label=examples.labels, weight=examples.weights, nthread=1)
        booster = xgboost.train(settings.parameters(seed), matrix, settings.rounds)
        return cls(booster, ubjson.decode(bytes(booster.save_raw("ubj"))))

    @property
    def trees(self) -> int:
        return int(self._booster.num_boosted_rounds())

    def scores(self, features: Floats) -> Floats:
        if not len(features):
            return np.zeros(0)
        # Not the library's own logistic: at 32 bits it has no numbers between 0.99999994 and 1.
        out: Floats = expit(self._trees.margins(np.ascontiguousarray(features)))
        return out

    def contributions(self, features: Floats) -> Floats:
        if not len(features):
            return np.zeros((0, self.features + 1))
        return self._shapley.contributions(features)

    def importance(self) -> Floats:
        gains = self._booster.get_score(importance_type="total_gain")
        found = np.array([gains.get(f"f{number}", 0.0) for number in range(self.features)], dtype=np.float64)
        return found / (found.sum() or 1.0)

    def pack(self) -> Mapping[str, bytes]:
        return {FILE: bytes(self._booster.save_raw("ubj"))}


def unpack(raw: bytes, features: int) -> Boosted:
    """The booster of a file.

    The library trusts its files: one that is cut off, or whose nodes lead nowhere, would end the process. So all that
    it follows is looked at before.

    Raises:
        ArtifactRefused: it is far too large, or no booster of so many features.
    """
    if len(raw) > MOST_BYTES:
        raise ArtifactRefused(f"{FILE} has {len(raw):,} bytes; at most {MOST_BYTES:,} are loaded")
    try:
        stored = ubjson.decode(raw)
        wrong = fault(stored, features)
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactRefused(f"{FILE} cannot be read: {error!r}") from error
    if wrong is not None:
        raise ArtifactRefused(f"{FILE} {wrong}")
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(raw))
    except xgboost.core.XGBoostError as error:
        raise ArtifactRefused(f"{FILE} cannot be read: {str(error).splitlines()[0]}") from error
    return Boosted(booster, stored)


def fault(stored: Any, features: int) -> str | None:
    """What is wrong with a decoded file; None for trees that every row of so many features finds its way through.

    Raises KeyError, ValueError or TypeError where parts of it are missing or something else.
    """
    learner = stored["learner"]
    model = learner["gradient_booster"]["model"]
    trained_on = int(learner["learner_model_param"]["num_feature"])
    if trained_on != features:
        return f"was trained on {trained_on} features; expected {features}"
    if learner["objective"]["name"] != OBJECTIVE:
        return f"has objective {learner['objective']['name']}; expected {OBJECTIVE}"
    if learner["gradient_booster"]["name"] != "gbtree":
        return f"has a booster named {learner['gradient_booster']['name']}; expected gbtree"
    base_score(learner)  # raises for what is none
    trees = model["trees"]
    if not 0 < len(trees) <= MOST_TREES:
        return f"has {len(trees):,} trees; expected 1 to {MOST_TREES:,}"
    count = int(model["gbtree_model_param"]["num_trees"])
    if count != len(trees) or list(model["iteration_indptr"]) != list(range(count + 1)) or any(model["tree_info"]):
        return "does not have one tree per round"
    for number, tree in enumerate(trees):
        if not _whole(tree, features):
            return f"has a tree, number {number}, whose nodes do not make a tree of {features} features"
    return None


def _whole(tree: Any, features: int) -> bool:
    nodes = len(tree["left_children"])
    if int(tree["tree_param"]["num_nodes"]) != nodes or int(tree["tree_param"]["size_leaf_vector"]) > 1:
        return False
    if int(tree["tree_param"]["num_deleted"]) or int(tree["tree_param"]["num_feature"]) != features:
        return False
    found = {name: np.asarray(tree[name]) for name in _OF_NODES}
    if not nodes or any(each.shape != (nodes,) for each in found.values()) or found["split_type"].any():
        return False
    left, right, parents = found["left_children"], found["right_children"], found["parents"]
    inner = np.flatnonzero(left != -1)
    children = np.concatenate([left[inner], right[inner]]).astype(np.intp)
    # Each node but the first is the child of exactly one, so no way down from the first comes back.
    return bool(
        ((left == -1) == (right == -1)).all()
        and np.array_equal(np.sort(children), np.arange(1, nodes))
        and (parents[children] == np.tile(inner, 2)).all()
        and ((found["split_indices"][inner] >= 0) & (found["split_indices"][inner] < features)).all()
        and np.isfinite(found["split_conditions"]).all()
        and len(tree["categories"]) == 0
    )
