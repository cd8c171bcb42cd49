"""Accuracy of colour alone on the demo's classification, measured on the same tiles and printed beside the results."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

_BINS = 8
_PENALTY = 1e-4  # on the squared weights, beside the mean loss; 1e-3 and 1e-2 are worse
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
    strength = 1 / (2 * _PENALTY * len(train))  # scikit-learn sums the loss and halves the squared weights
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    return 100.0 * float(classifier.fit(train, labels).score(val, val_labels))


def neighbours_top1(train: np.ndarray, labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray) -> float:
    """Top-1 accuracy in percent of the majority among the 10 nearest training tiles, features [n, d]."""
    classifier = KNeighborsClassifier(min(_NEIGHBOURS, len(train)))
    return 100.0 * float(classifier.fit(train, labels).score(val, val_labels))


def measure(train: np.ndarray, labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray) -> dict[str, float]:
    """Top-1 in percent of what needs no network, by method; tiles are uint8 [n, h, w, 3]."""
    histograms, means = ([of(train), labels, of(val), val_labels] for of in (colour_histogram, mean_colour))
    return {
        "colour histogram, logistic regression": round(logistic_top1(*histograms), 1),
        "mean colour, 10 nearest neighbours": round(neighbours_top1(*means), 1),
        "largest class": round(100.0 * float(np.bincount(val_labels).max() / len(val_labels)), 1),
    }
