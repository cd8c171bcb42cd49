"""One step of training a classifier does all that its settings say, each part of it shown to be at work."""

import numpy as np
import pytest
import torch
from drawn_sets import HEADER, draw, packed, png
from evaluation_tasks import task_of
from evaluations import TRAIN, small
from torch.nn.functional import log_softmax

from simmim.data.classification import scoring_images
from simmim.data.samples import RawSample
from simmim.evaluate.classifier_training import AnyBatchMixup, ClassifierTraining
from simmim.evaluate.finetune.classifier import Classifier
from simmim.evaluate.finetune.settings import FinetuneSettings
from simmim.layers.normaliser import ImageNormaliser
from simmim.train.processes import seed_libraries

OFF = {"auto_augment": "", "erase": 0.0, "mixup": 0.0, "cutmix": 0.0, "smoothing": 0.0}
IMAGES, CLASSES = 6, 4


class Recorder(torch.nn.Module):
    """Keeps what it is shown and answers with fixed logits."""

    def __init__(self):
        super().__init__()
        self.logits = torch.linspace(-1, 2, IMAGES * CLASSES).reshape(IMAGES, CLASSES)

    def forward(self, images):
        self.seen = images.clone()
        return self.logits[: len(images)]


def step(images=IMAGES, seed=0, **settings):
    """Images that the classifier saw, normalised images, loss, logits and labels of one step."""
    seed_libraries(seed, 0, 0)
    training = ClassifierTraining(Recorder(), HEADER, FinetuneSettings(image_px=32, **OFF | settings), CLASSES)
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (images, 3, 32, 32), dtype=np.uint8))
    labels = torch.arange(images) % CLASSES
    loss = training({"images": pixels, "labels": labels})
    return (
        training.classifier.seen,
        training.normalise(pixels),
        float(loss),
        training.classifier.logits[:images],
        labels,
    )


def cross_entropy(logits, shares):
    return float(-(shares * log_softmax(logits, 1)).sum(1).mean())


def one_hot(labels, smoothing=0.0):
    return torch.nn.functional.one_hot(labels, CLASSES) * (1 - smoothing) + smoothing / CLASSES


def test_with_everything_off_the_images_and_labels_stay():
    seen, plain, loss, logits, labels = step()
    assert torch.equal(seen, plain)
    assert loss == pytest.approx(cross_entropy(logits, one_hot(labels)), abs=1e-6)


def test_smoothing_moves_the_labels():
    _, _, loss, logits, labels = step(smoothing=0.3)
    assert loss == pytest.approx(cross_entropy(logits, one_hot(labels, 0.3)), abs=1e-6)
    assert abs(loss - cross_entropy(logits, one_hot(labels))) > 0.01


@pytest.mark.parametrize("images", [6, 5, 3, 2])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_mixup_blends_every_image_with_its_mirrored_place(images, smoothing):
    seen, plain, loss, logits, labels = step(images, mixup=0.8, smoothing=smoothing)
    partner = plain.flip(0)
    share = float(
        (seen[0] - partner[0]).flatten().dot((plain[0] - partner[0]).flatten()) / (plain[0] - partner[0]).square().sum()
    )
    assert 0.02 < share < 0.98
    torch.testing.assert_close(seen, share * plain + (1 - share) * partner, rtol=0, atol=1e-5)
    if images % 2:
        torch.testing.assert_close(seen[images // 2], plain[images // 2], rtol=0, atol=1e-5)
    shares = share * one_hot(labels, smoothing) + (1 - share) * one_hot(labels.flip(0), smoothing)
    assert loss == pytest.approx(cross_entropy(logits, shares), abs=1e-4)


@pytest.mark.parametrize("images", [6, 5])
def test_cutmix_pastes_a_box_of_the_mirrored_place(images):
    seen, plain, loss, logits, labels = step(images, seed=3, cutmix=1.0)
    pasted = (seen != plain).any(dim=1)  # [b, h, w]
    pasted = pasted[0]
    assert 0.02 < pasted.float().mean() < 0.98
    rows, columns = pasted.any(1).nonzero(), pasted.any(0).nonzero()
    assert pasted[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all(), "it is a box"
    assert torch.equal(seen, torch.where(pasted, plain.flip(0), plain))
    share = 1 - float(pasted.float().mean())
    shares = share * one_hot(labels) + (1 - share) * one_hot(labels.flip(0))
    assert loss == pytest.approx(cross_entropy(logits, shares), abs=1e-5)


def test_mixup_and_cutmix_take_turns():
    kinds = set()
    for seed in range(12):
        seen, plain, *_ = step(seed=seed, mixup=0.8, cutmix=1.0)
        changed = (seen[0] != plain[0]).any(dim=0).float().mean()
        kinds.add("mixup" if changed == 1 else "cutmix")
    assert kinds == {"mixup", "cutmix"}


def test_even_batches_are_mixed_as_timm_does():
    from timm.data import Mixup

    found = []
    for kind in (AnyBatchMixup, Mixup):
        np.random.seed(5)
        mix = kind(mixup_alpha=0.8, cutmix_alpha=1.0, num_classes=CLASSES, label_smoothing=0.1)
        images = torch.arange(4 * 3 * 8 * 8, dtype=torch.float32).reshape(4, 3, 8, 8)
        found.append(mix(images, torch.tensor([0, 1, 2, 3])))
    assert all(torch.equal(*pair) for pair in zip(*found))


def test_erasing_fills_a_box_with_noise():
    shares = []
    for seed in range(8):
        seen, plain, *_ = step(seed=seed, erase=0.5)
        erased = (seen != plain).any(dim=1).float().mean(dim=(1, 2))  # [b]
        shares += erased.tolist()
        new = seen[seen != plain]
        assert not len(new) or (new.std() > 0.5 and len(new.unique()) > len(new) / 2), "normal noise for every pixel"
    assert 0.25 < np.mean([share > 0 for share in shares]) < 0.75, "the given probability, image by image"
    assert all(0.02 < share < 0.4 for share in shares if share > 0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Eight images, one of every class."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("drawn_sets.CLASSES", [f"class {number}" for number in range(8)])
        samples = [RawSample(f"{n}.png", png(draw(n)[0]), label=n) for n in range(8)]
        return packed(tmp_path_factory.mktemp("ranks"), samples)


class TestScore:
    """Top-1 and top-5 of a classifier whose ranks are known."""

    @pytest.mark.parametrize("score_batch", [1, 3, 8])
    def test_counts_of_ranks(self, shards, score_batch):
        """The truth stands first in 2 of 8 images, among the first five in 6."""
        task = task_of("finetune", FinetuneSettings(image_px=32, score_batch=score_batch), shards=shards)
        ranks, answered = [0, 1, 4, 5, 0, 7, 2, 3], []

        class Ranked(torch.nn.Module):
            normalise = ImageNormaliser(**HEADER)

            def predict(self, images):
                rows = []
                for _ in images:
                    truth = len(answered)
                    others = [label for label in range(8) if label != truth]
                    order = [*others[: ranks[truth]], truth, *others[ranks[truth] :]]
                    answered.append(truth)
                    logits = torch.empty(8)
                    logits[order] = torch.arange(8, 0, -1).float()
                    rows.append(logits)
                return torch.stack(rows)

        assert task.score(Ranked(), "val") == [("top1", "", 25.0), ("top5", "", 75.0)]

    def test_it_scores_in_evaluation_mode(self, shards):
        task = task_of("finetune", FinetuneSettings(image_px=32), shards=shards)
        module = ClassifierTraining(torch.nn.Dropout(0.9), HEADER, task.inputs.settings, 8)
        module.predict = lambda images: torch.ones(len(images), 8) if not module.training else pytest.fail("training")
        task.score(module.train(), "val")

    def test_it_scores_the_same_in_the_number_format_of_the_training(self, shards, micro_swin):
        """An encoder that knows the eight images by heart ranks them alike in bfloat16, though its logits differ."""
        task = task_of("finetune", FinetuneSettings(image_px=32, score_crop=1.0, **OFF), shards=shards)
        seed_libraries(0, 0, 0)
        module = ClassifierTraining(Classifier(micro_swin(image_px=32), 8), HEADER, task.inputs.settings, 8)
        images = scoring_images(shards, range(8), 32, 1.0, 3)
        optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3)
        for _ in range(25):
            module({"images": images, "labels": torch.arange(8)}).backward()
            optimizer.step()
            optimizer.zero_grad()
        scores, logits = {}, {}
        for dtype in (None, torch.bfloat16):
            module.autocast_dtype = dtype
            scores[dtype] = task.score(module, "val")
            with torch.inference_mode():
                logits[dtype] = module.predict(images)
        assert scores[None] == scores[torch.bfloat16] == [("top1", "", 100.0), ("top5", "", 100.0)]
        assert logits[torch.bfloat16].dtype == torch.float32 and not torch.equal(*logits.values())
        torch.testing.assert_close(*logits.values(), rtol=0, atol=0.1)


@pytest.mark.parametrize("task", ["finetune", "attentive"])
@pytest.mark.parametrize("train", [{"batch": 1}, {"batch": 4, "micro_batch": 1}, {"batch": 3, "micro_batch": 2}])
def test_mixing_needs_two_images_at_once(task, train):
    mixing = {"image_px": 64, "mixup": 0.8}
    with pytest.raises(ValueError, match=f"mixup and cutmix need two images at once .*train.batch={train['batch']}"):
        small(task, mixing, TRAIN | {"micro_batch": 4} | train)
    assert small(task, {"image_px": 64, "mixup": 0, "cutmix": 0}, TRAIN | train).task == task


@pytest.mark.parametrize("batch, micro_batch", [(6, 4), (6, 3), (5, 5), (2, 2), (7, 128)])
def test_any_other_micro_batch_is_allowed(batch, micro_batch):
    assert small("finetune", train=TRAIN | {"batch": batch, "micro_batch": micro_batch}).train.batch == batch
