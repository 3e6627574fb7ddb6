"""Imports what every notebook needs, once: in the process from which the kernels of a report are forked."""

import gc
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads would not survive a fork

import ipykernel.ipkernel
import ipykernel.kernelapp
import ipykernel.zmqshell  # noqa: F401

from nl_forensics import checks
from nl_forensics.delivery import notebook  # noqa: F401

checks.load()
gc.freeze()
