"""Mean IoU is the one over the whole set, equal to an independent computation."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torchmetrics.classification import MulticlassJaccardIndex

from simmim.evaluate.segment.confusion import class_iou, confusion_matrix, mean_class_accuracy, mean_iou, pixel_accuracy


def test_equals_torchmetrics_over_several_batches():
    random = np.random.default_rng(0)
    truth = random.integers(0, 9, (6, 20, 30))
    truth[truth == 7] = 255  # class 7 occurs in the prediction only, class 8 nowhere
    truth[truth == 8] = 0
    predicted = np.where(random.random(truth.shape) < 0.6, truth, random.integers(0, 8, truth.shape))
    predicted[predicted == 255] = 3
    total = sum(confusion_matrix(t, p, 9) for t, p in zip(truth, predicted))
    oracle = MulticlassJaccardIndex(9, average="macro", ignore_index=255)
    oracle.update(torch.from_numpy(predicted), torch.from_numpy(truth))
    assert mean_iou(total) == pytest.approx(float(oracle.compute()), abs=1e-6)
    assert np.isnan(class_iou(total)[8]) and class_iou(total)[7] == 0
    assert pixel_accuracy(total) == pytest.approx((truth == predicted)[truth != 255].mean())
    kept = truth != 255
    with pytest.warns(UserWarning, match="classes not in y_true"):
        assert mean_class_accuracy(total) == pytest.approx(balanced_accuracy_score(truth[kept], predicted[kept]))


def test_rows_are_the_truth():
    confusion = confusion_matrix(np.array([0, 0, 1, 255]), np.array([1, 0, 1, 1]), 2)
    assert confusion.tolist() == [[1, 1], [0, 1]]


def test_nothing_labelled_is_not_a_number():
    confusion = confusion_matrix(np.full((2, 2), 255), np.zeros((2, 2), dtype=int), 3)
    assert all(np.isnan(score(confusion)) for score in (mean_iou, pixel_accuracy, mean_class_accuracy))
