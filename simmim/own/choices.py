"""What a pre-training needs beside its images: batch, length and rate, chosen or given, with the reason in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from simmim.config.reading import parse_set
from simmim.config.values import merged

REFERENCE_BATCH = 512  # what `--lr` is written for, as in the paper's recipes
SMALL_SET = 10_000
_WARMUP_SHARE = 0.1
_LOG_ROWS = 50
_LARGE_PX, _SMALL_PATCH = 128, 16
_LARGEST_WINDOW = 14

LOW_RATE, HIGH_RATE = 2e-5, 5e-3
FEW_UPDATES, FEW_IMAGES = 200, 100


@dataclass(frozen=True)
class Asked:
    """What a user has asked for; None leaves the choice to us.

    Args:
        lr: base rate of a batch of 512 images.
        steps: updates, instead of epochs.
        image_px: height and width.
    """

    epochs: float | None = None
    batch: int | None = None
    steps: int | None = None
    image_px: tuple[int, int] | None = None
    lr: float | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "steps", "lr"):
            if (value := getattr(self, name)) is not None and not 0 < value < math.inf:
                raise ValueError(f"--{name} {value:g} must be a number above 0")
        if self.epochs is not None and self.steps is not None:
            raise ValueError(f"--epochs {self.epochs:g} and --steps {self.steps}: give one of them")

    def as_json(self) -> dict[str, Any]:
        """What was asked for, as JSON values."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}

    def without_size(self) -> Asked:
        """The same but for the size of the images."""
        return replace(self, image_px=None)


@dataclass(frozen=True)
class Usual:
    """What is chosen where nothing is asked for.

    Args:
        epochs, updates: at least so many of both.
        small_batch, large_batch: for fewer than 10,000 images, and for more.
    """

    epochs: int
    updates: int
    small_batch: int
    large_batch: int


PRETRAINING = Usual(epochs=100, updates=1000, small_batch=64, large_batch=256)


@dataclass(frozen=True)
class Choice:
    """A recipe for so many images, and why it is as it is."""

    recipe: dict[str, Any]
    reasons: dict[str, str]


def settings(given: str | Sequence[str]) -> tuple[str, ...]:
    """What `set` lists; in Python one setting may stand alone."""
    return (given,) if isinstance(given, str) else tuple(given)


def settings_of_one(given: str | Sequence[str]) -> tuple[str, ...]:
    """As `settings`, for a command that trains once.

    Raises:
        ValueError: for a number of seeds.
    """
    if any("seeds" in parse_set(each) for each in settings(given)):
        raise ValueError("seeds: this command trains once; `simmim init` makes a project whose rows may have several")
    return settings(given)


def choose(recipe: dict[str, Any], images: int, asked: Asked, usual: Usual = PRETRAINING) -> Choice:
    """A recipe with everything that depends on the data and on what was asked for."""
    batch, about_batch = _batch(images, asked, usual)
    epochs, about_epochs = _epochs(images, batch, asked, usual)
    base_lr, about_rate = _rate(recipe["train"], batch, asked)
    train = {
        "epochs": epochs,
        "warmup_epochs": round(_WARMUP_SHARE * epochs, 3),
        "batch": batch,
        "micro_batch": batch,
        "base_lr": base_lr,
        "base_lr_batch": REFERENCE_BATCH,
        "log_every_steps": max(1, min(100, round(epochs * images / batch) // _LOG_ROWS)),
        "save_every_minutes": 5,
    }
    changed = merged(recipe, {"train": train})
    if asked.image_px:
        changed = _of_size(changed, asked.image_px)
    return Choice(changed, {"batch": about_batch, "length": about_epochs, "rate": about_rate})


def _batch(images: int, asked: Asked, usual: Usual) -> tuple[int, str]:
    if asked.batch:
        return asked.batch, "as asked for"
    wanted = usual.small_batch if images < SMALL_SET else usual.large_batch
    return 2 ** int(math.log2(max(1, min(wanted, images)))), f"for {images} images"


def _epochs(images: int, batch: int, asked: Asked, usual: Usual) -> tuple[float, str]:
    if asked.steps:
        return round(asked.steps * batch / images, 6), f"{asked.steps} updates asked for"
    if asked.epochs:
        return asked.epochs, "as asked for"
    least = math.ceil(usual.updates * batch / images)
    return max(usual.epochs, least), f"at least {usual.epochs} epochs and {usual.updates} updates"


def _rate(train: dict[str, Any], batch: int, asked: Asked) -> tuple[float, str]:
    """The base rate and why; the paper's peak falls with the square root of the batch, as Adam's noise does."""
    if asked.lr:
        return asked.lr, "as asked for"
    peak, at = train["base_lr"] * train["batch"] / train["base_lr_batch"], train["batch"]
    base_lr = float(f"{peak * math.sqrt(batch / at) * REFERENCE_BATCH / batch:.3g}")
    return base_lr, f"{peak:.1e} at {at} images, by the square root of the batch"


def _of_size(recipe: dict[str, Any], image_px: tuple[int, int]) -> dict[str, Any]:
    """The same at another size: smaller masked patches in small images, windows that divide the tokens."""
    encoder = dict(recipe["encoder"])
    patch = recipe["geometry"]["masked_patch_px"] if min(image_px) >= _LARGE_PX else _SMALL_PATCH
    patch = max(patch, encoder.get("patch_px", 1))
    if "window" in encoder and "depths" in encoder:
        stride = encoder["patch_px"] * 2 ** (len(encoder["depths"]) - 1)
        encoder["window"] = _window(math.gcd(*image_px) // stride, encoder["window"])
    return recipe | {"encoder": encoder, "geometry": {"image_px": list(image_px), "masked_patch_px": patch}}


def _window(tokens: int, usual: int) -> int:
    """The largest window that divides the tokens of the last stage, and so of all of them."""
    fitting = [side for side in range(1, _LARGEST_WINDOW + 1) if tokens and tokens % side == 0]
    return max(fitting, default=usual)


def warnings(peak: float, updates: int, images: int) -> list[str]:
    """Where a setting cannot learn, and what to do."""
    said = []
    if peak < LOW_RATE:
        said.append(f"a peak rate of {peak:.1e} hardly moves the weights; raise --lr or --batch (usual: 1e-4 to 1e-3)")
    if peak > HIGH_RATE:
        said.append(f"a peak rate of {peak:.1e} is more than most trainings survive; lower --lr")
    if updates < FEW_UPDATES:
        said.append(f"{updates} updates teach little; give more --epochs or --steps, or a smaller --batch")
    if images < FEW_IMAGES:
        said.append(f"{images} images are few: it will learn these by heart; what it sees of others is in the gallery")
    return said
