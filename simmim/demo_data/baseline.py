"""How far colour alone gets on the demo's classification: measured on the same tiles, printed beside the results."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from scipy.special import logsumexp

_BINS = 8
_PENALTY = 1e-4  # on the squared weights; 1e-3 and 1e-2 are worse
_NEIGHBOURS = 10


def colour_histogram(tiles: np.ndarray) -> np.ndarray:
    """Square roots of the shares of 8 bins per channel: uint8 [n, h, w, 3] -> float [n, 24]."""
    channel = _BINS * np.arange(3)
    counts = [np.bincount((tile // (256 // _BINS) + channel).ravel(), minlength=3 * _BINS) for tile in tiles]
    return np.sqrt(np.array(counts) / (tiles.shape[1] * tiles.shape[2]))


def mean_colour(tiles: np.ndarray) -> np.ndarray:
    """Mean of each channel, uint8 [n, h, w, 3] -> float [n, 3]."""
    return tiles.reshape(len(tiles), -1, 3).mean(axis=1)


def logistic_top1(train: np.ndarray, labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray) -> float:
    """Top-1 accuracy in percent of multinomial logistic regression on standardised features [n, d]."""
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-9
    train, val = (np.c_[(features - mean) / spread, np.ones(len(features))] for features in (train, val))
    wanted = np.eye(labels.max() + 1)[labels]  # [n, k]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(train.shape[1], -1)  # [d + 1, k]
        scores = train @ weights
        logs = scores - logsumexp(scores, axis=1, keepdims=True)
        slope = train.T @ (np.exp(logs) - wanted) / len(train) + 2 * _PENALTY * weights
        return -(logs * wanted).sum() / len(train) + _PENALTY * (weights**2).sum(), slope.ravel()

    start = np.zeros(train.shape[1] * wanted.shape[1])
    weights = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x.reshape(train.shape[1], -1)
    return 100.0 * float(((val @ weights).argmax(axis=1) == val_labels).mean())


def neighbours_top1(train: np.ndarray, labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray) -> float:
    """Top-1 accuracy in percent of the majority among the 10 nearest training tiles, features [n, d]."""
    nearest = cKDTree(train).query(val, k=min(_NEIGHBOURS, len(train)))[1].reshape(len(val), -1)  # [n, neighbours]
    votes = np.eye(labels.max() + 1)[labels[nearest]].sum(axis=1)  # [n, k]
    return 100.0 * float((votes.argmax(axis=1) == val_labels).mean())


def measure(train: np.ndarray, labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray) -> dict[str, float]:
    """Top-1 in percent of what needs no network, by method; tiles are uint8 [n, h, w, 3]."""
    histograms, means = ([of(train), labels, of(val), val_labels] for of in (colour_histogram, mean_colour))
    return {
        "colour histogram, logistic regression": round(logistic_top1(*histograms), 1),
        "mean colour, 10 nearest neighbours": round(neighbours_top1(*means), 1),
        "largest class": round(100.0 * float(np.bincount(val_labels).max() / len(val_labels)), 1),
    }
