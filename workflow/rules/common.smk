import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir).parent))

import pandas as pd
from snakemake.utils import validate

from simmim import NUMERICS
from simmim.storage import paths
from simmim.config.sheets import Sheets
from simmim.evaluate import feature_sets
from simmim.config.first_stage import has_first_stage
from simmim.plan.size_config import size_config
from simmim.storage.records import config_hash
from simmim.report import catalogue

validate(config, "../schemas/config.schema.yaml")
for sheet in ("datasets", "tokenizers", "pretrain", "evaluate", "paper", "tables", "claims", "drawn_masks"):
    rows = pd.read_csv(f"config/{sheet}.tsv", sep="\t", comment="#", dtype=str, keep_default_na=False)
    validate(rows, f"../schemas/{sheet}.schema.yaml")

SHEETS = Sheets("config")
RESULTS = "results/{scale}"


def source_of(wildcards):
    """The demo's data are made by a rule; everybody else's lie where datasets.tsv says."""
    packed = SHEETS.packed(wildcards.scale, wildcards.dataset, wildcards.split)
    return paths.data_card(RESULTS) if packed["made_by"] == "demo" else []


def pack_hash(wildcards):
    return config_hash(SHEETS.packed(wildcards.scale, wildcards.dataset, wildcards.split))


def demo_hash(wildcards):
    return config_hash(SHEETS.scale(wildcards.scale)["demo_data"])


def pretraining_hash(wildcards):
    return SHEETS.pretraining(wildcards.scale, wildcards.run)["config_hash"]


def evaluation_hash(wildcards):
    return SHEETS.evaluation(wildcards.scale, wildcards.run, wildcards.evaluation)["config_hash"]


def size_hash(wildcards):
    return size_config(SHEETS, wildcards.scale, wildcards.run)["config_hash"]


def packed_of(job_config):
    """The indices of the packed data sets that a job reads."""
    return [paths.packed(RESULTS, each["dataset"], each["split"]) for each in job_config["data"].values()]


def pretraining_data(wildcards):
    return packed_of(SHEETS.pretraining(wildcards.scale, wildcards.run))


def drawn_hash(wildcards):
    """Changes with the outlines that Figure 4 hides, and with how pictures are made."""
    dataset = SHEETS.pretraining(wildcards.scale, wildcards.run)["data"]["val"]["dataset"]
    return config_hash({"drawn": SHEETS.drawn(dataset), "numerics": NUMERICS["report"]})


def start_encoder(start):
    """The encoder file that a pre-training begins with, if its row names one."""
    file = SHEETS.located(start)["encoder"]
    return [file] if file else []


def own_first_stage(wildcards):
    """What a pre-training goes on from: with the step schedule, its own first stage."""
    job_config = SHEETS.pretraining(wildcards.scale, wildcards.run)
    if has_first_stage(job_config):
        return [paths.first_stage(RESULTS, wildcards.run, wildcards.seed)]
    return start_encoder(job_config["start"])


def shorter_first_stage(wildcards):
    """What a first stage goes on from: that of a shorter run, where the row names one."""
    start = SHEETS.pretraining(wildcards.scale, wildcards.run)["start"]
    if start["run"]:
        return [paths.first_stage(RESULTS, start["run"], wildcards.seed)]
    return start_encoder(start)


def target_tokenizer(wildcards):
    """The tokenizer whose codes a pre-training predicts, if it predicts any."""
    job_config = SHEETS.pretraining(wildcards.scale, wildcards.run)
    return [paths.tokenizer(RESULTS, job_config["tokenizer"]["name"])] if "tokenizer" in job_config else []


def tokenizer_hash(wildcards):
    return SHEETS.tokenizer(wildcards.scale, wildcards.tokenizer)["config_hash"]


def tokenizer_source(wildcards):
    """What a tokenizer is made of: a published file, or the scale's images for pre-training."""
    job_config = SHEETS.tokenizer(wildcards.scale, wildcards.tokenizer)
    return SHEETS.located(job_config["kind"]).get("file") or packed_of(job_config)


def evaluation_data(wildcards):
    return packed_of(SHEETS.evaluation(wildcards.scale, wildcards.run, wildcards.evaluation))


def evaluation_features(wildcards):
    """The frozen features that an evaluation reads, if it reads any."""
    job_config = SHEETS.evaluation(wildcards.scale, wildcards.run, wildcards.evaluation)
    seeds = feature_sets.seeds_of(job_config, SHEETS.pretraining(wildcards.scale, wildcards.run))
    names = feature_sets.names_by_split(job_config).values()
    return [paths.features(RESULTS, wildcards.run, seed, name) for seed in seeds for name in names]


def feature_data(wildcards):
    config = SHEETS.features(wildcards.scale, wildcards.run, wildcards.features)
    return packed_of({"data": {"of": config["data"]}})


def feature_encoder(wildcards):
    """The encoder that features are extracted with, or the folder of those that a fine-tuning has left."""
    config = SHEETS.features(wildcards.scale, wildcards.run, wildcards.features)
    if "start" in config:
        return paths.fine_tuned(RESULTS, wildcards.run, config["start"]["evaluation"])
    return paths.pretrained(RESULTS, wildcards.run, wildcards.seed, "encoder.safetensors")


def encoders(wildcards):
    """What an evaluation starts from: the run's encoders, or the folder of those that a fine-tuning has left."""
    start = SHEETS.evaluation(wildcards.scale, wildcards.run, wildcards.evaluation).get("start")
    if start:
        return [paths.fine_tuned(RESULTS, wildcards.run, start["evaluation"])]
    return paths.pretrained_files(RESULTS, SHEETS, wildcards.scale, wildcards.run, "encoder.safetensors")


FINE_TUNINGS = SHEETS.fine_tunings()
OTHER_EVALUATIONS = {evaluation for _, evaluation in SHEETS.evaluate} - {*FINE_TUNINGS}


def masks_hash(wildcards):
    """Changes with every run of a scale."""
    runs = catalogue.facts(SHEETS, wildcards.scale).trained
    return config_hash({run: SHEETS.pretraining(wildcards.scale, run)["config_hash"] for run in runs})


def reference_hash(wildcards):
    return SHEETS.pretraining(wildcards.scale, catalogue.reference_run(SHEETS))["config_hash"]


def reference_images(wildcards):
    return packed_of({"data": {"val": SHEETS.pretraining(wildcards.scale, catalogue.reference_run(SHEETS))["data"]["val"]}})


def table_inputs(wildcards):
    return paths.files(RESULTS, SHEETS, wildcards.scale, catalogue.table_needs(wildcards.name, SHEETS, wildcards.scale))


def figure_inputs(wildcards):
    return paths.files(RESULTS, SHEETS, wildcards.scale, catalogue.figure_needs(wildcards.name, SHEETS, wildcards.scale))


def report_hash(wildcards):
    """Changes with published numbers, with rows that do not fit, and with the report's own code."""
    return config_hash(
        {
            "facts": str(catalogue.facts(SHEETS, wildcards.scale)),
            "numerics": NUMERICS["report"],
        }
    )


def page_tables(wildcards):
    return [f"{RESULTS}/tables/{name}.parquet" for name in catalogue.shown_tables(SHEETS, wildcards.scale)]


def page_figures(wildcards):
    return [f"{RESULTS}/figures/{name}.png" for name in catalogue.figures(SHEETS, wildcards.scale)]


def page_card(wildcards):
    return paths.data_card(RESULTS) if catalogue.has_data_card(SHEETS, wildcards.scale) else []


# Training allocates and frees the same large blocks in every step; glibc would give them back to the system each time.
# Worth 10 to 20 % of a step on a CPU.
KEEP_MEMORY = "MALLOC_TOP_PAD_=268435456 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_MMAP_MAX_=0"


def launcher(wildcards, resources):
    """One process, or one per GPU of the job's node; without `--` torchrun would take our --run for its --run-path."""
    gpus = int(resources.get("gpu", 0) or 0)
    if gpus > 1:
        return f"torchrun --standalone --nproc-per-node={gpus} -m -- simmim"
    return "python -m simmim" if gpus else f"env {KEEP_MEMORY} python -m simmim"


def runs_to_train():
    """By scale, the runs that the trainings among the jobs to come are for; none where one is for no run in particular."""
    trainings = "tokenizer", "first_stage", "pretrain", "features", "finetune", "evaluate"
    jobs = [job for job in workflow.dag.needrun_jobs() if job.rule.name in trainings]
    runs = {job.wildcards.scale: set() for job in jobs}
    for job in jobs:
        runs[job.wildcards.scale].add(job.wildcards.get("run", ""))
    return {scale: [] if "" in named else sorted(named) for scale, named in runs.items()}
