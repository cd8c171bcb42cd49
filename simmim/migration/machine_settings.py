"""Takes out of stored configs what no result depends on, and puts new hashes and digests in place of the old ones.

That is the settings of the machine, and how many pre-trainings a run has.

What is stored names what it stands on: an evaluation the hash of its pre-training's config, a record the digest of the
encoder it was measured on. So new names are worked out first, from what others stand on to what stands on them, and
files are written in the opposite order: an interrupted migration can be started again. Frozen features have the hash in
their path; they are extracted again where an evaluation still needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simmim.config.machine_settings import without_machine_settings
from simmim.migration._columns import CONFIGS, DIGESTS, config_of, rename_columns
from simmim.storage.identity import config_hash

Values = dict[str, Any]
Names = Mapping[str, str]  # old hash or digest -> new one

_RECORDS = "pretrain/*/*/train.parquet", "evaluate/*/*.parquet", "size/*.parquet"
_MODELS = (
    "tokenizers/*.safetensors",
    "pretrain/*/*/*.safetensors",
    "evaluate/*/*.encoders/*.safetensors",
)
_TABLES = "avg_dist.parquet", "mask_samples.parquet", "pretrain/*/*/reconstruction.parquet"


@dataclass(eq=False)
class _Stored:
    """What a file says of itself.

    Args:
        stated: its config, or the header of a model.
        old: the name by which others know it, a hash or a digest.
        renew: its new name, for what it says now.
        write: writes it again, None for what stands within another.
    """

    path: Path
    stated: Values
    old: str
    renew: Callable[[Values], str]
    write: Callable[[Path, Values, Names], None] | None

    def named(self) -> Iterator[tuple[str, str]]:
        """What it stands on, by key."""
        return _named(self.stated)


def rewrite(results: Path) -> list[str]:
    """Rewrite what is stored below the folder of a scale.

    Returns:
        One line for every file that was rewritten.

    Raises:
        ValueError: for an evaluation whose pre-training is not there, so that its new hash cannot be known.
    """
    stored = [*_configs(results), *_models(results)]
    ordered, names = _renamed(stored)
    if all(old == new for old, new in names.items()):
        return []
    lines = [path for path in _found(results, _TABLES) if rename_columns(path, None, names)]
    for each in reversed(ordered):
        if each.write and names[each.old] != each.old:
            each.write(each.path, each.stated, names)
            lines.append(each.path)
    return [f"{path}: freed of settings that change no result" for path in sorted(lines)]


def _configs(results: Path) -> Iterator[_Stored]:
    """Configs in records, and those that stand within another."""
    for path in _found(results, _RECORDS):
        yield from _config(path, config_of(path), rename_columns)


def _config(path: Path, config: Values, write: Callable[[Path, Values, Names], Any] | None) -> Iterator[_Stored]:
    for inner in ("pretraining", "finetune"):
        if isinstance(config.get(inner), dict):
            yield from _config(path, config[inner], None)
    yield _Stored(path, _freed(without_machine_settings(config)), _hash(config), _hash, write)


def _freed(config: Any) -> Any:
    """Without the seeds of a pre-training, which alone has a geometry; those of an evaluation are all of one job."""
    if not isinstance(config, dict):
        return config
    return {key: _freed(each) for key, each in config.items() if key != "seeds" or "geometry" not in config}


def _hash(config: Values) -> str:
    """The hash of a job's config; a checkpoint adds the digest of its tokenizer."""
    return config_hash({key: value for key, value in config.items() if key not in DIGESTS})


def _models(results: Path) -> Iterator[_Stored]:
    from simmim.storage import model_file  # here, for it imports torch

    for path in _found(results, _MODELS):
        header, _ = model_file.read(path, "tokenizer" if path.parent.name == "tokenizers" else "encoder")
        if "tokenizer" in header:
            header["tokenizer"] = without_machine_settings(header["tokenizer"])

        def renew(header: Values, path: Path = path) -> str:
            return model_file.digest_of(header, model_file.state(path))

        yield _Stored(path, header, model_file.digest(path), renew, _write_model)


def _renamed(stored: list[_Stored]) -> tuple[list[_Stored], dict[str, str]]:
    """All of it with new names inside, each after what it stands on, and new names by old ones."""
    ordered, names = [], {}
    while stored:
        unknown = {each.old for each in stored}
        ready = [each for each in stored if unknown.isdisjoint(name for _, name in each.named())]
        for each in ready:
            _require_known(each, names)
            each.stated = _with(each.stated, names)
            names[each.old] = each.renew(each.stated)
        ordered += ready
        stored = [each for each in stored if each not in ready]
    return ordered, names


def _require_known(each: _Stored, names: Names) -> None:
    for key, name in each.named():
        if key in CONFIGS and name not in names and each.renew(each.stated) != each.old:
            raise ValueError(
                f"{each.path} stands on the config {name}, whose records are missing: it cannot be brought up to date; "
                "put them back, or remove it"
            )


def _named(value: Any) -> Iterator[tuple[str, str]]:
    items = value.items() if isinstance(value, dict) else []
    for key, each in items:
        if key in CONFIGS | DIGESTS and isinstance(each, str):
            yield key, each
        else:
            yield from _named(each)


def _with(value: Any, names: Names) -> Any:
    """The same with new names of what it stands on."""
    if not isinstance(value, dict):
        return value
    bound = CONFIGS | DIGESTS
    return {
        key: names.get(each, each) if key in bound and isinstance(each, str) else _with(each, names)
        for key, each in value.items()
    }


def _write_model(path: Path, header: Values, names: Names) -> None:
    from simmim.storage import model_file

    model_file.write_state(path, model_file.state(path), header)


def _found(results: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted(path for pattern in patterns for path in results.glob(pattern))
