"""A forest of randomized trees with several outputs: fitted by scikit-learn, evaluated here.

scikit-learn takes milliseconds for one row, a hundred times as long as its trees need, and a search asks for one
configuration at a time. Called by ``model``.

Source: Geurts, Ernst and Wehenkel, "Extremely Randomized Trees", Machine Learning 63 (2006); the arrays of a tree:
scikit-learn's example "Understanding the decision tree structure".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TREES = 100
"""Each is fitted to all rows until every leaf holds one, so a forest predicts the rows that it was fitted to."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forest:
    """The nodes of all trees, one after the other.

    Args:
        roots: (trees,), the first node of each tree.
        left: (nodes,), the next node where the feature is at most the threshold; that of a leaf is the leaf itself.
        right: (nodes,), the next node otherwise.
        features: (nodes,), the feature that decides.
        thresholds: (nodes,).
        values: (nodes, outputs), the mean of the rows that reach a node.
    """

    roots: np.ndarray
    left: np.ndarray
    right: np.ndarray
    features: np.ndarray
    thresholds: np.ndarray
    values: np.ndarray

    def predict(self, row: np.ndarray) -> np.ndarray:
        """Returns the prediction for one row of features, (outputs,)."""
        nodes = self.roots
        while True:
            is_left = row[self.features[nodes]] <= self.thresholds[nodes]
            following = np.where(is_left, self.left[nodes], self.right[nodes])
            if np.array_equal(following, nodes):
                mean: np.ndarray = self.values[nodes].mean(axis=0)
                return mean
            nodes = following


def fit_forest(features: np.ndarray, targets: np.ndarray) -> Forest:
    """Returns a forest; equal arguments give equal forests.

    Args:
        features: (rows, features), float32.
        targets: (rows, outputs).
    """
    from sklearn.ensemble import ExtraTreesRegressor

    fitted = ExtraTreesRegressor(n_estimators=TREES, random_state=0).fit(features, targets)
    trees = [estimator.tree_ for estimator in fitted.estimators_]
    roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]

    def joined(child: str) -> np.ndarray:
        sides = [getattr(tree, child) for tree in trees]
        return np.concatenate(
            [np.where(side < 0, np.arange(len(side)), side) + root for side, root in zip(sides, roots, strict=True)]
        )

    return Forest(
        roots=roots,
        left=joined("children_left"),
        right=joined("children_right"),
        features=np.maximum(np.concatenate([tree.feature for tree in trees]), 0),
        thresholds=np.concatenate([tree.threshold for tree in trees]),
        values=np.concatenate([tree.value[:, :, 0] for tree in trees]),
    )
