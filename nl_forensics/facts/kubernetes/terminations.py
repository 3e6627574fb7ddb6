"""Terminations of containers, in words, and crash loops."""

import pandas as pd

EXIT_CODES = {
    0: "it ended normally",
    1: "an error of the program",
    2: "an error of the program, often wrong arguments",
    126: "its command can't be executed",
    127: "its command was not found",
    128: "the runtime could not start it",
    130: "interrupted, SIGINT",
    134: "it aborted, SIGABRT",
    137: "killed, SIGKILL",
    139: "segmentation fault, SIGSEGV",
    143: "terminated, SIGTERM",
    255: "an error outside the usual codes",
}
"""128 + n: ended by signal n, as a shell counts it."""

BACK_OFF_S = 300  # the longest pause of the kubelet between two starts
FORGOTTEN_S = 600  # after this long without a crash, the kubelet resets its back-off


def exit_in_words(reason: pd.Series, code: pd.Series) -> pd.Series:
    """`OOMKilled, exit code 137: killed, SIGKILL`."""
    meaning = code.map(EXIT_CODES).fillna("an error of the program")
    return reason + ", exit code " + code.astype("str") + ": " + meaning


def kept(k8s_containers: pd.DataFrame) -> pd.DataFrame:
    """Without the containers of pods that are being deleted, which end intentionally."""
    return k8s_containers[k8s_containers.pod_deletion_requested_at.isna()]


def with_last_end(rows: pd.DataFrame) -> pd.DataFrame:
    """The last termination of each container, whether it is terminated, waiting for its next start, or running again.

    Adds `end_reason`, `end_code`, `ended_at`, `ended` (in words) and `ran_s`.
    """
    is_terminated = rows.state == "terminated"
    ended_at = rows.state_finished_at.where(is_terminated, rows.last_finished_at)
    began_at = rows.state_started_at.where(is_terminated, rows.last_started_at)
    rows = rows.assign(
        end_reason=rows.state_reason.where(is_terminated, rows.last_reason),
        end_code=rows.state_exit_code.where(is_terminated, rows.last_exit_code),
        ended_at=ended_at.where(rows.ends_are_dated.fillna(False)),
    )
    rows["ended"] = exit_in_words(rows.end_reason, rows.end_code)
    return rows.assign(ran_s=(rows.ended_at - began_at).dt.total_seconds())


def is_crash_looping(rows: pd.DataFrame, min_restarts: int) -> pd.Series:
    """Whether a container is in a crash loop; between two crashes its state is `running`."""
    crashed = (rows.end_reason != "Completed") & ((rows.asked_at - rows.ended_at).dt.total_seconds() <= FORGOTTEN_S)
    return (rows.state_reason == "CrashLoopBackOff") | ((rows.restarts >= min_restarts) & crashed)


def first_crash(rows: pd.DataFrame) -> pd.Series:
    """Earliest onset of a crash loop, as only the last crash is kept: the pod was created, or every back-off was the longest.

    A running container was restarted after its last crash, so there was one back-off less.
    """
    pauses = (rows.restarts - (rows.state == "running")).clip(lower=0).astype("float64")
    longest = pd.to_timedelta(pauses * BACK_OFF_S, unit="s")
    earliest = rows.ended_at.fillna(rows.asked_at) - longest
    return earliest.where(earliest > rows.pod_created_at, rows.pod_created_at)
