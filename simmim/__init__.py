"""SimMIM: A Simple Framework for Masked Image Modeling (arXiv 2111.09886), as a reproducible pipeline."""

__version__ = "0.1.0"

# Raised by hand when a change of the code changes the numbers of a stage: Snakemake sees it as a parameter
# and re-runs exactly that stage and what depends on it. The golden tests are its alarm.
NUMERICS = {"data": 1, "tokenizer": 1, "pretrain": 1, "evaluate": 1, "report": 1}

# Of the index and shards of packed data; it belongs to the hash of packing, so that a higher one packs anew.
PACKED_FORMAT = 3
