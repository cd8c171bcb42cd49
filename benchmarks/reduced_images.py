"""What training images lose when a data set is packed with a smaller short side, beside the images as they are.

    python benchmarks/reduced_images.py data/imagenet/val [--short-side-px 256] [--images 300] [--epochs 1]

The images are packed three times: as they are, as JPEG of quality 95, and reduced and as JPEG. All are cropped by the
same draws and in the same way as in training. Edge energy is the sum of the squared differences of neighbouring pixels
in grey, over all crops; the table has its share of that of the images as they are. Enlarged is a crop of fewer pixels
than the input. The last two lines are the central view, of which frozen features are made.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from simmim.config.sections import ImagesSection
from simmim.data.classification import scoring_view
from simmim.data.crops import Crop, cut, draw_crops
from simmim.data.decode import BadImage, normalise
from simmim.data.pixels import open_image
from simmim.evaluate.finetune.settings import FinetuneSettings
from simmim.rng import KeyedGenerator

PRETRAIN, FINETUNE = ImagesSection(), FinetuneSettings()
CROPS = [("pre-training", PRETRAIN.crop_scale, "bilinear", side) for side in (192, 224)]
CROPS += [("fine-tuning", FINETUNE.crop_scale, "bicubic", side) for side in (192, 224, 384, 512, 640)]
CENTRAL_PX = 192, 224


def packed(files: Sequence[Path], codec: str, short_side_px: int | None) -> list[Tensor]:
    """Images as a data set that is packed so holds them, without those that none could hold."""
    images = []
    for file in files:
        try:
            stored = normalise(file.read_bytes(), file.name, codec=codec, short_side_px=short_side_px, annotated=False)
        except BadImage:
            continue
        images.append(open_image(stored.content))
    return images


def edge_energy(pixels: Tensor) -> float:
    """Sum of the squared differences of neighbouring pixels, of an image uint8 [3, h, w] in grey."""
    grey = pixels.float().mean(dim=0)  # [h, w]
    return sum(float(grey.diff(dim=dim).square().sum()) for dim in (0, 1))


def crops_of(images: Sequence[Tensor], scale: tuple[float, float], epochs: int) -> Iterator[tuple[Tensor, Crop]]:
    """The crop of every image in every epoch; its draws are the same whatever the size of the image."""
    sizes = np.array([image.shape[1:] for image in images])
    for epoch in range(epochs):
        draws = KeyedGenerator(0, epoch, np.arange(len(images)), "crop")
        yield from zip(images, draw_crops(sizes, scale, PRETRAIN.crop_ratio, 0.0, draws))


def of_crops(
    images: Sequence[Tensor], scale: tuple[float, float], interpolation: str, side: int, epochs: int
) -> tuple[float, float]:
    """Edge energy of all crops, and the share of those that are enlarged."""
    pairs = list(crops_of(images, scale, epochs))
    energy = sum(edge_energy(cut(image, crop, (side, side), interpolation)) for image, crop in pairs)
    return energy, float(np.mean([crop.height * crop.width < side**2 for _, crop in pairs]))


def of_views(images: Sequence[Tensor], side: int) -> float:
    """Edge energy of all central views."""
    return sum(edge_energy(scoring_view(image, side, FINETUNE.score_crop)) for image in images)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="images, at any depth")
    parser.add_argument("--short-side-px", type=int, default=256, help="of the reduced set")
    parser.add_argument("--images", type=int, default=300, help="spread over the folder")
    parser.add_argument("--epochs", type=int, default=1, help="crops of every image")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    files = sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    files = files[:: max(1, len(files) // arguments.images)][: arguments.images]
    if not files:
        parser.error(f"{arguments.folder} holds no JPEG or PNG")
    sets = [packed(files, *how) for how in (("original", None), ("jpeg", None), ("jpeg", arguments.short_side_px))]
    sides = [min(image.shape[1:]) for image in sets[0]]
    print(f"{len(sides)} images, short side {np.median(sides):.0f} px (median), {np.mean(sides):.0f} px (mean)\n")
    print(
        f"| crop | input px | JPEG alone | reduced to {arguments.short_side_px} px | enlarged | enlarged if reduced |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for stage, scale, interpolation, side in CROPS:
        found = [of_crops(images, scale, interpolation, side, arguments.epochs) for images in sets]
        (own, enlarged), (encoded, _), (reduced, enlarged_reduced) = found
        shares = encoded / own, reduced / own, enlarged, enlarged_reduced
        print(f"| {stage} | {side} | " + " | ".join(f"{100 * share:.0f} %" for share in shares) + " |", flush=True)
    for side in CENTRAL_PX:
        own, encoded, reduced = (of_views(images, side) for images in sets)
        print(f"| central view | {side} | {100 * encoded / own:.0f} % | {100 * reduced / own:.0f} % | | |")


if __name__ == "__main__":
    main()
