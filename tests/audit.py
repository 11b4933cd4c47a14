"""`bin/audit`: asks OSV for known vulnerabilities of every package in the lock files.

Exits with 1 for one that `.ci/audit.toml` does not except, and for an exception that has run out. Where OSV
cannot be asked it says so and exits with 0: a network that is away is no vulnerability.
"""

from __future__ import annotations

import datetime
import json
import re
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OSV = "https://api.osv.dev/v1/querybatch"
AT_ONCE = 500
ANSWER_WITHIN = 20
LONGEST_EXCEPTION = datetime.timedelta(days=92)


class NotAsked(Exception):
    """OSV could not be asked, or did not answer what we understand."""


@dataclass(frozen=True, order=True)
class Package:
    """A package as a lock file pins it."""

    ecosystem: str
    name: str
    version: str


def locked(root: Path) -> list[Package]:
    """Return what the lock files pin: requirements*.txt and every package-lock.json of ours."""
    found = set()
    for path in sorted(root.glob("requirements*.txt")):
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", path.read_text(), re.M):
            found.add(Package("PyPI", name, version))
    for path in (root / "package-lock.json", *sorted(root.glob("tests/judges/*/package-lock.json"))):
        if path.exists():
            found |= set(_of_npm(json.loads(path.read_text())))
    return sorted(found)


def _of_npm(lock: dict[str, Any]) -> Iterator[Package]:
    for place, one in lock["packages"].items():
        name = one.get("name") or place.rpartition("node_modules/")[2]
        if place and name and "version" in one and not one.get("link"):
            yield Package("npm", name, one["version"])


def ask(packages: list[Package], *, url: str = OSV) -> dict[Package, list[str]]:
    """Return the ids of known vulnerabilities of those packages that have any. Raises NotAsked."""
    found: dict[Package, list[str]] = {}
    for start in range(0, len(packages), AT_ONCE):
        some = packages[start : start + AT_ONCE]
        queries = [
            {"package": {"ecosystem": one.ecosystem, "name": one.name}, "version": one.version}
            for one in some
        ]
        answers = _post(url, {"queries": queries})
        if len(answers) != len(some):
            raise NotAsked(f"{len(answers)} answers to {len(some)} questions")
        for one, answer in zip(some, answers, strict=True):
            if ids := sorted(known["id"] for known in (answer or {}).get("vulns", [])):
                found[one] = ids
    return found


def _post(url: str, body: dict[str, Any]) -> list[Any]:
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_WITHIN) as answer:
            results = json.load(answer)["results"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotAsked(f"{type(error).__name__}: {error}") from error
    if not isinstance(results, list):
        raise NotAsked("the answer is no list")
    return results


def judge(
    found: dict[Package, list[str]], exceptions: list[dict[str, Any]], *, today: datetime.date
) -> list[str]:
    """Return what is wrong: vulnerabilities without an exception, exceptions without a good end or reason."""
    wrong, excepted = [], set()
    for one in exceptions:
        name = one.get("id", "an exception")
        until, since = one.get("until"), one.get("since")
        if (
            not isinstance(until, datetime.date)
            or not isinstance(since, datetime.date)
            or not one.get("reason")
        ):
            wrong.append(f"{name}: an exception needs `since`, `until` and `reason`")
        elif until - since > LONGEST_EXCEPTION:
            wrong.append(f"{name}: an exception holds {LONGEST_EXCEPTION.days} days at most")
        elif until < today:
            wrong.append(f"{name}: the exception ended on {until}: {one['reason']}")
        else:
            excepted.add(name)
    for package, ids in sorted(found.items()):
        left = [known for known in ids if known not in excepted]
        if left:
            wrong.append(f"{package.name} {package.version} ({package.ecosystem}): {', '.join(left)}")
    return wrong


def main() -> int:
    """Ask, print, and return the exit code."""
    packages = locked(ROOT)
    exceptions = tomllib.loads((ROOT / ".ci" / "audit.toml").read_text()).get("exceptions", [])
    try:
        found = ask(packages)
    except NotAsked as error:
        print(f"bin/audit: OSV could not be asked ({error}); {len(packages)} packages were not checked")
        found = {}
    else:
        print(f"bin/audit: {len(packages)} packages checked, {len(found)} with known vulnerabilities")
    wrong = judge(found, exceptions, today=datetime.datetime.now(datetime.UTC).date())
    for line in wrong:
        print(f"  {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
