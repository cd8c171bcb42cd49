"""One torch thread per process: with several, two cores under contention are slower than one."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
