"""Labels in Parquet files of every type that people's tools write."""

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files import packed, png, samples, source, write

from simmim.data.requirements import require_labels

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def written(path, labels, names=("cat", "dog"), images=None):
    """A file whose label column is this array; its settings."""
    if images is None:
        images = pa.array([{"bytes": png(n), "path": f"{n}.png"} for n in range(len(labels))], IMAGE)
    listed = list(names or ()) if isinstance(names, tuple | list | None) else names
    features = {"label": {"names": listed, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if names is not None else None
    pq.write_table(pa.table({"image": images, "label": labels}).replace_schema_metadata(metadata), path)
    return {"files": str(path)}


def labels_of(**settings):
    return [sample.label for sample in samples("hf_parquet", **settings)]


TEXT = ["dog", "cat", None, "dog"]
ARRAYS = {
    "text": pa.array(TEXT),
    "long text": pa.array(TEXT, pa.large_string()),
    "text as views": pa.array(TEXT, pa.string_view()),
    "categories": pa.array(TEXT).dictionary_encode(),
    "categories in another order": pa.DictionaryArray.from_arrays(pa.array([1, 0, None, 1]), pa.array(["cat", "dog"])),
    "whole numbers": pa.array([1, 0, None, 1], pa.int64()),
    "small numbers": pa.array([1, 0, -1, 1], pa.int8()),
    "unsigned": pa.array([1, 0, None, 1], pa.uint8()),
    "floats": pa.array([1.0, 0.0, math.nan, 1.0]),
    "small floats": pa.array([1.0, 0.0, None, 1.0], pa.float32()),
    "negative floats": pa.array([1.0, 0.0, -1.0, 1.0]),
    "numbers as categories": pa.array([1, 0, None, 1]).dictionary_encode(),
    "truths": pa.array([True, False, None, True]),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_labels_of_every_type(name, tmp_path):
    settings = written(tmp_path / "a.parquet", ARRAYS[name])
    assert labels_of(**settings) == [1, 0, None, 1]
    write(tmp_path / "names.txt", b"\xef\xbb\xbfdog\r\ncat\r\n")
    settings = written(tmp_path / "b.parquet", ARRAYS[name], None) | {"classes_file": str(tmp_path / "names.txt")}
    by_name = name.startswith(("text", "long", "categories"))
    assert labels_of(**settings) == ([0, 1, None, 0] if by_name else [1, 0, None, 1])
    shards, _ = packed(tmp_path, "hf_parquet", **settings)
    with pytest.raises(ValueError, match=r"1 of 4 images in .* have no label"):
        require_labels(shards)


def test_accented_names_in_either_form(tmp_path):
    settings = written(tmp_path / "a.parquet", pa.array(["cafe\u0301", "caf\u00e9"]), ["bar", "cafe\u0301"])
    assert labels_of(**settings) == [1, 1] and source("hf_parquet", **settings).classes() == ["bar", "caf\u00e9"]


FAULTS = {
    "label 'owl' is not in the class list": pa.array(["cat", "owl"]),
    "label 2 is not below the number of classes, 2": pa.array([1, 2]),
    "label 0.5 is not a whole number": pa.array([0.0, 0.5]),
    "label inf is not below the number of classes, 2": pa.array([0.0, math.inf]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_single_wrong_labels_are_quarantined(fault, tmp_path):
    shards, incidents = packed(tmp_path, "hf_parquet", **written(tmp_path / "a.parquet", FAULTS[fault]))
    assert len(shards) == 1 and [row["reason"] for row in incidents] == [fault]


REFUSED = {
    "list<": pa.array([[0], [1]]),
    "struct<": pa.array([{"a": 1}, {"a": 2}]),
    "date32": pa.array([1, 2], pa.date32()),
    "binary": pa.array([b"cat", b"dog"]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_columns_of_other_types_are_refused_in_one_line(kind, tmp_path):
    with pytest.raises(ValueError, match=f"column 'label' of .* is .*{kind}.*; labels must be whole numbers") as error:
        labels_of(**written(tmp_path / "a.parquet", REFUSED[kind]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("names", [None, ()])
@pytest.mark.parametrize("array", [pa.array(["cat", "dog"]), pa.array([0, 1])])
def test_without_class_names_one_line_says_both_ways_out(array, names, tmp_path):
    settings = written(tmp_path / "a.parquet", array, names)
    with pytest.raises(ValueError, match=r'does not name the classes .*; give classes_file, or label_column=""'):
        packed(tmp_path, "hf_parquet", **settings)


def test_an_absent_column_is_named_beside_those_there_are(tmp_path):
    settings = written(tmp_path / "a.parquet", pa.array([0, 1]))
    with pytest.raises(
        ValueError, match=r"a.parquet has no column 'labels', only \['image', 'label'\]; rename the one with"
    ):
        samples("hf_parquet", **settings, label_column="labels")


@pytest.mark.parametrize("name", ARRAYS)
def test_without_a_label_column_any_file_packs(name, tmp_path):
    shards, _ = packed(tmp_path, "hf_parquet", **written(tmp_path / "a.parquet", ARRAYS[name]), label_column="")
    assert len(shards) == 4 and shards.classes == [] and shards.labels.tolist() == [-1] * 4


@pytest.mark.parametrize("names", ["cat", {"0": "cat", "1": "dog"}, {"1": "dog", "0": "cat"}])
def test_class_names_that_are_no_list_are_none(names, tmp_path):
    with pytest.raises(ValueError, match="does not name the classes of column 'label'"):
        labels_of(**written(tmp_path / "a.parquet", pa.array([0, 1]), names))


def test_files_with_other_classes_are_not_read_as_one_set(tmp_path):
    written(tmp_path / "a.parquet", pa.array([0, 1]))
    written(tmp_path / "b.parquet", pa.array([0, 1]), None)
    assert labels_of(files=str(tmp_path / "*.parquet")) == [0, 1, 0, 1]
    written(tmp_path / "c.parquet", pa.array([0, 1]), ("dog", "cat"))
    with pytest.raises(ValueError, match=r"c.parquet names other classes in its schema than .*a.parquet: pack them"):
        labels_of(files=str(tmp_path / "*.parquet"))
    assert len(labels_of(files=str(tmp_path / "*.parquet"), label_column="")) == 6


@pytest.mark.parametrize("content", ["text", 3, [1, 2]])
def test_image_columns_without_bytes_are_refused_in_one_line(content, tmp_path):
    settings = written(tmp_path / "a.parquet", pa.array([0]), images=pa.array([{"bytes": content, "path": "1.png"}]))
    with pytest.raises(ValueError, match=r"column 'image' of .* is struct<bytes: .*, it must be a struct with bytes"):
        packed(tmp_path, "hf_parquet", **settings)
