"""Where things are, and what this run has to do without."""

import json
import os
import sys
from pathlib import Path

E2E = Path(__file__).resolve().parents[1]
TESTS = E2E.parent
ROOT = TESTS.parent
CACHE = TESTS / ".cache"
DATA = TESTS / "data"

CURL_CHECK = DATA / "curl-check.json"
CLASSIC = DATA / "classic-3-sessions.ndjson"
ELASTICSEARCH = DATA / "elasticsearch-bulk.ndjson"


def binary():
    """The program under test: what tests/run built, or the release build of this clone."""
    path = os.environ.get("SESSIONLAKE_TEST_BIN")
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    return Path(path) if path else Path(target) / "release" / "sessionlake"


def earlier_binary():
    """The program of an earlier version, from which `tests/run upgrade` upgrades and to which it goes back; the
    program under test itself where none is given."""
    path = os.environ.get("SESSIONLAKE_TEST_OLD_BIN")
    return Path(path) if path else binary()


def left_out(what):
    """Why `what` ("spark", "minio", "catalog", "prometheus", "debian", "nfpm", …) cannot be used in this run, or None."""
    reason = json.loads(os.environ.get("SESSIONLAKE_TEST_LEFT_OUT", "{}")).get(what)
    there = {
        "minio": CACHE / "bin/minio",
        "spark": CACHE / "jars",
        "catalog": CACHE / "catalog/classes",
        "trino": CACHE / "trino",
        "prometheus": CACHE / "prometheus",
        "debian": CACHE / "debian-root/usr/bin/systemctl",
        "nfpm": CACHE / "bin/nfpm",
        "helm": CACHE / "bin/helm",
        "packages": CACHE / "packages/bin/hadolint",
        "browser": CACHE / "browser.stamp",
    }[what]
    if reason is None and not there.exists():
        reason = "not installed (tests/run installs it)"
    return reason


def elasticsearch(version):
    """The folder of the official Elasticsearch client of this major version."""
    return CACHE / f"elasticsearch-{version}"


def tool(name):
    """A program of the tests' own environment."""
    return Path(sys.executable).parent / name
