"""What a packed set must have for a task; checked before the task trains, and again before it scores."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np

from simmim.data.layout import LABEL_MAP
from simmim.data.shards import Shards
from simmim.storage.reading import some_of

_JUDGED, _FITTING = 1000, 0.5  # objects looked at, and overlap of a box with its mask's; of COCO's it is above 0.8


def require_labels(shards: Shards) -> None:
    """Refuse a set that classification cannot train on or score.

    Raises:
        ValueError: with the number of unlabelled images.
    """
    unlabelled = int((shards.labels < 0).sum())
    if unlabelled:
        raise ValueError(
            f"{unlabelled} of {len(shards)} images in {shards.folder} have no label, and classification needs one of "
            "each; label them or take them out of the source, then pack again"
        )


@functools.lru_cache(maxsize=8)  # parses every annotation, and both the task and its data sets ask
def require_masks(shards: Shards) -> None:
    """Refuse a set with objects that have a box and no mask: they would count in the score, but never be trained on.

    Crowd regions, empty boxes and single masks without a pixel in their image do not count, as for COCO's tools.

    Raises:
        ValueError: for a set of another kind, with the number of objects without a mask, when there is no object or no
            mask has a pixel, and when most boxes are elsewhere than their masks: networks learn from masks and would
            be scored by the boxes.
    """
    if not _annotations_begin(shards, b"["):
        lacking = "has no objects with masks, which detection learns from; pack a set of source coco"
        raise ValueError(f"{shards.folder} {lacking}")
    from simmim.data import coco_objects  # of the extra `dense`; classification needs it not

    total = without = judged = elsewhere = 0
    for i in range(len(shards)):
        image_px = tuple(shards.sizes[i].tolist())
        for one in filter(coco_objects.is_trainable, coco_objects.objects(shards.annotation(i))):
            total += 1
            without += not coco_objects.has_mask(one)
            if judged < _JUDGED and coco_objects.has_mask(one) and coco_objects.has_pixel(one, image_px):
                judged += 1
                elsewhere += coco_objects.fit_of_box(one, image_px) < _FITTING
    if without:
        raise ValueError(
            f"{without} of {total} objects in {shards.folder} have a box and no mask, and detection trains and "
            "scores both; give them a segmentation or take them out of the JSON, then pack again"
        )
    if not total:
        raise ValueError(f"no object in {shards.folder} can be trained on or scored; check its JSON, then pack again")
    if not judged:
        raise ValueError(f"no object in {shards.folder} has a pixel in its image; check that JSON and images match")
    if 2 * elsewhere > judged:
        raise ValueError(
            f"{elsewhere} of {judged} objects in {shards.folder} have a box elsewhere than their mask: bbox is x and "
            "y of its upper left corner, width and height in pixels; mend the JSON, then pack again"
        )


def require_label_maps(shards: Shards) -> None:
    """Refuse a set of another kind than segmentation trains on and scores.

    Raises:
        ValueError: naming it.
    """
    if not _annotations_begin(shards, LABEL_MAP):
        lacking = "has no label maps, which segmentation learns from; pack a set of source ade20k"
        raise ValueError(f"{shards.folder} {lacking}")


def require_two_classes(shards: Shards) -> None:
    """Refuse label maps that know one class alone: whatever a network says of their pixels is right.

    Raises:
        ValueError: naming that class, and for a set without label maps.
    """
    require_label_maps(shards)
    from simmim.data.segmentation import IGNORED, label_map

    seen: set[int] = set()
    for i in range(len(shards)):
        seen |= {*np.unique(label_map(shards.annotation(i))).tolist()} - {IGNORED}
        if len(seen) > 1:
            return
    which = f"of class '{shards.classes[seen.pop()]}' or of none" if seen else "of no class"
    raise ValueError(
        f"every pixel in {shards.folder} is {which}, and segmentation learns to tell two or more apart; in a "
        "label map 1 is the first class and 0 a pixel without one: if yours count from 0, add 1 to all, then pack again"
    )


def require_same_classes(train: Shards, others: Iterable[Shards]) -> None:
    """Refuse sets to score on whose classes are not those of the training set, in the same order.

    Raises:
        ValueError: naming the classes that one of them lacks.
    """
    for other in others:
        if train.classes == other.classes:
            continue
        pairs = ((train, other), (other, train))
        lacking = [f"{a.folder} lacks {some_of(missing)}" for a, b in pairs if (missing := _missing(a, b))]
        difference = " and ".join(lacking) or "their order differs"
        raise ValueError(
            f"{train.folder} and {other.folder} have different classes: {difference}; "
            "pack both with one list of classes (classes_file, equal categories, or a folder for each even if empty)"
        )


def images_in_both(train: Shards, other: Shards) -> int:
    """Samples of `other` that are in `train` too, with the same bytes and annotation, by their digests."""
    return int(np.isin(*(each.sample_digests[:, :8].copy().view(np.uint64) for each in (other, train))).sum())


def _annotations_begin(shards: Shards, mark: bytes) -> bool:
    """Whether the annotations of a set are of the kind that begins so, by its first: a source has one kind alone."""
    return (shards.annotation(0) or b"").startswith(mark)


def _missing(shards: Shards, of: Shards) -> list[str]:
    return sorted(set(of.classes) - set(shards.classes))
