# ruff: noqa: E501 - a table
"""Whatever a user gets wrong in `config/` is one line with file, row, key and nearest choice, before any job starts.

Each case edits one file of a copy of `config/`: text appended to it, or `old -> new`. The smoke scale is then resolved as
Snakemake does while it parses, which imports no torch.
"""

import contextlib
from pathlib import Path

import pytest
from helpers.sheets import CONFIG

from simmim.config.errors import DoesNotFit
from simmim.config.reading import read_yaml
from simmim.config.sheets import Sheets
from simmim.jobs import Jobs

ROW, EVALUATION = "odd\tswin_b_100ep\t{}\n", "default\todd\tfinetune_swin_b\t{}\n"
DATA = "odd\ttrain\t{}\t\t{}\n"
KNN, SWIN, FINETUNE = "recipes/knn.yaml", "recipes/swin_b_100ep.yaml", "recipes/finetune_swin_b.yaml"

MISTAKES = [
    # sheets as such
    (
        "pretrain.tsv",
        "run\trecipe\tset -> rnu\trecipe\tset",
        r"pretrain.tsv, .*unknown column 'rnu'; did you mean 'run'",
    ),
    ("pretrain.tsv", "run\trecipe\tset -> run\trecipe", r"pretrain.tsv, line \d+: \d cells under 6 columns"),
    (
        "pretrain.tsv",
        "run\trecipe\tset -> run recipe set",
        r"pretrain.tsv, .*columns are separated by tabs, not by spaces",
    ),
    ("pretrain.tsv", "run\trecipe\tset -> recipe\tset", r"pretrain.tsv, .*the column 'run' is missing"),
    ("pretrain.tsv", "run\trecipe\tset -> run\trun\tset", r"pretrain.tsv, .*the column 'run' stands twice"),
    ("pretrain.tsv", "one\ttwo\t\t\t\t\t\teight\n", r"pretrain.tsv, line \d+: 8 cells under 7 columns"),
    ("pretrain.tsv", "default\tswin_b_100ep\t\n", r"pretrain.tsv, line \d+: a second row 'default'"),
    ("pretrain.tsv", "a-b\tswin_b_100ep\t\n", r"pretrain.tsv, row 'a-b': run = 'a-b': .*pattern"),
    (
        "evaluate.tsv",
        "defalt\tknn\tknn\t\n",
        r"evaluate.tsv, row 'defalt knn': unknown run 'defalt'; did you mean 'default'",
    ),
    (
        "evaluate.tsv",
        "default\tknn2\tkn\t\n",
        r"evaluate.tsv, row 'default knn2': unknown recipe 'kn'; did you mean 'knn'",
    ),
    (
        "evaluate.tsv",
        "default\tknn2\tswin_b_100ep\t\n",
        r"row 'default knn2': recipe 'swin_b_100ep' is for stage 'pretrain'",
    ),
    (
        "claims.tsv",
        "A\t4\tdefault\tbetter than\tloss_ful\tprobe\ttop1\t\t1\n",
        r"claims.tsv, .*'loss_ful'; did you mean 'loss_full'",
    ),
    (
        "claims.tsv",
        "A\t4\tdefault\tbeter\tloss_full\tprobe\ttop1\t\t1\n",
        r"claims.tsv, row 'A probe': relation = 'beter': .*'better than'",
    ),
    ("paper.tsv", "table1\ta\tb\tdefalt\tprobe\ttop1\t1\n", r"paper.tsv, row 'table1 a b': unknown run 'defalt'"),
    (
        "drawn_masks.tsv",
        "imagnet\tone\tbox 0 0 1 1\n",
        r"drawn_masks.tsv, .*unknown dataset 'imagnet'; did you mean 'imagenet'",
    ),
    *(
        (
            "drawn_masks.tsv",
            f"imagenet\tone\t{outline}\n",
            f"row 'imagenet one': outline = '{outline}': an outline is 'box",
        )
        for outline in ("bux 0 0 1 1", "box 0 0 1", "box 0 0 1.2 1", "polygon 0 0 1 1", "polygon 0 0 1 1 0 1 1")
    ),
    (
        "tokenizers.tsv",
        "odd\tcolour_cluster\t\n",
        r"tokenizers.tsv, row 'odd': unknown tokenizers name 'colour_cluster'",
    ),
    (
        "tokenizers.tsv",
        "odd\tcolour_clusters\tcluster=9\n",
        r"row 'odd': unknown setting .*'cluster'; did you mean 'clusters'",
    ),
    ("tokenizers.tsv", "odd\tcolour_clusters\tclusters=many\n", r"row 'odd': kind.clusters = 'many': .*integer"),
    (
        "tokenizers.tsv",
        "odd\tcolour_clusters\tfile=a.npy\tcolours\n",
        r"row 'odd': unknown tokenizer in column 'instead_of' 'colours'; did you mean 'colours_512'",
    ),
    ("tokenizers.tsv", "odd\tcolour_clusters\t\tcolours_512\n", r"row 'odd': only published weights, .*'file'"),
    # values of a `set` column
    (
        "pretrain.tsv",
        ROW.format("mask.ratoi=0.4"),
        r"pretrain.tsv, row 'odd': .*masks=random 'ratoi'; did you mean 'ratio'",
    ),
    (
        "pretrain.tsv",
        ROW.format("maks=random"),
        r"row 'odd': unknown section in column 'set' 'maks'; did you mean 'mask'",
    ),
    ("pretrain.tsv", ROW.format("mask=randm"), r"row 'odd': unknown masks name 'randm'; did you mean 'random'"),
    ("pretrain.tsv", ROW.format("head=liner"), r"row 'odd': unknown heads name 'liner'; did you mean 'linear'"),
    ("pretrain.tsv", ROW.format("target=pixel"), r"row 'odd': unknown targets name 'pixel'; did you mean 'pixels'"),
    ("pretrain.tsv", ROW.format("encoder=swim"), r"row 'odd': unknown encoders name 'swim'; did you mean 'swin'"),
    ("pretrain.tsv", ROW.format("method=dinno"), r"row 'odd': unknown methods name 'dinno'; did you mean 'dino'"),
    ("pretrain.tsv", ROW.format("encoder.windw=7"), r"row 'odd': .*encoders=swin 'windw'; did you mean 'window'"),
    ("pretrain.tsv", ROW.format("encoder.drop_path=much"), r"row 'odd': encoder.drop_path = 'much': .*number"),
    ("pretrain.tsv", ROW.format("encoder.depths=[1,2]"), r"row 'odd': .*only single values"),
    ("pretrain.tsv", ROW.format("encoder.window=7.5"), r"row 'odd': encoder.window = '7.5': .*integer"),
    ("pretrain.tsv", ROW.format("train.epochs=ten"), r"row 'odd': train.epochs = 'ten': .*number"),
    (
        "pretrain.tsv",
        ROW.format("train.epoch=10"),
        r"row 'odd': unknown setting 'train.epoch'; did you mean 'train.epochs'",
    ),
    *(
        ("pretrain.tsv", ROW.format(setting), rf"row 'odd': {setting.replace('=', ' = .*')}.*: Input .*finite number")
        for setting in ("train.gamma=nan", "train.base_lr=inf", "encoder.drop_path=nan", "mask.ratio=inf")
    ),
    ("evaluate.tsv", EVALUATION.format("settings.mixup=inf"), r"row 'default odd': settings.mixup = 'inf': .*finite"),
    *(
        (file, change, rf"{setting} = .*: it must be two .*, the smaller first")
        for file, setting, change in (
            (SWIN, "images.crop_scale", "crop_scale: [0.67, 1.0] -> crop_scale: [67, 100]"),
            (SWIN, "images.crop_scale", "crop_scale: [0.67, 1.0] -> crop_scale: [0, 0]"),
            (SWIN, "images.crop_scale", "crop_scale: [0.67, 1.0] -> crop_scale: [1.0, 0.67]"),
            (SWIN, "images.crop_ratio", "crop_scale: [0.67, 1.0] -> crop_ratio: [0, 1]"),
            (SWIN, "images.crop_ratio", "crop_scale: [0.67, 1.0] -> crop_ratio: [-1, 1]"),
            (FINETUNE, "settings.crop_scale", "settings: { -> settings: {crop_scale: [8, 100], "),
            (FINETUNE, "settings.crop_ratio", "settings: { -> settings: {crop_ratio: [0, 1], "),
            (
                "recipes/detect_swin_b.yaml",
                "settings.scale_jitter",
                "scale_jitter: [0.1, 2.0] -> scale_jitter: [2.0, 0.1]",
            ),
            ("recipes/segment_swin_b.yaml", "settings.scale_range", "image_px: 512 -> scale_range: [0, 1]"),
        )
    ),
    *(
        (SWIN, f"crop_scale: [0.67, 1.0] -> {statistics}", r"row 'default': .*shares of the full range.* by 255")
        for statistics in (
            "mean: [123.7, 116.3, 103.5], std: [58.4, 57.1, 57.4]",
            "mean: [0.5, 0.5, -0.1]",
            "std: [0.2, 0.2, 0]",
            "std: [0.2, 0.2, 58]",
        )
    ),
    (
        "recipes/swin_b_step.yaml",
        "milestones: [0.9, 0.95] -> milestones: [90, 95]",
        r"row 'step_100ep': train.milestones = \[90, 95\]: .*shares of the training.*: 90 of 100 epochs is 0.9",
    ),
    (
        "recipes/swin_b_step.yaml",
        "  schedule: step\n -> ",
        r"swin_b_step.yaml: train.milestones = \[0.9, 0.95\]: .*write schedule: step",
    ),
    (SWIN, "base_lr: 2.0e-4 -> base_lr: .inf", r"row 'default': train.base_lr = inf: .*finite number"),
    ("pretrain.tsv", ROW.format("train.batch=0"), r"row 'odd': train.batch = 0: .*greater than or equal to 1"),
    ("pretrain.tsv", ROW.format("train.schedule=cosin"), r"row 'odd': train.schedule = 'cosin': .*'cosine'"),
    ("pretrain.tsv", ROW.format("train.sharded=perhaps"), r"row 'odd': train.sharded = 'perhaps': .*boolean"),
    ("pretrain.tsv", ROW.format("loss.area=ful"), r"row 'odd': loss.area = 'ful': .*'masked' or 'full'"),
    ("pretrain.tsv", ROW.format("geometry=64"), r"row 'odd': 'geometry=64' in column 'set': give one of its settings"),
    ("pretrain.tsv", ROW.format("seeds.x=3"), r"row 'odd': 'seeds.x=3' in column 'set': seeds has no settings"),
    ("pretrain.tsv", ROW.format("mask.ratio"), r"row 'odd': 'mask.ratio' in column 'set' is not key=value"),
    ("pretrain.tsv", ROW.format("mask.ratio=0.4 mask.ratio=0.5"), r"row 'odd': 'mask.ratio' is given twice"),
    ("pretrain.tsv", ROW.format("role=pretrian"), r"row 'odd': unknown data role 'pretrian'; did you mean 'pretrain'"),
    (
        "pretrain.tsv",
        ROW.format("init.run=step_100epp"),
        r"row 'odd': unknown run 'step_100epp'; did you mean 'step_100ep'",
    ),
    (
        "pretrain.tsv",
        ROW.format("target=tokens target.tokenizer=colours target.resolution_px=48 loss.name=cross_entropy"),
        r"row 'odd': unknown tokenizer 'colours'; did you mean 'colours_512'",
    ),
    (
        "pretrain.tsv",
        ROW.format("target=tokens target.resolution_px=48"),
        r"row 'odd': .*targets=tokens needs .*'tokenizer'",
    ),
    ("pretrain.tsv", ROW.format("method=dino"), r"row 'odd': method dino has no mask, head, target"),
    (
        "evaluate.tsv",
        EVALUATION.format("settings.mixupp=0"),
        r"row 'default odd': unknown setting 'settings.mixupp'; did you",
    ),
    ("evaluate.tsv", EVALUATION.format("settings.mixup=lots"), r"row 'default odd': settings.mixup = 'lots': .*number"),
    ("evaluate.tsv", EVALUATION.format("encoder.windo=7"), r"row 'default odd': .*'windo'; did you mean 'window'"),
    ("evaluate.tsv", EVALUATION.format("init=finetun"), r"row 'default odd': .*'finetun'; did you mean 'finetune'"),
    (
        "evaluate.tsv",
        EVALUATION.format("role=clasify"),
        r"row 'default odd': unknown data role 'clasify'; did you mean 'classify'",
    ),
    # recipes
    (SWIN, "epochs: 100 -> epoch: 100", r"row 'default': unknown setting 'train.epoch'; did you mean 'train.epochs'"),
    (SWIN, "ratio: 0.6 -> ratoi: 0.6", r"row 'default': .*unknown setting of masks=random 'ratoi'"),
    (SWIN, "stage: pretrain -> stage: pretrian", r"recipe 'swin_b_100ep' is for stage 'pretrian', not for 'pretrain'"),
    (SWIN, "loss: {name: l1, -> loss: {name: l3,", r"row 'default': loss.name = 'l3': .*'l1'"),
    (FINETUNE, "task: finetune -> task: finetunne", r"unknown task 'finetunne'; did you mean 'finetune'"),
    (KNN, "image_px: 192 -> image_px: 192, neigbours: 3", r"unknown setting 'settings.neigbours'; did you mean"),
    (KNN, "image_px: 192 -> image_px: big", r"image_px"),
    (KNN, "task: knn\n -> ", r"recipes/knn.yaml: task is missing; write one of attentive, .*knn"),
    (KNN, "task: knn -> task: [knn]", r"recipes/knn.yaml: task = \['knn'\]: write one name"),
    (KNN, "role: classify -> role: [classify]", r"recipes/knn.yaml: role = \['classify'\]: write one name"),
    (KNN, "encoder: {} -> encoder:", r"recipes/knn.yaml: encoder is empty: leave it out, or write its settings below"),
    (FINETUNE, "encoder: {window: 6, drop_path: 0.1} -> encoder: swin", r"encoder = 'swin': .* settings below it"),
    (SWIN, "mask: {name: random, ratio: 0.6} -> mask: random", r"mask = 'random': .* as mask: {name: random}"),
    (SWIN, "mask: {name: random, -> mask: {name: [random],", r"recipes/.*: mask.name = \['random'\]: write one name"),
    (SWIN, "mask: {name: random, ratio: 0.6} -> mask: {ratio: 0.6}", r"row 'default': .*names no component; give it a"),
    (SWIN, "train: -> train: [", r"swin_b_100ep.yaml is not valid YAML"),
    (
        SWIN,
        "stage: pretrain -> stage: pretrain\nstage: pretrain",
        r"swin_b_100ep.yaml, line 1: \['stage'\] given twice|given twice",
    ),
    # scales
    ("scales/smoke.yaml", "withuot: [knn]\n", r"smoke.yaml: unknown setting 'withuot'; did you mean 'without'"),
    (
        "scales/smoke.yaml",
        "pretrain_epochs: -> pretrain_epoch:",
        r"smoke.yaml: .*'pretrain_epoch'; did you mean 'pretrain_epochs'",
    ),
    ("scales/smoke.yaml", "  detect:\n    settings -> detect_swin_c:\n    settings", r"smoke.yaml"),
    (
        "scales/smoke.yaml",
        "  pretrain: earth_tiles ->   pretrian: earth_tiles",
        r"smoke.yaml: unknown data role 'pretrian'; did you mean",
    ),
    (
        "scales/smoke.yaml",
        "  pretrain: earth_tiles ->   pretrain: earth_tile",
        r"smoke.yaml: .*'earth_tile'; did you mean 'earth_tiles'",
    ),
    ("scales/smoke.yaml", "  swin: { ->   swim: {", r"smoke.yaml: unknown encoders name 'swim'; did you mean 'swin'"),
    (
        "scales/smoke.yaml",
        "  swin: {patch_px: 2, embed_dim ->   swin: {patch_px: 2, embed_dmi",
        r"smoke.yaml: .*'embed_dmi'; did you mean 'embed_dim'",
    ),
    (
        "scales/smoke.yaml",
        "runs: [defualt]\n",
        r"smoke.yaml: unknown run among 'runs' 'defualt'; did you mean 'default'",
    ),
    ("scales/smoke.yaml", "runs: default\n", r"smoke.yaml: runs = 'default': a list of rows .* or 'all'"),
    ("scales/smoke.yaml", "runs: [1]\n", r"smoke.yaml: runs = \[1\]: a list of rows .* or 'all'"),
    (
        "scales/smoke.yaml",
        "  finetune:\n    settings ->   finetune:\n    encoder: swin\n    settings",
        r"smoke.yaml: evaluate.finetune.encoder = 'swin': write its settings below it",
    ),
    (
        "scales/smoke.yaml",
        "pretrain:\n  train -> pretrain:\n  encoder: swin\n  train",
        r"smoke.yaml: pretrain.encoder = 'swin': write its settings below it, as encoder: \{name: swin\}",
    ),
    (
        "scales/smoke.yaml",
        "seeds: {defualt: 3}\n",
        r"smoke.yaml: unknown run among 'seeds' 'defualt'; did you mean 'default'",
    ),
    ("scales/smoke.yaml", "seeds: {default: 0}\n", r"smoke.yaml: seeds.default = 0: .* greater than or equal to 1"),
    ("scales/smoke.yaml", "seeds: {default/probe: 0}\n", r"smoke.yaml: seeds.default/probe = 0: .* or equal to 1"),
    (
        "scales/smoke.yaml",
        "seeds: {default/probbe: 3}\n",
        r"smoke.yaml: unknown evaluation of run 'default' among 'seeds' 'probbe'; did you mean 'probe'",
    ),
    (
        "scales/smoke.yaml",
        "without: [segmnt]\n",
        r"smoke.yaml: unknown evaluation among 'without' 'segmnt'; did you mean 'segment'",
    ),
    (
        "scales/smoke.yaml",
        "  finetune:\n    settings: {labels_per_class ->   finetune:\n    settings: {labels_per_clas",
        r"smoke.yaml: .*'labels_per_clas'; did you mean 'labels_per_class'",
    ),
    (
        "scales/smoke.yaml",
        "  colours_512: {kind ->   colours_521: {kind",
        r"smoke.yaml: unknown tokenizer 'colours_521'; did you mean 'colours_512'",
    ),
    (
        "scales/smoke.yaml",
        "tile_px: 64 -> tile_pix: 64",
        r"smoke.yaml: unknown setting 'demo_data.tile_pix'; did you mean 'demo_data.tile_px'",
    ),
    # data sets
    (
        "datasets.tsv",
        DATA.format("image_foldr", "root=x"),
        r"datasets.tsv, row 'odd train': .*'image_foldr'; did you mean 'image_folder'",
    ),
    (
        "datasets.tsv",
        DATA.format("image_folder", "rooot=x"),
        r"datasets.tsv, row 'odd train': .*'rooot'; did you mean 'root'",
    ),
    ("datasets.tsv", DATA.format("image_folder", ""), r"datasets.tsv, row 'odd train': .*needs the setting 'root'"),
    (
        "datasets.tsv",
        DATA.format("image_folder", "root=x pack.codce=jpeg"),
        r"row 'odd train': .*'pack.codce'; did you mean 'pack.codec'",
    ),
    (
        "datasets.tsv",
        DATA.format("image_folder", "root=x pack.codec=jpg"),
        r"row 'odd train': .*codec = 'jpg': .*'jpeg'",
    ),
    (
        "datasets.tsv",
        DATA.format("image_folder", "root=x class_folders=maybe"),
        r"row 'odd train': .*class_folders = 'maybe': .*boolean",
    ),
    (
        "datasets.tsv",
        DATA.format("image_folder", "root=x pack.short_side_px=64"),
        r"row 'odd train': .*short_side_px=64 needs",
    ),
    (
        "scales/smoke.yaml",
        "pretrain: earth_tiles\n -> pretrain: [earth_tiles, earth_tile]\n",
        r"smoke.yaml: unknown data set of role 'pretrain' 'earth_tile'; did you mean 'earth_tiles'",
    ),
    ("scales/smoke.yaml", "pretrain: earth_tiles\n -> pretrain: []\n", r"smoke.yaml: datasets.pretrain = .*at least 1"),
    # config.yaml
    ("config.yaml", "data_root: -> data_rot:", r"config.yaml: unknown setting 'data_rot'; did you mean 'data_root'"),
]


def everything(folder: Path) -> None:
    """Resolve all that Snakemake would while it parses the smoke scale."""
    read_yaml.cache_clear()
    sheets = Sheets(folder)
    assert sheets.config_file
    jobs = Jobs(sheets)
    for (run,) in sheets.pretrain:
        with contextlib.suppress(DoesNotFit):
            jobs.job("pretrain", scale="smoke", run=run, seed=0)
    for run, evaluation in sheets.evaluate:
        with contextlib.suppress(DoesNotFit):
            jobs.job("evaluate", scale="smoke", run=run, evaluation=evaluation)
    for (tokenizer,) in sheets.tokenizers:
        jobs.job("tokenizer", scale="smoke", tokenizer=tokenizer)
    for dataset, split in sheets.datasets:
        with contextlib.suppress(DoesNotFit):
            jobs.job("pack", scale="smoke", dataset=dataset, split=split)


@pytest.mark.parametrize(("file", "change", "message"), MISTAKES)
def test_a_mistake_is_one_line_before_any_job(folder, file, change, message):
    text = (folder / file).read_text()
    old, arrow, new = change.partition(" -> ")
    assert not arrow or old in text, f"{old!r} is not in {file}"
    (folder / file).write_text(text.replace(old, new, 1) if arrow else text + change)
    with pytest.raises(ValueError, match=message) as refused:
        everything(folder)
    assert not isinstance(refused.value, DoesNotFit)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 1500


def test_the_sheets_as_they_are_make_no_mistake():
    everything(CONFIG)


def test_no_mistake_is_made_twice():
    assert len({(file, change) for file, change, _ in MISTAKES}) == len(MISTAKES)
