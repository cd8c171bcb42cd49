"""A training that is slow enough to be killed, in a process of its own."""

import json
import time
from pathlib import Path

from safetensors.torch import save_file
from tasks import Numbers
from test_loop import train


class SlowNumbers(Numbers):
    """Says when the second batch is asked for, so that the first step is done."""

    def __init__(self, started, pause):
        super().__init__()
        self._started, self._pause = started, pause

    def __getitems__(self, keys):
        if len(self.seen) == 8:
            self._started.set()
        time.sleep(self._pause)
        return super().__getitems__(keys)


def run(out: Path, started, pause: float) -> None:
    """Trains as test_loop's `train` does and writes the end result; waits `pause` seconds before each batch."""
    state, history = train(out / "state", dataset=SlowNumbers(started, pause), epochs=8)
    save_file(state, out / "final.safetensors")
    (out / "history.json").write_text(json.dumps(history))
