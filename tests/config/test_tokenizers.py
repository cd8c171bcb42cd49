"""Which tokenizer a row gets: published weights take the place of our own where their file is there."""

from helpers.sheets import append, replace

from simmim.config.sheets import Sheets

FILES = {"igpt_512": "igpt_clusters.npy", "dalle_8192": "dalle_encoder.safetensors"}
ROWS = {"target_clusters_48": ("colours_512", "igpt_512"), "target_tokens": ("dvae_8192", "dalle_8192")}
ROWS["beit_vit_b"] = ROWS["target_tokens"]


def chosen(folder, scale="paper"):
    sheets = Sheets(folder)
    return {run: sheets.pretraining(scale, run).tokenizer.name for run in ROWS}


def test_published_weights_are_taken_where_their_file_is(folder, tmp_path):
    replace(folder / "config.yaml", "data_root: data", f"data_root: {tmp_path}")
    assert chosen(folder) == {run: own for run, (own, _) in ROWS.items()}
    (tmp_path / "tokenizers").mkdir()
    for name, file in FILES.items():
        (tmp_path / "tokenizers" / file).touch()
        assert name in chosen(folder).values()
    assert chosen(folder) == {run: published for run, (_, published) in ROWS.items()}
    assert chosen(folder, "smoke") == {run: own for run, (own, _) in ROWS.items()}, "smoke makes them in its own way"


def test_a_row_that_gets_published_weights_is_the_row_that_names_them(folder, tmp_path):
    replace(folder / "config.yaml", "data_root: data", f"data_root: {tmp_path}")
    target = "target=tokens target.tokenizer=igpt_512 target.resolution_px=48 loss.name=cross_entropy"
    append(folder / "pretrain.tsv", "named", "swin_b_100ep", target)
    (tmp_path / "tokenizers").mkdir()
    (tmp_path / "tokenizers" / FILES["igpt_512"]).touch()
    sheets = Sheets(folder)
    named, found = (sheets.pretraining("paper", run).as_json() | {"run": ""} for run in ("named", "target_clusters_48"))
    assert named == found
