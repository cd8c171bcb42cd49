"""Own images of n bands by the same commands: nothing is set by hand."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.band_files import npy, scene, tiff, write

from simmim.__main__ import main
from simmim.config.reading import read_yaml
from simmim.storage.encoder_file import load_encoder

QUICK = ["--model", "swin_micro", "--image-px", "32x64", "--steps", "3", "--batch", "8"]


@pytest.mark.parametrize(("encode", "suffix", "bands", "bits"), [(tiff, "tif", 4, 8), (npy, "npy", 13, 16)])
def test_from_files_to_features(tmp_path, monkeypatch, capsys, encode, suffix, bands, bits):
    monkeypatch.chdir(tmp_path)
    scenes = {f"{'ab'[n % 2]}/{n}.{suffix}": encode(scene(n, bands, bits, (40, 72))) for n in range(20)}
    write(tmp_path / "scenes", scenes)
    assert main(["pretrain", "--data", "scenes", "--out", "mine", *QUICK]) == 0
    assert f"{bands} bands of {bits} bits, all kept" in capsys.readouterr().out
    assert load_encoder(tmp_path / "mine" / "encoder.safetensors")[1]["in_channels"] == bands
    assert (tmp_path / "mine" / "gallery.png").is_file()
    recipe = read_yaml(tmp_path / "mine" / "config" / "recipes" / "mine.yaml")
    assert recipe["images"] == {"crop_scale": [0.67, 1.0], "channels": bands, "mean": "measured"}
    assert main(["finetune", "--data", "scenes", "--encoder", "mine", "--out", "tuned", "--epochs", "1"]) == 0
    assert np.isfinite(json.loads((tmp_path / "tuned" / "result.json").read_text())["numbers"]["top1"])
    assert main(["embed", "--data", "scenes", "--encoder", "mine", "--out", "features.parquet"]) == 0
    vectors = np.stack(pq.read_table(tmp_path / "features.parquet")["vector"].to_pylist())
    assert len(vectors) == 20 and len({*map(bytes, vectors)}) == 20
    assert main(["reconstruct", "--data", "scenes", "--encoder", "mine", "--out", "seen.png"]) == 0
    assert main(["export", "--encoder", "mine", "--to", "torch-export", "--out", "taken"]) == 0


def test_other_bands_than_the_encoder_s_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for bands in (4, 5):
        files = {f"{'ab'[n % 2]}/{n}.tif": tiff(scene(n, bands, 8, (40, 72))) for n in range(12)}
        write(tmp_path / f"scenes{bands}", files)
    assert main(["pretrain", "--data", "scenes4", "--out", "mine", *QUICK]) == 0
    capsys.readouterr()
    assert main(["finetune", "--data", "scenes5", "--encoder", "mine", "--out", "tuned"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "4" in said and "5" in said
    assert main(["embed", "--data", "scenes5", "--encoder", "mine", "--out", "features.parquet"]) == 2
    assert "5 x 40 x 72 values of type uint8, where 4 bands of 8 bits should be" in capsys.readouterr().err
