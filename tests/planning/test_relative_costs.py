"""What pre-trainings of Table 6 cost by multiply-adds, relative to SimMIM: the notes of paper.tsv say it."""

import re

import pytest
from helpers.sheets import CONFIG

from simmim.config.sheets import Sheets
from simmim.planning.pretraining_network import pretraining_network

SHEETS = Sheets(CONFIG)
NOTES = {cell.run: cell.note for key, cell in SHEETS.paper.items() if key[0] == "table6" and cell.against}


def cost(run, tokenizer=""):
    """FLOPs of a whole pre-training on ImageNet's images, but for their number."""
    config = SHEETS.pretraining("paper", run)
    if tokenizer:
        config = config.model_copy(update={"tokenizer": SHEETS.tokenizer("paper", tokenizer)})
    return config.train.epochs * pretraining_network(config).train_flops


@pytest.mark.parametrize(
    "run", [pytest.param("dino_vit_b", marks=pytest.mark.slow), "moco_v3_vit_b", "mpp_vit_b", "beit_vit_b"]
)
def test_the_notes_say_what_the_networks_cost(run):
    tokenizers = ("dvae_8192", "dalle_8192") if run == "beit_vit_b" else ("",)
    said = re.findall(r"(\d[.]\d+)x", NOTES[run])
    found = [cost(run, tokenizer) / cost("vit_b_800ep") for tokenizer in tokenizers]
    assert said == [f"{each:.{len(text) - 2}f}" for each, text in zip(found, said, strict=True)]
