"""What each verb of the command line does; heavy imports happen inside, so that light verbs start at once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from simmim import plugin
from simmim.config.differences import refuse_changed
from simmim.config.first_stage import has_first_stage
from simmim.config.reading import read_yaml
from simmim.config.sheets import Sheets
from simmim.storage import paths, records


def check(options: argparse.Namespace) -> None:
    """Resolve and build the networks of a scale's rows, without data."""
    from simmim.plan.check import check_scale

    check_scale(_sheets(options), options.scale, options.runs)


def demo_data(options: argparse.Namespace) -> None:
    """Cut the demo's data sets out of the imagery that pip installs."""
    from simmim.demo_data import build

    build(_results(options) / "source", **_sheets(options).scale(options.scale)["demo_data"])


def pack(options: argparse.Namespace) -> None:
    """Pack one split of a data set into Parquet shards."""
    from simmim.data.packing import pack as write_shards

    sheets = _sheets(options)
    config = sheets.packed(options.scale, options.dataset, options.split)
    _expect(options, records.config_hash(config))
    source = plugin.build("data.sources", sheets.located(config["source"]))
    index = Path(paths.packed(str(_results(options)), options.dataset, options.split))
    settings = {"codec": "original", "shard_samples": 10_000, "short_side_px": None} | config["pack"]
    write_shards(source, index.parent, **settings)


def tokenizer(options: argparse.Namespace) -> None:
    """Make one tokenizer: fit it to the images for pre-training, or take over published weights."""
    from simmim.pretrain.tokenizer import load_tokenizer, make_tokenizer
    from simmim.train.processes import joined_processes

    sheets = _sheets(options)
    config = sheets.tokenizer(options.scale, options.tokenizer)
    _expect(options, config["config_hash"])
    published = sheets.located(config["kind"]).get("file")
    source = Path(published) if published else _data(options, config)["train"]
    out = _tokenizer(options, config)
    if out.is_file():
        load_tokenizer(out, config)
        print(f"{out} is finished, nothing to do")
        return
    with joined_processes() as processes:
        make_tokenizer(config, source, out, processes)


def pretrain(options: argparse.Namespace) -> None:
    """Pre-train one run with one seed; resumes what was interrupted, leaves alone what is finished."""
    from simmim.pretrain.run import Start
    from simmim.pretrain.run import pretrain as run_pretraining
    from simmim.train.processes import joined_processes

    sheets = _sheets(options)
    config, out = _pretraining(options, sheets)
    if (out / "encoder.safetensors").is_file() and _finished(out / "train.parquet", config):
        return
    first_stage = out / "first_stage" if has_first_stage(config) else None
    with joined_processes() as processes:
        start = Start(first_stage, _start_encoder(sheets, config), _tokenizer(options, config.get("tokenizer")))
        run_pretraining(config, options.seed, _data(options, config), out, processes, start)


def first_stage(options: argparse.Namespace) -> None:
    """Pre-train one run up to its first milestone, where longer runs can go on."""
    from simmim.pretrain.run import Start, pretrain_first_stage
    from simmim.train.processes import joined_processes

    sheets = _sheets(options)
    config, out = _pretraining(options, sheets)
    shorter = config["start"]["run"]
    before = Path(paths.first_stage(str(_results(options)), shorter, options.seed)).parent if shorter else None
    with joined_processes() as processes:
        start = Start(before, _start_encoder(sheets, config), _tokenizer(options, config.get("tokenizer")))
        pretrain_first_stage(config, options.seed, _data(options, config), out / "first_stage", processes, start)


def recover(options: argparse.Namespace) -> None:
    """Store what a finished run makes of some held-out images, for Figures 1, 4, 5 and 6."""
    from simmim.pretrain.reconstruction import recover as store_pictures

    sheets = _sheets(options)
    config, out = _pretraining(options, sheets)
    drawn = sheets.drawn(config["data"]["val"]["dataset"])
    tokenizer = _tokenizer(options, config.get("tokenizer"))
    store_pictures(config, out, _data(options, config)["val"], drawn, tokenizer)


def features(options: argparse.Namespace) -> None:
    """Extract the frozen features of one split under one encoder; a probe or a k-NN reads them."""
    from simmim.evaluate import feature_sets
    from simmim.evaluate.features import write_features
    from simmim.train.processes import joined_processes

    results = str(_results(options))
    config = _sheets(options).features(options.scale, options.run, options.name)
    out = Path(paths.features(results, options.run, options.seed, options.name))
    if feature_sets.is_complete(out, config):
        print(f"{out} is finished, nothing to do")
        return
    start = config.get("start")
    encoder = paths.pretrained(results, options.run, options.seed, "encoder.safetensors")
    if start:
        encoder = f"{paths.fine_tuned(results, options.run, start['evaluation'])}/seed{options.seed}.safetensors"
    index = Path(paths.packed(results, config["data"]["dataset"], config["data"]["split"]))
    with joined_processes() as processes:
        write_features(config, Path(encoder), index.parent, out, processes)


def evaluate(options: argparse.Namespace) -> None:
    """Run one evaluation of one pre-trained run with all its seeds."""
    from simmim.evaluate.driver import evaluate as run_evaluation
    from simmim.evaluate.feature_sets import names_by_split
    from simmim.train.processes import joined_processes

    sheets, results = _sheets(options), str(_results(options))
    config = sheets.evaluation(options.scale, options.run, options.evaluation)
    _expect(options, config["config_hash"])
    out = Path(paths.evaluated(results, options.run, options.evaluation))
    fine_tuned = Path(paths.fine_tuned(results, options.run, options.evaluation))
    if _finished(out, config, *[fine_tuned] * (config["task"] == "finetune")):
        return
    encoders = paths.start_files(results, sheets, options.scale, options.run, options.evaluation)
    named, seeds = names_by_split(config).items(), range(len(encoders))
    features = [{split: Path(paths.features(results, options.run, seed, n)) for split, n in named} for seed in seeds]
    with joined_processes() as processes:
        data = _data(options, config)
        run_evaluation(config, [Path(file) for file in encoders], data, out, processes, features)


def size(options: argparse.Namespace) -> None:
    """Count parameters and multiply-adds of one run's networks."""
    from simmim.plan.size_config import size_config
    from simmim.plan.sizes import write_sizes

    config = size_config(_sheets(options), options.scale, options.run)
    _expect(options, config["config_hash"])
    write_sizes(config, Path(paths.size(str(_results(options)), options.run)))


def plan(options: argparse.Namespace) -> None:
    """Print what a target would cost, before anything is spent, and write it as Parquet."""
    from simmim.plan.gpus import machine
    from simmim.plan.planner import plan as write_plan

    options.scale = options.scale or _scale_of_target(options)
    out = options.out or _results(options) / "plan.parquet"
    on = machine(options.gpu, options.utilisation, options.gpus)
    print(write_plan(options.target, _sheets(options), options.scale, options.results, on, out))


def avg_dist(options: argparse.Namespace) -> None:
    """Measure how far each run's masks put hidden content from visible content."""
    from simmim.pretrain.masking import write_avg_dist
    from simmim.report import catalogue

    sheets = _sheets(options)
    configs = [sheets.pretraining(options.scale, run) for run in catalogue.facts(sheets, options.scale).trained]
    write_avg_dist(Path(paths.masking(str(_results(options)), "avg_dist")), configs)


def mask_samples(options: argparse.Namespace) -> None:
    """Put some held-out images under each kind of mask, for a figure."""
    from simmim.data.shards import Shards
    from simmim.pretrain.masking import write_mask_samples
    from simmim.report import catalogue

    sheets = _sheets(options)
    config = sheets.pretraining(options.scale, catalogue.reference_run(sheets))
    held_out = Shards(_data(options, config)["val"])
    pixels = sheets.scale(options.scale).get("pixels")
    write_mask_samples(Path(paths.masking(str(_results(options)), "mask_samples")), config, pixels, held_out)


def table(options: argparse.Namespace) -> None:
    """Write one table as Parquet, Markdown and HTML."""
    from simmim.report import catalogue
    from simmim.report.write import write_table

    sheets, results = _sheets(options), str(_results(options))
    inputs = paths.files(results, sheets, options.scale, catalogue.table_needs(options.name, sheets, options.scale))
    facts = catalogue.facts(sheets, options.scale)
    out = _results(options) / "tables" / options.name
    write_table(options.name, [Path(file) for file in inputs], out, facts)


def figure(options: argparse.Namespace) -> None:
    """Draw one figure from cached Parquet."""
    from simmim.report import catalogue
    from simmim.report.write import write_figure

    sheets, results = _sheets(options), str(_results(options))
    inputs = paths.files(results, sheets, options.scale, catalogue.figure_needs(options.name, sheets, options.scale))
    out = _results(options) / "figures" / options.name
    facts = catalogue.facts(sheets, options.scale)
    write_figure(options.name, [Path(file) for file in inputs], out, facts)


def page(options: argparse.Namespace) -> None:
    """Write the report page, one file that opens offline."""
    from simmim.report import catalogue
    from simmim.report.page import write_page

    sheets, results = _sheets(options), _results(options)
    tables = [results / "tables" / f"{name}.parquet" for name in catalogue.shown_tables(sheets, options.scale)]
    figures = [results / "figures" / f"{name}.png" for name in catalogue.figures(sheets, options.scale)]
    card = Path(paths.data_card(str(results))) if catalogue.has_data_card(sheets, options.scale) else None
    write_page(results / "report.html", options.scale, tables, figures, card)


def convert(options: argparse.Namespace) -> None:
    """Convert the authors' published weights into an encoder file, or an encoder file into their layout."""
    from simmim.released.convert import convert as convert_file

    size = {"image_px": options.image_px, "window": options.window}
    print(*convert_file(options.source, options.target, **size, overwrite=options.overwrite), sep="\n")


def _scale_of_target(options: argparse.Namespace) -> str:
    """The scale of a result path, else the one of config.yaml."""
    from simmim.plan.target import scale_of

    return scale_of(options.target, options.results) or read_yaml(options.config / "config.yaml")["scale"]


def _sheets(options: argparse.Namespace) -> Sheets:
    return Sheets(options.config)


def _results(options: argparse.Namespace) -> Path:
    return options.results / options.scale


def _pretraining(options: argparse.Namespace, sheets: Sheets) -> tuple[dict[str, Any], Path]:
    """The completed config of a pre-training and the folder of its files."""
    config = sheets.pretraining(options.scale, options.run)
    _expect(options, config["config_hash"])
    out = paths.pretrained(str(_results(options)), options.run, options.seed, "encoder.safetensors")
    return config, Path(out).parent


def _tokenizer(options: argparse.Namespace, config: dict[str, Any] | None) -> Path | None:
    """The file of a tokenizer, None where there is none."""
    return Path(paths.tokenizer(str(_results(options)), config["name"])) if config else None


def _start_encoder(sheets: Sheets, config: dict[str, Any]) -> Path | None:
    file = sheets.located(config["start"])["encoder"]
    return Path(file) if file else None


def _data(options: argparse.Namespace, config: dict[str, Any]) -> dict[str, Path]:
    folders = {split: (each["dataset"], each["split"]) for split, each in config["data"].items()}
    return {split: Path(paths.packed(str(_results(options)), *which)).parent for split, which in folders.items()}


def _expect(options: argparse.Namespace, found: str) -> None:
    if options.expect and options.expect != found:
        raise ValueError(
            f"the config now has hash {found}, this job was planned with {options.expect}: a sheet, recipe or scale "
            "was edited meanwhile; start Snakemake again"
        )


def _finished(out: Path, config: dict[str, Any], *beside: Path) -> bool:
    """Whether `out` holds the finished records of this config, with all that belongs `beside` it.

    Those of another config are never overwritten.
    """
    if not out.is_file():
        return False
    refuse_changed(out, records.metadata(out)["config"], config, remove=out)
    if not all(path.exists() for path in beside):
        return False
    print(f"{out} is finished, nothing to do")
    return True
