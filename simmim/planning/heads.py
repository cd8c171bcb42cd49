"""What the heads of an evaluation add to its encoder, by the class of the module that is trained."""

from __future__ import annotations

import functools

from torch import Tensor, nn

from simmim.config.sections import TaskSettings
from simmim.evaluate.attentive.classifier import AttentiveClassifier, tokens_of
from simmim.evaluate.attentive.settings import AttentiveSettings
from simmim.evaluate.classifier_training import ClassifierTraining
from simmim.evaluate.finetune.classifier import Classifier
from simmim.planning.counting import Part, count, faked, moved, parameters_of
from simmim.planning.network import on_meta


@functools.singledispatch
def heads_of(module: nn.Module, settings: TaskSettings, encoder: nn.Module, image: Tensor, precision: str) -> Part:
    """What a module adds to its encoder; the FLOPs of one that is unknown here are those of its encoder alone."""
    return Part(parameters_of(module) - parameters_of(encoder))


@heads_of.register
def _(module: ClassifierTraining, settings: TaskSettings, encoder: nn.Module, image: Tensor, precision: str) -> Part:
    return heads_of(module.classifier, settings, encoder, image, precision)


@heads_of.register
def _(module: Classifier, settings: TaskSettings, encoder: nn.Module, image: Tensor, precision: str) -> Part:
    return Part(parameters_of(module) - parameters_of(encoder), 2 * module.head.weight.numel())


@heads_of.register
def _(
    module: AttentiveClassifier, settings: AttentiveSettings, encoder: nn.Module, image: Tensor, precision: str
) -> Part:
    classes, width = module.head.weight.shape
    with on_meta():
        tokens = tokens_of(encoder, image, settings.block)
        head = AttentiveClassifier(nn.Identity(), width, classes, None, settings.head_width)
    return count(moved(head), lambda: head(faked(tokens)), precision)
