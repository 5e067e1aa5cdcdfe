"""Asks whether known vulnerabilities are in what constraints.txt pins: pip-audit, which asks a service on the network.

Ends with 0 when all was looked up and nothing is known, with 1 when something is, and with 3 when it could not be
asked, or not about all: pip-audit itself takes what it did not find for good.

Example: .venv/bin/python gateway/setup/audit.py
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
VULNERABLE: Final = 1
NOT_ASKED: Final = 3
_SECONDS: Final = 900


def verdict(said: str, complaint: str) -> tuple[int, str]:
    """(exit code, what to tell) of what pip-audit has printed as JSON, and of what it said beside it."""
    try:
        found: list[dict[str, Any]] = json.loads(said)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (complaint.strip() or "it said nothing").splitlines()[-1]
        return NOT_ASKED, f"no audit was made: {last}\nIt needs the network: try again where there is one."
    lines = [
        f"{each['name']} {each['version']}: {known['id']}, mended in {', '.join(known['fix_versions']) or 'no version'}"
        for each in found
        for known in each.get("vulns", ())
    ]
    skipped = [each for each in found if "skip_reason" in each]
    lines += [f"{each['name']}: not audited: {each['skip_reason']}" for each in skipped]
    vulnerable = len({each["name"] for each in found if each.get("vulns")})
    asked = len(found) - len(skipped)
    lines.append(f"{asked} of {len(found)} pinned packages were audited; {vulnerable} have a known vulnerability")
    code = VULNERABLE if vulnerable else NOT_ASKED if skipped or not found else 0
    return code, "\n".join(lines)


if __name__ == "__main__":
    try:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "constraints.txt")),
                *("--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"),
            ],
            check=False, capture_output=True, text=True, timeout=_SECONDS,
        )  # fmt: skip
        code, words = verdict(done.stdout, done.stderr)
    except subprocess.TimeoutExpired:
        code, words = NOT_ASKED, f"no audit was made: no answer within {_SECONDS} s; try again later"
    sys.stderr.write(words + "\n")
    sys.exit(code)
