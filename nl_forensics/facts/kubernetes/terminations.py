"""How containers ended, in words, and which of them end again and again."""

import pandas as pd

EXIT_CODES = {
    0: "it ended by itself",
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
FORGOTTEN_S = 600  # after so long without a crash, the kubelet takes the next one for the first


def exit_in_words(reason: pd.Series, code: pd.Series) -> pd.Series:
    """`OOMKilled, exit code 137: killed, SIGKILL`."""
    meaning = code.map(EXIT_CODES).fillna("an error of the program")
    return reason + ", exit code " + code.astype("str") + ": " + meaning


def kept(k8s_containers: pd.DataFrame) -> pd.DataFrame:
    """Without the containers of pods that somebody deletes: these end on purpose."""
    return k8s_containers[k8s_containers.pod_deletion_requested_at.isna()]


def with_last_end(rows: pd.DataFrame) -> pd.DataFrame:
    """How each container last ended, be it that it lies there, waits for the next start, or runs again.

    Adds `end_reason`, `end_code`, `ended_at`, `ended` (in words) and `ran_s`.
    """
    lies_there = rows.state == "terminated"
    began_at = rows.state_started_at.where(lies_there, rows.last_started_at)
    rows = rows.assign(
        end_reason=rows.state_reason.where(lies_there, rows.last_reason),
        end_code=rows.state_exit_code.where(lies_there, rows.last_exit_code),
        ended_at=rows.state_finished_at.where(lies_there, rows.last_finished_at),
    )
    rows["ended"] = exit_in_words(rows.end_reason, rows.end_code)
    return rows.assign(ran_s=(rows.ended_at - began_at).dt.total_seconds())


def loops(rows: pd.DataFrame, min_restarts: int) -> pd.Series:
    """Whether a container crashes again and again: between two crashes it looks as if it ran."""
    crashed = (rows.end_reason != "Completed") & ((rows.asked_at - rows.ended_at).dt.total_seconds() <= FORGOTTEN_S)
    return (rows.state_reason == "CrashLoopBackOff") | ((rows.restarts >= min_restarts) & crashed)


def first_crash(rows: pd.DataFrame) -> pd.Series:
    """When a loop began at the earliest, as only the last crash is kept: its pod was made, or every pause was the longest.

    One that runs again was restarted after its last crash, so that there was one pause less between the two.
    """
    pauses = (rows.restarts - (rows.state == "running")).clip(lower=0).astype("float64")
    longest = pd.to_timedelta(pauses * BACK_OFF_S, unit="s")
    earliest = rows.ended_at.fillna(rows.asked_at) - longest
    return earliest.where(earliest > rows.pod_created_at, rows.pod_created_at)
