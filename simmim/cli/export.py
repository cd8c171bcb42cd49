"""Verbs that take an encoder away: to another library, or as features of a folder of images."""

from __future__ import annotations

from pathlib import Path


def export(*, encoder: Path, to: str, out: Path, overwrite: bool = False) -> None:
    """Write an encoder for timm, transformers, onnx or torch-export; it is kept once that library gives its features.

    Args:
        encoder: a run folder, or its encoder.safetensors
        to: timm, transformers, onnx or torch-export.
        out: the folder that is made, with a card README.md.
        overwrite: replace --out if it exists.
    """
    from simmim.exporting.api import export as write

    done = write(encoder, to, out, overwrite=overwrite)
    print(f"wrote {done.folder}: features as the encoder's to {done.difference:.1e}. To load it:\n\n{done.load}")


def embed(
    *,
    data: Path,
    encoder: Path,
    out: Path,
    block: int = 0,
    feature_map: bool = False,
    batch: int = 64,
    image_px: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write what an encoder makes of every image of a folder, archive or list to a Parquet file: path and vector.

    Args:
        data: a folder, nested as it may be, a .tar, a .parquet of images, or a .txt with a path on each line.
        encoder: a run folder, or its encoder.safetensors
        out: Parquet file.
        block: number of the block whose output is taken (0: the encoder's, after its last norm).
        feature_map: keep the map [d, h, w] instead of its average over the image.
        batch: images at a time.
        image_px: input that images are cut and resized to, as 192 or 96x160 (that which the encoder was made for).
        overwrite: replace --out if it exists.
    """
    from simmim.data.samples import say_refused
    from simmim.exporting.embedding import embed as write

    done = write(
        data,
        encoder,
        out,
        block=block,
        feature_map=feature_map,
        batch=batch,
        image_px=image_px,
        overwrite=overwrite,
    )
    print(f"wrote {done.file}: {done.images} images, vectors of {' x '.join(map(str, done.shape))}")
    say_refused(done.refused)
