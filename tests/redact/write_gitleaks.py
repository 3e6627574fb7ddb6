"""Writes `nl_forensics/redact/gitleaks.json` from a release of gitleaks: the rules that know a token by its shape alone, and the vendors.

GOFLAGS=-mod=mod go mod download -json github.com/zricethezav/gitleaks/v8@v8.30.1   # prints Dir
python -m tests.redact.write_gitleaks DIR
"""

import json
import re
import sys
import tomllib
from pathlib import Path

TO = Path(__file__).parents[2] / "nl_forensics" / "redact" / "gitleaks.json"
# Contexts, which are rules of our own; forty hexadecimal digits, which are a commit.
LEFT_OUT = {
    *(
        "curl-auth-header",
        "curl-auth-user",
        "kubernetes-secret-yaml",
        "private-key",
        "nuget-config-password",
        "jwt-base64",
    ),
    *(
        "sidekiq-sensitive-url",
        "freemius-secret-key",
        "sourcegraph-access-token",
        "slack-webhook-url",
        "azure-ad-client-secret",
    ),
    *("generic-api-key", "jwt", "facebook-access-token", "microsoft-teams-webhook"),
}
END = re.compile(r"\(\?:\[\\x60'\"\\s;\]\|\\\\\[nr\]\|\$(?:\|\\b)?\)$|\(\?:\[\^[^\]]*\]\|\\z\)$|\\b$")
NEAR = re.compile(r"\[\\w\.-\]\{0,50\}\?\(\?:(.*?)\)\(\?:\[ \\t\\w\.-\]\{0,20\}\)")


def shapes(rules: list[dict]) -> dict[str, str]:
    """Without what stands around the token: a word may begin or end there in more ways than in source code."""
    found = {}
    for rule in rules:
        regex = rule.get("regex", "")
        if regex and rule["id"] not in LEFT_OUT and not NEAR.search(regex):
            found[rule["id"]] = _bare(END.sub("", regex).removeprefix(r"\b").replace(r"(?i)\b", "(?i)"))
    return found


def _bare(regex: str) -> str:
    """Without the group around all of it."""
    flags, inner = ("(?i)", regex[4:]) if regex.startswith("(?i)") else ("", regex)
    while inner.startswith("(") and not inner.startswith("(?") and inner.endswith(")"):
        try:
            re.compile(inner[1:-1].replace("(?i)", "").replace("[[:alnum:]]", "x"))
        except re.error:
            break
        inner = inner[1:-1]
    return flags + inner


def vendors(rules: list[dict]) -> list[str]:
    """Names that a random value beside them belongs to."""
    near = [rule for rule in rules if NEAR.search(rule.get("regex", "")) and rule["id"] not in LEFT_OUT]
    return sorted({word for rule in near for word in rule["keywords"] if re.fullmatch("[a-z][a-z0-9_-]{3,}", word)})


def main(folder: Path) -> None:
    rules = tomllib.loads((folder / "config" / "gitleaks.toml").read_text())["rules"]
    kept = {
        "from": f"gitleaks {folder.name.rpartition('@')[2]}, config/gitleaks.toml",
        "licence": (folder / "LICENSE").read_text(),
        "vendors": vendors(rules),
        "shapes": shapes(rules),
    }
    TO.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
