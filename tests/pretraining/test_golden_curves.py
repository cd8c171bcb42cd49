"""Ten steps of pre-training per encoder and method against stored curves: the alarm for `NUMERICS["pretrain"]`.

`python tests/pretraining/test_golden_curves.py` writes the curves anew; do that for a wanted change of numbers only,
raise `NUMERICS["pretrain"]` with it, and name the reason in the commit.
"""

import json
import platform
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for a start outside pytest

import numpy as np
import pytest
import torch
from helpers.pretraining import ALONE, METHODS, VIT, packed, pretrain_config

from simmim import plugin
from simmim.pretraining.run import pretrain
from simmim.storage import records
from simmim.train.processes import Processes

CURVES = Path(__file__).parents[1] / "golden" / "curves"
ENCODERS = {
    "swin": {"depths": [1, 2], "embed_dim": 8, "num_heads": [1, 2], "window": 4, "drop_path": 0.1},
    "swin_v2": {"depths": [1, 2], "embed_dim": 8, "num_heads": [1, 2], "window": 4, "main_norm_every": 2},
    "vit": {key: value for key, value in VIT.items() if key != "name"} | {"drop_path": 0.1},
    "resnet": {"stem_width": 4, "depths": [1, 1], "width_factor": 1},
}
# Every encoder with SimMIM, and every other method. The loss is in pixels, bins or local contrast: each target once.
SECTIONS = {
    "simmim_swin": {},
    "simmim_swin_v2": {
        "target": {"name": "normalised_pixels", "window_px": 5},
        "loss": {"name": "smooth_l1"},
        "head": {"name": "mlp"},
    },
    "simmim_vit": {
        "target": {"name": "bins", "resolution_px": 8},
        "loss": {"name": "cross_entropy"},
        "mask": {"name": "block"},
    },
    "simmim_resnet": {"loss": {"name": "l2", "area": "full"}, "mask": {"name": "square", "ratio": 0.2}},
    "dino_vit": {},
    "moco_v3_vit": {},
}
TRAIN = {"epochs": 5, "warmup_epochs": 1, "base_lr": 1e-3, "micro_batch": 4, "log_every_steps": 1, "weight_decay": 0.05}

# Kernels for another CPU add up in another order: a float32 sum of some thousand terms moves by up to 1e-6 of itself,
# and so does the first loss. AdamW divides a gradient by its own size, so where one is near zero its rounding error
# becomes a step of the size of the learning rate, and later losses drift; batch normalisation over 4 images (MoCo v3)
# amplifies it most. Measured over kernels of ATen (`default`, AVX2), MKL and oneDNN (down to SSE4): 2e-6 at the
# first step and 2e-5 at the ninth with MoCo v3, 2e-6 with DINO, 2e-7 with SimMIM. Allowed is five to ten times the
# largest.
FIRST, LAST = 1e-5, 2e-4


def squares(number: int) -> np.ndarray:
    """Squares of 8 pixels in random colours, uint8 [32, 48, 3]."""
    colours = np.random.default_rng(number).integers(256, size=(4, 6, 3), dtype=np.uint8)
    return colours.repeat(8, 0).repeat(8, 1)


def curve(name: str, folder: Path, processes: Processes = ALONE, **encoder_settings: object) -> dict:
    """Losses of ten steps, and the validation losses after them."""
    method, encoder = next((m, name.removeprefix(f"{m}_")) for m in plugin.names("methods") if name.startswith(f"{m}_"))
    encoder_section = {"name": encoder} | ENCODERS[encoder] | encoder_settings
    config = pretrain_config(method, encoder=encoder_section, train=TRAIN, **SECTIONS[name])
    pretrain(config, 0, packed(folder, squares), folder / "run", processes)
    rows = records.read([folder / "run" / "train.parquet"])
    validation = rows[rows["metric"].str.startswith("validation_")]
    return {
        "losses": rows[rows["metric"] == "loss"].sort_values("step")["value"].tolist(),
        "validation": dict(zip(validation["metric"], validation["value"])),
    }


@pytest.mark.parametrize("name", SECTIONS)
def test_ten_steps_give_the_stored_losses(name, tmp_path):
    if name.split("_")[0] in ("dino", "moco"):
        pytest.importorskip("lightly", reason="needs the extra `methods`: pip install 'simmim[methods]'")
    stored, found = json.loads((CURVES / f"pretrain_{name}.json").read_text()), curve(name, tmp_path)
    assert len(found["losses"]) == len(stored["losses"]) == 10
    for step, (loss, expected) in enumerate(zip(found["losses"], stored["losses"])):
        assert loss == pytest.approx(expected, rel=FIRST * (LAST / FIRST) ** (step / 9)), f"step {step + 1}"
    assert found["validation"] == pytest.approx(stored["validation"], rel=LAST)


def test_every_encoder_and_method_has_a_curve():
    assert {f"simmim_{encoder}" for encoder in ENCODERS} <= SECTIONS.keys()
    assert {*METHODS, "simmim"} == {name.rpartition("_")[0].removesuffix("_swin") for name in SECTIONS}


def main() -> None:
    """Write all curves with where they come from."""
    torch.set_num_threads(1)
    made_by = {
        "made_by": "tests/pretraining/test_golden_curves.py",
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "precision": "fp32",
        "threads": 1,
    }
    for name in SECTIONS:
        with tempfile.TemporaryDirectory() as folder:
            found = {"provenance": made_by} | curve(name, Path(folder))
        (CURVES / f"pretrain_{name}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
