"""Attentive probe of a frozen encoder."""

from __future__ import annotations

import torch
from torch import nn

from simmim.config.sections import sides
from simmim.evaluate.attentive.classifier import AttentiveClassifier, tokens_of
from simmim.evaluate.attentive.settings import AttentiveSettings
from simmim.evaluate.classification_task import ClassificationTask
from simmim.evaluate.classifier_training import ClassifierTraining


class Attentive(ClassificationTask):
    """A learnt query and a linear layer are trained on the tokens of one block."""

    @classmethod
    def check_encoder(cls, encoder: nn.Module, channels: int, settings: AttentiveSettings) -> None:
        super().check_encoder(encoder, channels, settings)
        if settings.block is not None and settings.block > encoder.depth:
            raise ValueError(f"settings.block {settings.block} is not among the encoder's blocks, 1 to {encoder.depth}")

    def module(self) -> ClassifierTraining:
        inputs, settings = self.inputs, self.inputs.settings
        image = torch.zeros(1, len(inputs.header["mean"]), *sides(settings.image_px))
        with torch.inference_mode():
            width = tokens_of(inputs.encoder.eval(), image, settings.block).shape[1]
        classes = len(inputs.classes)
        classifier = AttentiveClassifier(inputs.encoder, width, classes, settings.block, settings.head_width)
        return ClassifierTraining(classifier, inputs.header, settings, classes)
