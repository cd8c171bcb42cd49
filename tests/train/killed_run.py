"""Trains as test_loop's `train` does, slowly enough to be killed; writes the end result."""

import json
import os
import sys
import time
from pathlib import Path

from safetensors.torch import save_file
from tasks import Numbers
from test_loop import train


class SlowNumbers(Numbers):
    """Says when the second batch is asked for, so that the first step is done."""

    def __getitems__(self, keys):
        if len(self.seen) == 8:
            print("started", flush=True)
        time.sleep(0 if "FAST" in os.environ else 0.02)
        return super().__getitems__(keys)


out = Path(sys.argv[1])
state, history = train(out / "state", dataset=SlowNumbers(), epochs=8)
save_file(state, out / "final.safetensors")
(out / "history.json").write_text(json.dumps(history))
print("done", flush=True)
