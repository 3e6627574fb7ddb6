"""The lines of logs, whichever of the two sources read them."""

import pandas as pd


def dated_lines(k8s_unhealthy_logs: pd.DataFrame, k8s_logs: pd.DataFrame) -> pd.DataFrame:
    """All recorded lines with a known time: those of unhealthy containers first, each log in its own order."""
    rows = pd.concat([k8s_unhealthy_logs, k8s_logs], ignore_index=True)
    return rows[rows["at"].notna()]
