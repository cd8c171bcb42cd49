"""Fine-tuning a pre-trained encoder as a classifier (section 4.1)."""

from __future__ import annotations

from simmim.evaluate.classification_task import ClassificationTask
from simmim.evaluate.classifier_training import ClassifierTraining
from simmim.evaluate.finetune.classifier import Classifier


class Finetune(ClassificationTask):
    """The whole encoder is trained under a fresh linear layer."""

    def module(self) -> ClassifierTraining:
        inputs = self.inputs
        classifier = Classifier(inputs.encoder, len(inputs.classes))
        return ClassifierTraining(classifier, inputs.header, inputs.settings, len(inputs.classes))
