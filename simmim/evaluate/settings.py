"""Settings of every evaluation task by its name. Torch-free, so that sheets are checked before a job starts."""

from __future__ import annotations

from pydantic import BaseModel

from simmim.evaluate.classify_settings import AttentiveSettings, FinetuneSettings, FrozenSettings
from simmim.evaluate.dense_settings import DetectSettings, SegmentSettings

SETTINGS: dict[str, type[BaseModel]] = {
    "finetune": FinetuneSettings,
    "attentive": AttentiveSettings,
    "probe": FrozenSettings,
    "knn": FrozenSettings,
    "detect": DetectSettings,
    "segment": SegmentSettings,
}
