"""A share of a source that is held out: disjoint, the same on every machine, recorded."""

import pytest
from helpers.photos import write_photos

from simmim.config.packing import PackSection
from simmim.data.held_out import belongs, share_that_holds_out
from simmim.data.index import read_index
from simmim.data.packing import pack
from simmim.data.shards import Shards
from simmim.data.sources.image_folder import ImageFolder
from simmim.data.sources.image_list import ImageList
from simmim.storage.identity import config_hash

PACKING = {"codec": "original", "shard_samples": 100, "short_side_px": None}
IDS = [f"{number}.png" for number in range(400)]


def test_every_image_is_on_one_side_and_stays_there():
    sides = {part: {name for name in IDS if belongs(name, part, 0.1)} for part in ("train", "held_out", "all")}
    assert sides["all"] == {*IDS} and not sides["train"] & sides["held_out"]
    assert 20 <= len(sides["held_out"]) <= 60
    assert sides["held_out"] <= {name for name in IDS if belongs(name, "held_out", 0.2)}
    assert [name for name in IDS[:40] if belongs(name, "held_out", 0.1)] == ["13.png"]


@pytest.mark.parametrize(("images", "held_out"), [(400, 20), (100, 8), (10, 5), (2, 1), (1, 0)])
def test_at_least_a_few_are_held_out(images, held_out):
    share = share_that_holds_out(IDS[:images], 0.05, at_least=8)
    assert sum(belongs(name, "held_out", share) for name in IDS[:images]) == held_out


def test_the_parts_of_a_source_are_disjoint_and_say_so(tmp_path):
    names = write_photos(tmp_path / "photos", 12)
    for part in ("train", "held_out"):
        pack(ImageFolder(str(tmp_path / "photos")), tmp_path / part, part=part, held_out=0.4, **PACKING)
        index = read_index(tmp_path / part)
        assert (index["part"], index["held_out"]) == (part, 0.4)
    ids = [Shards(tmp_path / part).ids for part in ("train", "held_out")]
    assert sorted(ids[0] + ids[1]) == sorted(names) and all(ids)


def test_another_share_makes_other_shards(tmp_path):
    write_photos(tmp_path / "photos", 12)
    for share in (0.4, 0.7):
        pack(ImageFolder(str(tmp_path / "photos")), tmp_path / "out", part="train", held_out=share, **PACKING)
        assert all(belongs(name, "train", share) for name in Shards(tmp_path / "out").ids)


def test_a_set_without_a_held_out_part_keeps_its_hash():
    assert config_hash(PackSection().model_dump(mode="json")) == config_hash(
        {"codec": "original", "short_side_px": None, "shard_samples": 10_000, "max_quarantined_share": 0.05}
    )


@pytest.mark.parametrize("given", [{"part": "train"}, {"held_out": 0.1}])
def test_a_part_needs_its_share_and_the_other_way_round(given):
    with pytest.raises(ValueError, match="give both for a part, or neither"):
        PackSection(**given)


def test_a_list_of_files_is_read_from_where_it_lies(tmp_path):
    names = write_photos(tmp_path / "photos", 3)
    (tmp_path / "list.txt").write_text(
        "\n".join([f"photos/{names[2]}", "# not this", "", str(tmp_path / "photos" / names[0])])
    )
    pack(ImageList(str(tmp_path / "list.txt")), tmp_path / "out", **PACKING)
    assert Shards(tmp_path / "out").ids == [f"photos/{names[2]}", str(tmp_path / "photos" / names[0])]
    (tmp_path / "list.txt").write_text("# nothing\n")
    with pytest.raises(ValueError, match="names no image; write a path on each line"):
        ImageList(str(tmp_path / "list.txt")).fingerprint()
