"""The fixed sections of a config; components bring their own settings (`component_settings`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from simmim.config.ranges import Areas, Factors
from simmim.config.training import TrainSettings

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MEASURED = "measured"
Side = Annotated[int, Field(ge=8)]


class Section(BaseModel):
    """A section that refuses what it does not know, and numbers that are none: JSON cannot keep them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TaskSettings(Section):
    """Settings of an evaluation task, and what all of the project must know about it without importing torch.

    Args:
        image_px: side of the square input of the encoder, or its height and width.

    Attributes:
        label: as tables and figures name the task.
        trains: whether it trains anything; its recipe has a section `train` then, and only then.
        reads_features: whether it reads frozen features that jobs of their own extract.
        leaves_encoders: whether it trains the encoder and leaves it for other evaluations.
        scores_extra_set: whether it is scored on the extra validation set of its role, too.
        is_dense: whether it needs feature maps of several strides.
        is_score: whether its numbers say how good an encoder is, in percent; others describe it, and nothing compares
            runs by them.
    """

    label: ClassVar[str]
    trains: ClassVar[bool] = True
    reads_features: ClassVar[bool] = False
    leaves_encoders: ClassVar[bool] = False
    scores_extra_set: ClassVar[bool] = False
    is_dense: ClassVar[bool] = False
    is_score: ClassVar[bool] = True

    image_px: Side | tuple[Side, Side] = 224

    @property
    def short_side_px(self) -> int:
        """Short side of images that need not be enlarged for this input, in training and in scoring alike."""
        return max(sides(self.image_px))

    def check_training(self, training: TrainSettings, processes: int = 1) -> None:
        """Refuse a section `train` that the task cannot be trained with on so many processes.

        Raises:
            ValueError: saying what to change.
        """


def sides(image_px: int | Sequence[int]) -> tuple[int, int]:
    """Height and width of an input, of which one number is a square."""
    return (image_px, image_px) if isinstance(image_px, int) else tuple(image_px)


def pixels(size: str | int | Sequence[int] | None) -> tuple[int, int] | None:
    """Height and width that a user gives as `192`, `96x160` or a pair; None leaves the choice to us.

    Raises:
        ValueError: for anything else, and for sizes that are not positive.
    """
    if size is None:
        return None
    text = str(size) if isinstance(size, str | int) else "x".join(map(str, size))
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise ValueError(f"--image-px {text} must be a number such as 192, or height and width as 96x160")
    return int(sides[0]), int(sides[-1])


def scored_side_px(image_px: int, crop: float) -> int:
    """What becomes `image_px` where a central crop keeps the share `crop` of it."""
    return int(image_px / crop)


class GeometrySection(Section):
    """Sizes in pixels of the encoder's input.

    Args:
        image_px: height and width; one number in a recipe or sheet is a square.
        masked_patch_px: side of the square that is hidden as a whole.
    """

    image_px: tuple[int, int]
    masked_patch_px: int | None = Field(default=None, ge=1)

    @field_validator("image_px", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return value if isinstance(value, list | tuple) else (value, value)


class LossSection(Section):
    """`area` is where the loss is taken: on masked pixels or on the full image (Table 4)."""

    name: Literal["l1", "l2", "smooth_l1", "cross_entropy"] = "l1"
    area: Literal["masked", "full"] = "masked"


class InitSection(Section):
    """What a run begins with instead of fresh weights.

    Args:
        run: a run with the same settings and fewer epochs, whose first stage of constant rate is this run's too
            (step schedule, Table 9); this run begins from its checkpoint at its first milestone.
        encoder: an encoder file, such as `simmim convert` makes, or a .safetensors by timm's names, as timm publishes
            them; its architecture must be this run's. `$data` stands for the `data_root` of config.yaml.
    """

    run: str = ""
    encoder: str = ""


class ImagesSection(Section):
    """How training images are cropped, and the channel statistics they are normalised by.

    Args:
        crop_scale: area of the random crop as a share of the image.
        crop_ratio: its width over its height.
        flip: probability of a horizontal flip.
        channels: of the images; needed where the statistics are measured, else the number of means.
        mean, std: of every channel, as shares of the full range (255 or 65,535); `mean: measured` takes both as packing
            has measured them on the training images.
        crop_on: "host" cuts and resizes in the loader; "device" copies each box to the GPU and resizes it there,
            for sets that are packed small (raw pixels, JPEG of 256 px) and too few cores to feed it. SimMIM only.
    """

    crop_scale: Areas = (0.67, 1.0)
    crop_ratio: Factors = (3 / 4, 4 / 3)
    flip: float = Field(default=0.5, ge=0, le=1)
    channels: int | None = Field(default=None, ge=1, exclude_if=lambda channels: channels is None)
    mean: Literal["measured"] | tuple[float, ...] = IMAGENET_MEAN
    std: Literal["measured"] | tuple[float, ...] = IMAGENET_STD
    crop_on: Literal["host", "device"] = "host"

    @model_validator(mode="before")
    @classmethod
    def _both_are_measured(cls, values: Any) -> Any:
        is_measured = isinstance(values, dict) and values.get("mean") == MEASURED
        if is_measured and tuple(values.get("std", IMAGENET_STD)) == IMAGENET_STD:  # the default beside it
            return values | {"std": MEASURED}
        return values

    @model_validator(mode="after")
    def _statistics_of_every_channel(self) -> ImagesSection:
        if (self.mean == MEASURED) != (self.std == MEASURED):
            raise ValueError("either both images.mean and images.std are measured or none: write images.mean=measured")
        if self.is_measured and self.channels is None:
            raise ValueError("images.mean=measured needs images.channels, the number of bands of the images")
        if not self.is_measured and not len(self.mean) == len(self.std) == self.channel_count > 0:
            raise ValueError(
                f"images.mean has {len(self.mean)} and images.std {len(self.std)} values; give one of each for every "
                f"channel ({self.channels or '3 for RGB, 1 for grey'}), or images.mean=measured"
            )
        if not self.is_measured and not (all(0 <= m <= 1 for m in self.mean) and all(0 < s <= 1 for s in self.std)):
            raise ValueError(
                f"images.mean {list(self.mean)} and images.std {list(self.std)} must be shares of the full range, "
                "up to 1, and every std above 0: divide what was measured on values up to 255 by 255 (16 bits: 65,535)"
            )
        return self

    @property
    def is_measured(self) -> bool:
        """Whether mean and deviation are those of the packed data."""
        return self.mean == MEASURED

    @property
    def channel_count(self) -> int:
        """Channels of the images."""
        return self.channels or len(self.mean)

    def require_host(self, what: str) -> None:
        """Refuse crops on the device for what has none."""
        if self.crop_on != "host":
            raise ValueError(f"images.crop_on={self.crop_on} is for SimMIM, {what} are cut on the host: leave it out")

    def normalised_by(self, mean: Sequence[float], std: Sequence[float]) -> ImagesSection:
        """The same with these numbers where the statistics are to be measured."""
        return self.model_copy(update={"mean": tuple(mean), "std": tuple(std)}) if self.is_measured else self


class DemoDataSection(Section):
    """The demo's data sets (`simmim.demo_data`).

    Args:
        tile_px: side of the tiles for pre-training and classification.
        dense_tile_px: side of the tiles for COCO and ADE20K, and width of the gaps between the splits.
        pretrain_tiles: at most so many tiles by split, None for all.
        class_tiles: the same per class.
        rare_class_tiles: the same per class of the set in iNaturalist's format, which keeps rare classes.
        dense_tiles: the same for each of the two dense sets.
    """

    tile_px: int = Field(default=64, ge=8)
    dense_tile_px: int = Field(default=128, ge=8)
    pretrain_tiles: dict[Literal["train", "val"], int | None] | None = None
    class_tiles: dict[Literal["train", "val"], int | None] | None = None
    rare_class_tiles: dict[Literal["train", "val"], int | None] | None = None
    dense_tiles: dict[Literal["train", "val"], int | None] | None = None
