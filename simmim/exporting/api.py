"""`simmim.export(...)`: an encoder file in the form of another library, checked there, beside a card."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

from simmim.plugin import NotInstalled, check_choice
from simmim.storage.files import whole_folder, write_text
from simmim.storage.reading import encoder_at, refuse_existing, some_of

# Form -> where it is written, and packages that it needs.
_FORMS = {
    "timm": ("timm_model", "write", ()),
    "transformers": ("transformers_model", "write", ("transformers",)),
    "onnx": ("graph", "write_onnx", ("onnx", "onnxscript", "onnxruntime")),
    "torch-export": ("graph", "write_program", ()),
}
_OF_EXPORTS = re.compile(
    r"README\.md|config\.json|model(-\d+-of-\d+)?\.safetensors|model\.(safetensors\.index\.json|onnx(\.data)?|pt2)"
)


@dataclass(frozen=True)
class Exported:
    """What an export left.

    Args:
        folder: where it lies, with its card README.md.
        load: lines of Python that load it and give `features` of `images`.
        difference: of its features from the encoder's, the largest of all.
    """

    folder: Path
    load: str
    difference: float


def export(encoder: Path | str, to: str, out: Path | str, *, overwrite: bool = False) -> Exported:
    """Write an encoder in the form of another library: it is kept once that library gives the same features.

    Args:
        encoder: a run folder, or its encoder.safetensors.
        to: timm, transformers, onnx or torch-export.
        out: the folder that is made.

    Raises:
        ValueError: for an unknown form, a folder that exists or holds anything but an export, a library that is not
            installed, an encoder without a counterpart there, and features that differ. Nothing is left then.
    """
    from simmim.exporting.card import card
    from simmim.exporting.trial import FOLDER, difference
    from simmim.storage.encoder_file import load_encoder

    source, out = encoder_at(encoder), Path(out).expanduser()
    check_choice("form of an export", to, _FORMS)
    module, function, packages = _FORMS[to]
    if lacking := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise NotInstalled(f"--to {to} needs {', '.join(lacking)}: pip install 'simmim[export]'")
    if out.suffix in (".safetensors", ".onnx", ".pt2", ".pth"):
        raise ValueError(f"{out} would be a folder: an export has several files; leave out {out.suffix}")
    if unfit := {'"', "\\", "\n"} & set(str(out)):
        raise ValueError(f"{out}: the lines that load an export name its folder, which cannot hold {min(unfit)!r}")
    refuse_existing(out, overwrite)
    _refuse_others(out)
    network, header = load_encoder(source)
    write = getattr(importlib.import_module(f"simmim.exporting.{module}"), function)
    with whole_folder(out) as folder:
        draft = write(folder, network.eval(), header)
        far = difference(network, header["in_channels"], draft, folder, to)
        load = draft.load.replace(FOLDER, str(out))
        write_text(folder / "README.md", card(source, header, network, to, load, far, draft))
        _settle(folder)
    return Exported(out, load, far)


def _refuse_others(out: Path) -> None:
    """Refuse to replace what no export has left: with a run folder its encoder and its records would be gone."""
    if not out.exists():
        return
    if not out.is_dir():
        raise ValueError(f"{out} is a file, and an export is a folder; name another one")
    ours = [file.name for file in out.iterdir() if file.is_file() and _OF_EXPORTS.fullmatch(file.name)]
    if not any(name.startswith("model") for name in ours):
        ours = []  # a README.md without a model is somebody's own
    if others := [file.name for file in sorted(out.iterdir()) if file.name not in ours]:
        raise ValueError(f"{out} holds {some_of(others, 3)}, which no export has left; name another folder")


def _settle(folder: Path) -> None:
    """Flush what another library wrote, and give it the mode that the umask gives (safetensors makes 0600)."""
    mode = (folder / "README.md").stat().st_mode
    for file in folder.iterdir():
        file.chmod(mode)
        with open(file, "rb") as written:
            os.fsync(written.fileno())
