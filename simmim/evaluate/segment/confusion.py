"""Scores of semantic segmentation from one confusion matrix over the whole set (never a mean over images)."""

from __future__ import annotations

import numpy as np

from simmim.data.segmentation import IGNORED


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Pixel counts, int64 [classes, classes]: rows are the true class, columns the predicted one.

    Args:
        truth: integer labels of any shape; `IGNORED` is left out.
        predicted: labels of the same shape, below `classes`.
    """
    kept = truth != IGNORED
    pairs = truth[kept].astype(np.int64) * classes + predicted[kept]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union of every class, [classes]; NaN where neither truth nor prediction has any pixel."""
    hits = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - hits
    return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)


def mean_iou(confusion: np.ndarray) -> float:
    """Mean over the classes that occur in the truth or in the prediction; NaN without any."""
    ious = class_iou(confusion)
    return float(np.nanmean(ious)) if np.isfinite(ious).any() else float("nan")


def mean_class_accuracy(confusion: np.ndarray) -> float:
    """Mean over the classes that occur in the truth of the share of their pixels that were found; NaN without any."""
    pixels = confusion.sum(1)
    occurs = pixels > 0
    return float((np.diag(confusion)[occurs] / pixels[occurs]).mean()) if occurs.any() else float("nan")


def pixel_accuracy(confusion: np.ndarray) -> float:
    """Share of labelled pixels with the right class; NaN without any."""
    return float(np.trace(confusion) / confusion.sum()) if confusion.sum() else float("nan")
