"""What every notebook needs, read once: by the process that the kernels of a report are forked from."""

import gc
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads would not survive a fork

import ipykernel.ipkernel
import ipykernel.kernelapp
import ipykernel.zmqshell  # noqa: F401
import pandas as pd

from nl_forensics import charts, checks, notebook, postmortem, preload, tables  # noqa: F401

pd.set_option("display.max_columns", 20)  # what it is in a kernel: where it was read, pandas saw a terminal
checks.load()
gc.freeze()
