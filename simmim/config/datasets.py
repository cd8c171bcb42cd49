"""From rows of datasets.tsv to the configs of packed data sets."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from simmim import NUMERICS
from simmim.config.component_settings import checked
from simmim.config.errors import DoesNotFit, Unavailable, located_at, validated
from simmim.config.folder import ConfigFolder
from simmim.config.models import DataConfig
from simmim.config.packing import PackSection
from simmim.config.reading import parse_set
from simmim.config.sections import Section
from simmim.config.values import typed
from simmim.plugin import check_choice

UNAVAILABLE = "unavailable"  # the source of a data set that is not public


class _Packing(Section):
    """What a row says about packing, as `pack.setting`."""

    pack: PackSection


@functools.cache
def data_config(sheets: ConfigFolder, scale: str, dataset: str, split: str) -> DataConfig:
    """How a data set is read and packed at a scale.

    Raises:
        ValueError: for an unknown data set, split, source or setting, with the nearest one.
        Unavailable: for data that are not public, where the sheets need them.
    """
    check_choice("dataset", dataset, {name for name, _ in sheets.datasets})
    if (dataset, split) not in sheets.datasets:
        raise ValueError(f"{sheets.folder}/datasets.tsv has no split '{split}' of '{dataset}'")
    row = sheets.datasets[dataset, split]
    with located_at(sheets.place("datasets", dataset, split)):
        values = parse_set(row.set.replace("$scale", scale))
        if row.source == UNAVAILABLE:
            if sheets.needs_data:
                raise Unavailable(f"{dataset}: {values.get('reason', 'not public')}")
            return _config(sheets, scale, dataset, split, {"name": UNAVAILABLE}, {})
        pack = {key: text for key, text in values.items() if key.startswith("pack.")}
        source = checked("data.sources", {"name": row.source} | {k: v for k, v in values.items() if k not in pack})
        packing = {key.removeprefix("pack."): value for key, value in typed(pack, {}, _Packing, {}).items()}
        return _config(sheets, scale, dataset, split, source, packing)


def role_data(sheets: ConfigFolder, scale: str, role: str, split: str, short_side_px: int) -> DataConfig:
    """The first data set of a role ('pretrain', 'classify', ...) that has the split and is packed large enough.

    Args:
        short_side_px: that packing must leave of images; what is not reduced at all is taken as it is.

    Raises:
        DoesNotFit: where the scale gives no data set that role.
        ValueError: where every set is packed smaller.
    """
    check_choice("data role", role, sheets.data_roles)
    roles = sheets.scale(scale).datasets
    if role not in roles:
        raise DoesNotFit(f"no data set has the role '{role}' at this scale")
    names = roles[role]
    with_split = [name for name in names if (name, split) in sheets.datasets] or names[:1]
    for name in with_split:
        config = data_config(sheets, scale, name, split)
        packed_px = config.pack.short_side_px
        if packed_px is None or packed_px >= short_side_px:
            return config
    raise ValueError(
        f"its image_px asks for {short_side_px} px on the short side (docs/data_sizes.md), but '{name}' {split} "
        f"is packed to pack.short_side_px={packed_px}: pack it larger in {sheets.folder}/datasets.tsv, or add a larger "
        f"set to the role in {sheets.folder}/scales/{scale}.yaml, datasets: {{{role}: [{', '.join(names)}, ...]}}"
    )


def check_channels(data: Mapping[str, DataConfig], channels: int, is_measured: bool = False) -> None:
    """Refuse data sets that are not packed with the bands that a network reads.

    Args:
        data: by split.
        is_measured: whether its channel statistics are those that packing measures.

    Raises:
        DoesNotFit: saying what to set; the same row may read other data at another scale.
    """
    for config in data.values():
        bands, name = config.pack.bands, config.dataset
        if bands is None and (is_measured or channels not in (1, 3)):
            wanted = "images.mean=measured" if is_measured else f"{channels} channels"
            raise DoesNotFit(
                f"{wanted} needs a data set packed band by band, but '{name}' is packed as 8-bit pictures: give it "
                f"pack.bands={channels} and pack.bits=8 or 16 in datasets.tsv"
            )
        if bands not in (None, channels):
            raise DoesNotFit(
                f"'{name}' is packed with pack.bands={bands} and read as {channels} channels: set "
                f"images.channels={bands} images.mean=measured in the run's row of pretrain.tsv"
            )


def _config(
    sheets: ConfigFolder, scale: str, dataset: str, split: str, source: dict[str, Any], packing: dict[str, Any]
) -> DataConfig:
    made_by = sheets.datasets[dataset, split].made_by
    return DataConfig(
        dataset=dataset,
        split=split,
        made_by=made_by,
        made_from=sheets.scale(scale).demo_data if made_by else None,
        source=source,
        pack=validated(PackSection, packing),
        numerics=NUMERICS["data"],
    )
