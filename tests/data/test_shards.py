"""Packed data sets: what goes in comes out, and nothing that was changed, lost or half-written passes."""

import io
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from simmim import plugin
from simmim.data import packing, shard_files
from simmim.data.samples import RawSample
from simmim.data.shards import Shards, pack
from simmim.storage.files import sha256_bytes

SOURCES = plugin.names("data.sources")


def png(seed, size=(12, 10)):
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(content, "PNG")
    return content.getvalue()


@dataclass
class Made:
    """A source of samples made by hand; `stop_after` kills the process in the middle."""

    made: list
    names: list = field(default_factory=lambda: ["cat", "dog", "owl"])
    stop_after: int = 10**9

    def classes(self):
        return self.names

    def fingerprint(self):
        return sha256_bytes(repr(self.made).encode())

    def samples(self):
        for number, sample in enumerate(self.made):
            if number == self.stop_after:
                os.kill(os.getpid(), signal.SIGKILL)
            yield sample


def labelled(count=10):
    return [RawSample(f"class/{n}.png", png(n), n % 3, origin=f"/somewhere/{n}.png") for n in range(count)]


def annotated(count=4):
    return [RawSample(f"{n}.png", png(n), None, f'[{{"id": {n}}}]'.encode(), (12, 10)) for n in range(count)]


def packed(folder, samples, codec="original", shard_samples=4, short_side_px=None, **options):
    source = samples if isinstance(samples, Made) else Made(samples)
    pack(source, folder, codec=codec, shard_samples=shard_samples, short_side_px=short_side_px, **options)
    return folder


def flip(path, position, bit=0):
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def table(folder):
    return pq.read_table(folder / "quarantine.parquet", partitioning=None).to_pylist()


def test_what_goes_in_comes_out(tmp_path):
    samples = labelled()
    shards = Shards(packed(tmp_path, samples))
    assert len(shards) == 10 and shards.classes == ["cat", "dog", "owl"]
    assert shards.ids == [sample.id for sample in samples]
    assert shards.labels.dtype == np.int64 and shards.labels.tolist() == [n % 3 for n in range(10)]
    assert shards.sizes.dtype == np.int32 and shards.sizes.tolist() == [[12, 10]] * 10
    for i in (9, 0, 5, 4, 0):
        assert shards.image_bytes(i) == samples[i].image and shards.annotation(i) is None
    assert sorted(path.name for path in tmp_path.glob("shard*")) == [f"shard-0000{n}.parquet" for n in range(3)]
    shards.verify()


def test_any_parquet_reader_opens_a_shard(tmp_path):
    packed(tmp_path, annotated())
    rows = pq.read_table(tmp_path / "shard-00000.parquet", page_checksum_verification=True).to_pylist()
    assert list(rows[0]) == ["sample_id", "image", "sha256", "label", "height", "width", "annotation"]
    for row, sample in zip(rows, annotated(), strict=True):
        assert (row["image"], row["annotation"], row["label"]) == (sample.image, sample.annotation, None)
        assert row["sha256"] == sha256_bytes(sample.image + sample.annotation)


def test_annotations_come_out(tmp_path):
    shards = Shards(packed(tmp_path, annotated()))
    assert [shards.annotation(i) for i in range(4)] == [sample.annotation for sample in annotated()]
    assert shards.labels.tolist() == [-1] * 4


def test_an_annotation_is_read_and_verified_without_its_image(tmp_path, monkeypatch):
    """COCO's images are 19 GB; what stands in them is 0.5 GB."""
    packed(tmp_path, [*annotated(), RawSample("bare.png", png(9))], shard_samples=3)
    path = tmp_path / "shard-00000.parquet"
    flip(path, path.read_bytes().index(annotated()[2].image) + 30)
    shards, lengths = Shards(tmp_path), []
    monkeypatch.setattr(
        os,
        "preadv",
        lambda file, into, offset, read=os.preadv: lengths.append(len(into[0])) or read(file, into, offset),
    )
    assert [shards.annotation(i) for i in range(5)] == [*(sample.annotation for sample in annotated()), None]
    assert lengths == [len(sample.annotation) for sample in annotated()]
    with pytest.raises(ValueError, match=r"row 2, sample '2\.png'"):
        shards.sample(2)


def test_a_set_of_an_earlier_format_says_what_to_do(tmp_path):
    index = packed(tmp_path, labelled()) / "index.json"
    index.write_text(index.read_text().replace('"format": 3', '"format": 2'))
    with pytest.raises(
        ValueError, match=f"index.json has format 2, this version reads format 3; delete {tmp_path} and pack"
    ):
        Shards(tmp_path)


def test_more_samples_than_a_row_group(tmp_path):
    samples = labelled(150)
    shards = Shards(packed(tmp_path, samples, shard_samples=140))
    assert [shards.image_bytes(i) for i in range(150)] == [sample.image for sample in samples]


def test_equal_images_keep_their_own_places(tmp_path):
    samples = [RawSample(str(n), png(0), None, b"[]") for n in range(70)]
    shards = Shards(packed(tmp_path, samples, shard_samples=70))
    offsets = shards._rows["image_offset"].tolist()
    assert len(set(offsets)) == 70 and shards.sample(69) == (png(0), b"[]")


def test_workers_get_their_own_reader(tmp_path):
    shards = Shards(packed(tmp_path, labelled()))
    shards.image_bytes(3)
    assert pickle.loads(pickle.dumps(shards)).image_bytes(3) == png(3)


def test_the_digest_says_what_is_in_it(tmp_path):
    def digest(name, samples, **options):
        return Shards(packed(tmp_path / name, samples, **options)).digest

    first = digest("a", labelled())
    assert first == digest("b", labelled(), shard_samples=7)
    relabelled = [*labelled()[:-1], RawSample("class/9.png", png(9), 1)]
    others = {digest("c", relabelled), digest("d", labelled()[::-1]), digest("e", Made(labelled(), ["a", "b", "c"]))}
    assert len(others | {first, digest("f", labelled(9))}) == 5


def test_packing_twice_gives_the_same_files(tmp_path):
    one, two = packed(tmp_path / "one", labelled()), packed(tmp_path / "two", labelled())
    for path in one.glob("*.parquet"):
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_bad_images_are_listed_and_left_out(tmp_path):
    samples = [*labelled(8), RawSample("empty", b"", origin="/e"), RawSample("gone", b"", fault="file is missing")]
    odd = RawSample("odd.jpg", png(3), 0, origin="/odd.jpg")
    shards = Shards(packed(tmp_path, [*samples, odd], max_quarantined_share=0.2))
    assert len(shards) == 9 and shards.ids[-1] == "odd.jpg"
    assert table(tmp_path) == [
        {"sample_id": "empty", "action": "quarantined", "reason": "zero bytes", "source": "/e"},
        {"sample_id": "gone", "action": "quarantined", "reason": "file is missing", "source": ""},
        {"sample_id": "odd.jpg", "action": "converted", "reason": "PNG named .jpg", "source": "/odd.jpg"},
    ]


def test_the_quarantine_table_is_there_when_it_is_empty(tmp_path):
    packed(tmp_path, labelled())
    assert pq.read_schema(tmp_path / "quarantine.parquet").names == ["sample_id", "action", "reason", "source"]
    assert table(tmp_path) == []


def test_too_many_bad_images_are_an_error(tmp_path):
    samples = [*labelled(8), RawSample("x", b""), RawSample("y", b"")]
    with pytest.raises(ValueError, match=r"2 of 10 samples are unusable.*'x': zero bytes.*quarantine.parquet"):
        packed(tmp_path, samples, max_quarantined_share=0.19)
    assert len(table(tmp_path)) == 2
    with pytest.raises(ValueError, match="has no index"):
        Shards(tmp_path)
    with pytest.raises(ValueError, match="2 of 2 samples"):
        packed(tmp_path, samples[8:], max_quarantined_share=1.0)


def test_an_image_of_another_size_than_its_annotation_is_quarantined(tmp_path):
    wrong = RawSample("wrong", png(0, (10, 12)), None, b"[]", (12, 10))
    packed(tmp_path, [*annotated(), wrong], max_quarantined_share=0.5)
    assert table(tmp_path)[0]["sample_id"] == "wrong" and "(12, 10)" in table(tmp_path)[0]["reason"]


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        (labelled() + labelled(1), {}, "'class/0.png' comes twice"),
        (annotated(), {"codec": "png", "short_side_px": 8}, "would resize '0.png', not its annotation"),
        (labelled(), {"short_side_px": 8}, "needs codec=jpeg, png or rgb8"),
        (labelled(), {"codec": "jpg"}, "unknown codec 'jpg'; did you mean 'jpeg'"),
        (labelled(), {"shard_samples": 0}, "shard_samples must be at least 1, not 0"),
        (labelled(), {"codec": "png", "short_side_px": 0}, "short_side_px must be at least 1 or null, not 0"),
        (labelled(), {"max_quarantined_share": 5}, "between 0 and 1, not 5"),
        ([], {}, "no samples"),
    ],
)
def test_unusable_input_is_named(tmp_path, samples, options, message):
    with pytest.raises(ValueError, match=message):
        packed(tmp_path, samples, **options)
    assert not (tmp_path / "index.json").exists()


def run_and_die(action):
    process = multiprocessing.get_context("fork").Process(target=action)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(("stop_after", "half_written"), [(0, 0), (3, 1), (7, 1), (8, 0)])
def test_a_killed_pack_leaves_nothing_that_reads(tmp_path, monkeypatch, stop_after, half_written):
    monkeypatch.setattr(shard_files, "_ROW_GROUP", 2)
    monkeypatch.setattr(packing, "_CHUNK", 1)
    good = Shards(packed(tmp_path / "good", labelled())).digest
    folder = packed(tmp_path / "set", labelled(6))
    run_and_die(lambda: packed(folder, Made(labelled(), stop_after=stop_after)))
    assert len(list(folder.glob(".*.part"))) == half_written
    with pytest.raises(ValueError, match="has no index"):
        Shards(folder)
    shards = Shards(packed(folder, labelled()))
    shards.verify()
    assert shards.digest == good
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in (tmp_path / "good").iterdir())


@pytest.mark.parametrize("last", ["write_parquet", "write_text"])
def test_killed_before_the_index(tmp_path, monkeypatch, last):
    monkeypatch.setattr(packing, last, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    run_and_die(lambda: packed(tmp_path, labelled()))
    with pytest.raises(ValueError, match="has no index"):
        Shards(tmp_path)


def test_a_flipped_bit_in_an_image_names_shard_row_and_sample(tmp_path):
    packed(tmp_path, labelled())
    path = tmp_path / "shard-00001.parquet"
    flip(path, path.read_bytes().index(labelled()[6].image) + 30)
    shards = Shards(tmp_path)
    assert shards.image_bytes(5) == labelled()[5].image
    with pytest.raises(ValueError, match=r"shard-00001.parquet, row 2, sample 'class/6.png'"):
        shards.image_bytes(6)


def test_a_flipped_bit_in_an_annotation_is_noticed(tmp_path):
    packed(tmp_path, annotated())
    path = tmp_path / "shard-00000.parquet"
    flip(path, path.read_bytes().index(annotated()[2].annotation) + 8)
    for read in (Shards(tmp_path).annotation, Shards(tmp_path).image_bytes):
        with pytest.raises(ValueError, match=r"row 2, sample '2\.png'"):
            read(2)


@pytest.mark.parametrize("name", ["shard-00000.parquet", "samples.parquet", "index.json", "quarantine.parquet"])
def test_a_flipped_bit_anywhere_never_gives_wrong_data(tmp_path, name):
    packed(tmp_path, labelled(4))
    path, whole = tmp_path / name, (tmp_path / name).read_bytes()
    wanted = [(sample.image, None) for sample in labelled(4)], ["cat", "dog", "owl"], [0, 1, 2, 0]
    for position in range(0, len(whole), max(1, len(whole) // 150)):
        flip(path, position, bit=position % 8)
        try:
            shards = Shards(tmp_path)
            assert ([shards.sample(i) for i in range(4)], shards.classes, shards.labels.tolist()) == wanted
        except ValueError as error:
            assert str(tmp_path) in str(error)
        with pytest.raises(ValueError, match="pack again"):
            Shards(tmp_path).verify()
        path.write_bytes(whole)


def swap(folder):
    one, two = folder / "shard-00000.parquet", folder / "shard-00001.parquet"
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "shard-00001.parquet").unlink(), "shard-00001.parquet is missing"),
        (lambda folder: os.truncate(folder / "shard-00001.parquet", 100), "has 100 bytes, it was packed with"),
        (lambda folder: (folder / "samples.parquet").unlink(), "samples.parquet is missing"),
        (lambda folder: (folder / "index.json").unlink(), "no index.json"),
        (
            lambda folder: (folder / "index.json").write_text("{"),
            "index.json is not the index of a packed data set, or is damaged",
        ),
        (lambda folder: (folder / "index.json").write_text('{"format": 99}'), "format 99"),
        (swap, "the bytes are not those that were packed|it was packed with"),
    ],
)
def test_missing_and_mixed_up_files_are_named(tmp_path, damage, message):
    packed(tmp_path, labelled(8))
    damage(tmp_path)
    with pytest.raises(ValueError, match=message):
        Shards(tmp_path).verify()


def test_an_index_of_another_set_is_refused(tmp_path):
    one, two = packed(tmp_path / "one", labelled()), packed(tmp_path / "two", labelled()[::-1])
    (one / "index.json").write_bytes((two / "index.json").read_bytes())
    with pytest.raises(ValueError, match="pack again"):
        Shards(one).verify()


def test_truncated_while_open(tmp_path):
    shards = Shards(packed(tmp_path, labelled()))
    os.truncate(tmp_path / "shard-00002.parquet", 60)
    with pytest.raises(ValueError, match="shard-00002"):
        shards.image_bytes(9)


def test_outside_the_set(tmp_path):
    shards = Shards(packed(tmp_path, labelled()))
    for i in (-1, 10):
        with pytest.raises(IndexError, match="of 10"):
            shards.image_bytes(i)


def test_the_index_describes_the_set(tmp_path):
    packed(tmp_path, labelled(), codec="jpeg", short_side_px=8)
    index = json.loads((tmp_path / "index.json").read_text())
    assert (index["samples"], index["labelled"], index["codec"], index["short_side_px"]) == (10, 10, "jpeg", 8)
    assert Shards(tmp_path).sizes.tolist() == [[10, 8]] * 10


def test_packing_and_reading_do_not_import_torch():
    modules = "simmim.data.shards, simmim.demo_data, " + ", ".join(f"simmim.data.sources.{name}" for name in SOURCES)
    command = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], timeout=120).returncode == 0
