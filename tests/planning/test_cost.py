"""Images, FLOPs, hours, memory and disk of jobs."""

import json

import pytest
from sheets import CONFIG, copied, evaluations, trainings

from simmim.config.sheets import Sheets
from simmim.data.index import FORMAT, index_sha256
from simmim.jobs import Jobs
from simmim.planning.cost import Costs
from simmim.planning.data import data_size
from simmim.planning.gpus import machine
from simmim.planning.jobs import groups_of
from simmim.planning.pretraining_network import pretraining_network

SHEETS = Sheets(CONFIG)
A100 = machine("A100", 0.35, 8)


def costs_of(results, *needs, sheets=SHEETS, scale="paper", on=A100):
    """Costs of pre-trainings (their run) and evaluations (run, evaluation), and what computes them."""
    jobs = Jobs(sheets, str(results))
    costs = Costs(jobs, scale, on)
    files = []
    for need in needs:
        files += evaluations(jobs, scale, *need) if len(need) > 1 else trainings(jobs, scale, *need)
    return [costs.of(group) for group in groups_of(files, jobs)], costs


def pack(results, scale, dataset, split, samples, classes):
    index = Jobs(SHEETS, str(results)).job("pack", scale=scale, dataset=dataset, split=split).output("index")
    index.parent.mkdir(parents=True)
    made = {"format": FORMAT, "samples": samples, "classes": [f"c{n}" for n in range(classes)]}
    index.write_text(json.dumps(made | {"index_sha256": index_sha256(made)}))
    index.with_name("shard-00000.parquet").write_bytes(b"x" * 1000)


def test_the_hours_of_swin_b_by_hand(tmp_path):
    """100 epochs of ImageNet-1K at 22.78 GFLOP a forward pass, on an A100 at 35 % of 312 TFLOP/s."""
    (cost,), costs = costs_of(tmp_path, ("default",))
    assert cost.images == 62_557 * 2048  # 100 epochs of 1,281,167 images in whole batches
    assert cost.flops == pytest.approx(128.1e6 * 3 * 22.78e9 + 50_000 * 22.78e9, rel=0.001)
    assert costs.gpu_hours(cost.flops) == pytest.approx(128.1e6 * 3 * 22.78e9 / (0.35 * 312e12) / 3600, rel=0.001)
    assert costs.gpu_hours(cost.flops) == pytest.approx(22.3, abs=0.05)


def test_the_memory_of_swin_b_by_hand(tmp_path):
    """89.9 M parameters of 18 bytes (gradients are exchanged where they lie), 128 images of 103 MB under autocast."""
    (cost,), _ = costs_of(tmp_path, ("default",))
    assert cost.memory_bytes == pytest.approx(89.9e6 * 18 + 128 * 103.4e6, rel=0.002)
    assert cost.fitting_micro_batch == 128
    assert cost.disk_bytes == 4 * 89_874_104  # encoder and head
    assert cost.checkpoint_bytes == 3 * 12 * 89_874_104


def test_a_fine_tuning_leaves_an_encoder_and_a_segmentation_does_not(tmp_path):
    costs, _ = costs_of(tmp_path, ("default", "segment"))
    assert [cost.disk_bytes for cost in costs] == [4 * 89_874_104, 4 * 86_725_304, 0]


def test_sharded_training_shares_out_the_weights(tmp_path):
    rows = [
        f"{name} | swin_b_100ep | train.micro_batch=1 train.sharded={value}"
        for name, value in (("whole", "false"), ("shared", "true"))
    ]
    sheets = copied(tmp_path / "config", *rows)
    (whole, shared), _ = costs_of(tmp_path, ("whole",), ("shared",), sheets=sheets)
    block = pretraining_network(SHEETS.pretraining("paper", "default"), "bf16").encoder.block_parameters
    assert 12 * 1024**2 < block < 13 * 1024**2  # of the last stage
    spared = 89_874_104 * 16 * 7 / 8  # but three blocks are whole
    assert whole.memory_bytes - shared.memory_bytes == pytest.approx(spared - 3 * 4 * block)


def test_a_micro_batch_is_no_larger_than_a_gpu_s_share(tmp_path):
    (one,), _ = costs_of(tmp_path, ("default",), on=machine("A100", 0.35, 16))
    (many,), _ = costs_of(tmp_path, ("default",), on=machine("A100", 0.35, 32))
    assert many.memory_bytes < one.memory_bytes


def test_a_loss_over_a_whole_batch_costs_a_forward_pass_more_where_that_comes_in_micro_batches(tmp_path):
    pytest.importorskip("lightly", reason="needs the extra `methods`: pip install 'simmim[methods]'")
    (in_parts,), _ = costs_of(tmp_path, ("moco_v3_vit_b",))  # 512 images of a GPU in micro-batches of 128
    (whole,), _ = costs_of(tmp_path, ("moco_v3_vit_b",), on=machine("A100", 0.35, 32))
    network = pretraining_network(SHEETS.pretraining("paper", "moco_v3_vit_b"))
    assert in_parts.flops - whole.flops == pytest.approx(whole.images * network.forward_flops)


def test_two_lengths_that_share_a_first_stage_cost_no_epoch_twice(tmp_path):
    rows = (
        "short | with_steps | ",
        "long | with_steps | train.epochs=300 init.run=short",
        "alone | with_steps | train.epochs=300",
    )
    sheets = copied(tmp_path / "config", *rows)
    shared, _ = costs_of(tmp_path, ("short",), ("long",), sheets=sheets)
    alone, _ = costs_of(tmp_path, ("alone",), sheets=sheets)
    stage, rest, *long = (cost.images for cost in shared)
    assert stage + sum(long) == sum(cost.images for cost in alone) == 187_671 * 2048
    assert stage + rest == 62_557 * 2048
    assert stage == pytest.approx(0.9 * 62_557 * 2048, rel=0.01)


def test_frozen_features_are_one_pass_an_image(tmp_path):
    (_, features, probe), _ = costs_of(tmp_path, ("default",), ("default", "probe"))
    assert features.images == 1_281_167 + 50_000
    assert features.flops == pytest.approx(1_331_167 * 22.55e9, rel=0.001)
    assert features.disk_bytes == 1_331_167 * 12_032 * 2  # images, all blocks' widths, float16
    assert probe.flops == pytest.approx(6 * 12_032 * 1000 * 100 * 0.9 * 1_281_167, rel=0.001)
    assert features.memory_bytes < 5e9 and features.checkpoint_bytes == 0
    (*_, knn), _ = costs_of(tmp_path, ("default",), ("default", "knn"))
    assert (knn.images, knn.flops) == (0, 0) and knn.memory_bytes < 2e9


def test_a_mechanism_is_one_pass_of_the_images_that_it_draws(tmp_path):
    (*_, cost), _ = costs_of(tmp_path, ("default",), ("default", "mechanism"))
    assert cost.images == 500 and cost.flops == pytest.approx(500 * 22.55e9, rel=0.001)
    assert 4 * 86_725_304 < cost.memory_bytes < 1e9
    assert cost.checkpoint_bytes == cost.disk_bytes == 0 and cost.fitting_micro_batch is None
    pack(tmp_path, "smoke", "earth_climate", "train", 20, 5)
    pack(tmp_path, "smoke", "earth_climate", "val", 30, 5)
    assert costs_of(tmp_path, ("default", "mechanism"), scale="smoke")[0][-1].images == 30


def test_an_attentive_probe_holds_its_encoder_and_passes_every_image_through_it(tmp_path):
    (*_, cost), _ = costs_of(tmp_path, ("default",), ("default", "attentive"))
    passes = cost.images + 50_000
    assert passes * 22.55e9 < cost.flops < passes * 22.55e9 * 1.03  # and the little that is trained
    assert 4 * 86_725_304 < cost.memory_bytes < 4 * 86_725_304 + 1e9
    assert cost.parameters < 10e6


def test_data_that_are_not_made_yet_leave_the_work_open(tmp_path):
    needs = ("default",), ("default", "finetune")
    costs, _ = costs_of(tmp_path, *needs, scale="smoke")
    assert len(costs) == len(needs)
    for cost in costs:
        assert cost.images is cost.flops is None
        assert cost.parameters > 1000


def test_packed_data_count_as_they_are(tmp_path):
    pack(tmp_path, "smoke", "earth_tiles", "train", 40, 0)
    pack(tmp_path, "smoke", "earth_tiles", "val", 8, 0)
    pack(tmp_path, "smoke", "earth_climate", "train", 900, 5)
    pack(tmp_path, "smoke", "earth_climate", "val", 30, 5)
    pack(tmp_path, "smoke", "earth_climate_v2", "val", 30, 5)
    needs = ("default",), ("default", "finetune")
    (training, finetuning), _ = costs_of(tmp_path, *needs, scale="smoke")
    assert training.images == 5 * 16  # two epochs of 40 in batches of 16
    network = pretraining_network(SHEETS.pretraining("smoke", "default"))
    assert training.flops == 80 * network.train_flops + 8 * network.score_flops
    assert finetuning.images == 3 * 2 * 8  # three seeds, an epoch of 4 labels in each of 5 classes, batches of 8
    size = data_size(Jobs(SHEETS, str(tmp_path)), "smoke", "earth_climate", "train")
    assert (size.samples, size.classes, size.shard_bytes, size.packed) == (900, 5, 1000, True)


def test_published_sizes_stand_in_until_data_are_packed(tmp_path):
    def size(dataset, split):
        return data_size(Jobs(SHEETS, str(tmp_path)), "paper", dataset, split)

    assert (size("imagenet", "train").samples, size("imagenet", "train").classes) == (1_281_167, 1000)
    assert size("imagenet", "train").shard_bytes == pytest.approx(43e9, rel=0.01)  # JPEG at a short side of 256 px
    assert size("coco", "train").shard_bytes == 19.3e9  # as they are
    assert not size("coco", "train").packed


def test_a_large_input_adds_the_unreduced_set_to_the_plan(tmp_path):
    jobs = Jobs(SHEETS, str(tmp_path))

    def read_for(*names):
        groups = groups_of(evaluations(jobs, "paper", "swin_v2_h_800ep", *names), jobs)
        return {(data.dataset, data.split) for group in groups for data in group.config.data.values()}

    (more,) = read_for("finetune", "finetune_512") - read_for("finetune")
    assert more == ("imagenet_full", "train")
    assert data_size(jobs, "paper", *more).shard_bytes == 147.9e9  # as it is published


def test_smaller_images_take_less_room(tmp_path):
    sheet = copied(tmp_path / "config").folder / "datasets.tsv"
    text = sheet.read_text()
    assert "pack.short_side_px=256" in text
    sheet.write_text(text.replace("pack.short_side_px=256", "pack.short_side_px=128"))
    small = data_size(Jobs(Sheets(sheet.parent), str(tmp_path)), "paper", "imagenet", "train")
    large = data_size(Jobs(SHEETS, str(tmp_path)), "paper", "imagenet", "train")
    assert small.shard_bytes == large.shard_bytes / 4


@pytest.mark.parametrize(
    ("name", "utilisation", "gpus", "message"),
    [
        ("A10", 0.3, 8, "unknown GPU 'A10'; did you mean 'A100'"),
        ("A100", 1.5, 8, "utilisation 1.5 must lie above 0 and be at most 1"),
        ("A100", 0, 8, "utilisation 0 must"),
        ("A100", 0.3, 0, "gpus 0 must be at least 1"),
    ],
)
def test_an_impossible_machine_is_named(name, utilisation, gpus, message):
    with pytest.raises(ValueError, match=message):
        machine(name, utilisation, gpus)
