"""tests/run: every check of the project, from nothing.

The steps, in order: formatting, clippy, the build, unit and property tests, end-to-end tests. Each
prints a header, what it has to say and how long it took. A failed step does not stop the later
ones, except that end-to-end tests need the build. The last line adds everything up: each test of
cargo and pytest counts one, and so does each other check.
"""

import argparse
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import install
from install import CACHE, ROOT, TESTS, VENV

HELP = """\
What to run (everything if nothing is said):
  tests/run                 formatting, clippy, build, unit, property and end-to-end tests
  tests/run --quick         the same without Spark, MinIO and Iceberg's catalog in Java
  tests/run unit [ARG...]   cargo test only; arguments go to cargo test
  tests/run e2e [ARG...]    build, then the end-to-end tests; arguments go to pytest
  tests/run perf [ARG...]   build, then the long measurements: import against pyarrow, memory
  tests/run peers [ARG...]  build, then the same files by this program, pyarrow, DuckDB, ClickHouse and Polars
  tests/run queries [ARG...] build, then DuckDB's queries on our file and on its own, and what a look-up reads
  tests/run growth [ARG...] build, then how cost grows with documents, partitions, connections
  tests/run receipts [ARG...] build, then verify and inspect a lake of a million receipts
  tests/run serving [ARG...] build, then serve under load, with the journal compressed and not
  tests/run watching [ARG...] build, then what scrapes and the open status page cost
  tests/run soak [ARG...]   build, then the long searches: kills under load, store away, and a
                            million steps each of the unit tests' searches on broken disks and stores
  tests/run trino [ARG...]  build, then read plain, Delta and Iceberg tables with Trino (Java 24 or newer)
  tests/run otlp [ARG...]   build with the feature `otlp`, then its tests and what a collector gets
  tests/run packages [ARG...] build, then install and run the packages, the image and the chart
  tests/run upgrade OLD [ARG...] build, then upgrade from OLD and back under load; OLD is a program of an
                            earlier version, or a revision of git, which is built in tests/.cache
  tests/run release         make all that a release has, the program built twice and compared
  tests/run shapes [MINUTES] build, then search for small bodies that cost much, for an hour
  tests/run install         only install what the tests need

Everything that is installed, and every log, lies in tests/.cache, which git ignores; deleting that
folder is safe. The exit code is 0 only if nothing failed.
"""

CARGO_TIME_LIMIT_S = 40 * 60
E2E_TIME_LIMIT_S = 55 * 60
RELEASE_TIME_LIMIT_S = 120 * 60
SOAK_TIME_LIMIT_S = 180 * 60
# End-to-end tests wait for timers and servers as much as they compute. The tests of a file share what they start, and
# two processes have two of each store, catalog and Spark: more would need more memory than they save time.
SIDE_BY_SIDE = ["-n", "2", "--dist", "loadfile"]


class Tally:
    """What passed, failed and was left out, with the reasons."""

    def __init__(self):
        self.passed = self.failed = 0
        self.failures = []
        self.skips = []
        self.steps = []

    def check(self, name, ok, why=""):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            self.failures.append(f"{name}: {why}" if why else name)

    def count(self):
        return self.passed + self.failed + len(self.skips)

    def skip(self, name, why):
        self.skips.append(f"{name}: {why}")

    def close(self, seconds):
        say("summary")
        for name, took in self.steps:
            print(f"{took:8.1f} s  {name}")
        print(f"{seconds:8.1f} s  in all")
        for skip in self.skips:
            print(f"skipped: {skip}")
        for failure in self.failures:
            print(f"FAILED: {failure}")
        line = f"{self.passed} passed, {self.failed} failed"
        if self.skips:
            line += f", {len(self.skips)} skipped"
        print(line, flush=True)
        return 1 if self.failed or not self.passed else 0


def say(text):
    print(f"\n==== {text}", flush=True)


class Step:
    """A header before, the duration after."""

    def __init__(self, tally, name):
        self.tally, self.name = tally, name

    def __enter__(self):
        say(self.name)
        self.started = time.monotonic()
        return self

    def __exit__(self, *_):
        took = time.monotonic() - self.started
        self.tally.steps.append((self.name, took))
        print(f"---- {self.name}: {took:.1f} s", flush=True)


def run(command, limit_s, collect=False, env=None):
    """Runs a command with its output shown as it comes. Returns (exit code, output if collected).

    At the limit the command's whole process group is ended.
    """
    child = subprocess.Popen(
        list(map(str, command)),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        env=env,
        stdout=subprocess.PIPE if collect else None,
        stderr=subprocess.STDOUT if collect else None,
        start_new_session=True,
        text=True,
        errors="replace",
    )
    lines = []
    previous = signal.signal(signal.SIGALRM, lambda *_: os.killpg(child.pid, signal.SIGKILL))
    signal.alarm(int(limit_s))
    try:
        if collect:
            for line in child.stdout:
                print(line, end="", flush=True)
                lines.append(line)
        code = child.wait()
    except KeyboardInterrupt:
        os.killpg(child.pid, signal.SIGINT)
        child.wait()
        raise
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    return code, "".join(lines)


def has_cargo(subcommand):
    return (
        subprocess.run(
            ["cargo", subcommand, "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=False
        ).returncode
        == 0
    )


def cargo_check(tally, name, subcommand, command):
    """One cargo command that is one check."""
    with Step(tally, name):
        if not has_cargo(subcommand):
            print(f"left out: cargo {subcommand} is not installed here")
            tally.skip(name, f"cargo {subcommand} is not installed")
            return
        code, _ = run(command, CARGO_TIME_LIMIT_S)
        tally.check(name, code == 0, f"exit code {code}")


def build(tally, more=()):
    """Builds the program. Returns its path, or None."""
    with Step(tally, " ".join(["cargo build --release", *more])):
        # With a test, so that dependencies are built once: those of tests ask for features that would
        # otherwise make half of them be built again.
        code, _ = run(["cargo", "build", "--release", "--bins", "--test", "arrows", *more], CARGO_TIME_LIMIT_S)
        tally.check("cargo build --release", code == 0, f"exit code {code}")
    if code != 0:
        return None
    metadata = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--format-version", "1"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    ).stdout
    return Path(json.loads(metadata)["target_directory"]) / "release" / "sessionlake"


RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", re.MULTILINE)
FAILED_TEST = re.compile(r"^test (.+) \.\.\. FAILED$", re.MULTILINE)


# The crate's unit tests take a fifth of the time to build by this, over dependencies that are optimized as the
# program's are: 84 CPU seconds, where level 1 takes more than 600. They run for 4 CPU minutes.
SOON_BUILT = ["--config", "profile.release.package.sessionlake.opt-level=0"]


def unit_tests(tally):
    """All tests of cargo. Those of tests/ and of the docs are of the library as the program has it."""
    unit(tally, ["--lib", *SOON_BUILT])
    unit(tally, ["--bins", "--test", "*"])
    unit(tally, ["--doc"])


def unit(tally, more=(), limit_s=CARGO_TIME_LIMIT_S):
    name = " ".join(["cargo test --release", *(word for word in more if word.startswith("--"))][:2])
    with Step(tally, name):
        code, output = run(
            ["cargo", "test", "--release", "--no-fail-fast", *more], limit_s, collect=True
        )
    results = [tuple(map(int, found)) for found in RESULT.findall(output)]
    tally.passed += sum(passed for passed, _, _ in results)
    failed = sum(failed for _, failed, _ in results)
    tally.failed += failed
    tally.failures += [f"{name}: {test}" for test in FAILED_TEST.findall(output)]
    for _ in range(sum(ignored for _, _, ignored in results)):
        tally.skip(name, "a test is marked #[ignore]")
    if code != 0 and not failed:
        tally.check(name, False, f"exit code {code}, with no failed test: it did not run to its end")
    elif not results:
        tally.check(name, False, "ran no test")


def searches(tally):
    """The long forms of the searches on broken disks and stores, and of reading broken bytes."""
    steps = {
        "journal::tests::search": "1000000",
        "publish::tests::search": "1000000",
        "publish::tests::visible": "1000000",
        "publish::visibility::tests": "1000000",
        "commit::delta::tests::search": "1000000",
        "commit::iceberg::table::tests::search": "200000",
        "fuzz": "10000000",
    }
    for name, count in steps.items():
        os.environ["SESSIONLAKE_SEARCH_STEPS"] = count
        unit(tally, ["--lib", name, "--", "--nocapture"])
    del os.environ["SESSIONLAKE_SEARCH_STEPS"]


def shapes(tally, more):
    """The search for bodies that cost much. Its seed is the time, so that no two searches are the same."""
    minutes = more[0] if more else "60"
    os.environ["SESSIONLAKE_SHAPES_MINUTES"] = minutes
    os.environ.setdefault("SESSIONLAKE_SEARCH_SEED", str(int(time.time())))
    print(f"SESSIONLAKE_SEARCH_SEED={os.environ['SESSIONLAKE_SEARCH_SEED']}")
    test = ["--test", "shapes", "the_search", "--", "--nocapture"]
    unit(tally, test, CARGO_TIME_LIMIT_S + 60 * float(minutes))


# Pytest found no test: those that were asked for are all of the other kind.
NO_TEST = 5


def pytest(name, tally, binary, quick, parts, more):
    """The end-to-end tests, counted from pytest's own report."""
    with Step(tally, name):
        report = CACHE / "logs" / "e2e.xml"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.unlink(missing_ok=True)
        env = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            "SESSIONLAKE_TEST_BIN": str(binary),
            "SESSIONLAKE_TEST_LEFT_OUT": json.dumps(left_out(quick, parts)),
        }
        code, _ = run(
            [
                VENV / "bin/python",
                "-m",
                "pytest",
                "-c",
                TESTS / "e2e/pytest.ini",
                "--rootdir",
                TESTS / "e2e",
                f"--junitxml={report}",
                f"--basetemp={CACHE / 'tmp'}",
                *more,
            ],
            SOAK_TIME_LIMIT_S if "soak" in more else E2E_TIME_LIMIT_S,
            env=env,
        )
    if not report.exists():
        tally.check(name, False, f"pytest ended with {code} and left no report")
        return
    count_report(tally, name, report, code)


def count_report(tally, name, report, code):
    failed = tally.failed
    for case in ElementTree.parse(report).iter("testcase"):
        title = f"{case.get('classname', '').split('.')[-1]}::{case.get('name')}"
        bad = case.find("failure")
        bad = case.find("error") if bad is None else bad
        skipped = case.find("skipped")
        if bad is not None:
            tally.check(title, False, first_line(bad.get("message")))
        elif skipped is not None:
            tally.skip(title, first_line(skipped.get("message")))
        else:
            tally.check(title, True)
    if code not in (0, NO_TEST) and tally.failed == failed:
        tally.check(name, False, f"pytest ended with {code}, with no failed test")


def first_line(text):
    return (text or "").strip().split("\n")[0][:200]


def left_out(quick, parts):
    """What end-to-end tests cannot use here, and why: {"spark": reason, "minio": reason,
    "catalog": reason}."""
    if quick:
        return dict.fromkeys(("spark", "minio", "catalog", "debian", "nfpm"), "left out by --quick")
    reasons = {}
    for part in parts:
        if part.state != "ok":
            key = "spark" if part.name in ("spark", "jars") else part.name
            reasons[key] = f"{part.state}: {part.detail}"
    return reasons


def installed(tally, installation):
    """Waits for the installation and counts its parts. Returns the parts."""
    with Step(tally, "waiting for what the tests need"):
        parts = installation.join()
        for part in parts:
            print(f"{part.name}: {part.detail} ({part.seconds:.1f} s)")
            if part.state == "left out":
                tally.skip(f"install {part.name}", part.detail)
            elif part.state == "failed":
                print(part.log_tail())
                tally.check(f"install {part.name}", False, part.detail)
    return parts


def only_one_run():
    """Two runs in one clone would install over each other's heads: the second one says so."""
    CACHE.mkdir(parents=True, exist_ok=True)
    lock = (CACHE / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("another tests/run is at work in this clone (it holds tests/.cache/lock)")
    return lock


WHAT = [
    *("all", "unit", "e2e", "perf", "soak", "peers", "queries", "growth", "serving", "watching", "receipts", "shapes"),
    *("trino", "otlp", "packages", "upgrade", "install"),
]


def arguments():
    parser = argparse.ArgumentParser(
        prog="tests/run", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="without Spark, MinIO and the Java catalog")
    parser.add_argument("what", nargs="?", default="all", choices=WHAT)
    return parser.parse_known_args()


def main():
    options, more = arguments()
    if options.what in ("all", "install", "release") and more:
        sys.exit(f"tests/run: unknown argument {more[0]} (see tests/run --help)")
    if not shutil.which("cargo"):
        sys.exit("tests/run needs cargo: install Rust with rustup, see rust-version in Cargo.toml")
    if options.what == "upgrade" and not more:
        sys.exit("tests/run upgrade needs a program of an earlier version, or a revision (see tests/run --help)")
    lock = only_one_run()
    started = time.monotonic()
    tally = Tally()
    if options.what in ("peers", "queries", "growth", "serving", "watching", "receipts", "shapes"):
        if options.what == "shapes":
            shapes(tally, more)
        else:
            measurement(tally, options.what, more)
        code = tally.close(time.monotonic() - started)
        lock.close()
        sys.exit(code)
    installation = None
    if options.what != "unit":
        installation = install.Installation(options.quick, options.what)
        installation.start()
    if options.what == "all":
        cargo_check(tally, "cargo fmt --check", "fmt", ["cargo", "fmt", "--check"])
        cargo_check(
            tally,
            "cargo clippy",
            "clippy",
            ["cargo", "clippy", "--release", "--all-targets", "--", "-D", "warnings"],
        )
        cargo_check(tally, "cargo deny check", "deny", ["cargo", "deny", "check"])
        cargo_check(tally, "cargo audit", "audit", ["cargo", "audit"])
    built = ("all", "e2e", "perf", "soak", "trino", "otlp", "packages", "upgrade")
    feature = ["--features", "otlp"] if options.what == "otlp" else []
    binary = build(tally, feature) if options.what in built else None
    if options.what == "otlp":
        unit(tally, ["--lib", *SOON_BUILT, *feature, "otlp::"])
    if options.what == "unit" and more:
        unit(tally, more)
    elif options.what in ("all", "unit"):
        unit_tests(tally)
    if options.what == "soak":
        searches(tally)
    if installation is not None:
        parts = installed(tally, installation)
    if options.what == "install":
        for part in parts:
            if part.state == "ok":
                tally.check(f"install {part.name}", True)
    if options.what == "release":
        release(tally)
    if binary is not None:
        end_to_end(tally, options, binary, parts, more)
    code = tally.close(time.monotonic() - started)
    lock.close()
    sys.exit(code)


def measurement(tally, what, more):
    """A script of tests/measure with a Python environment of its own. Its figures are its result."""
    with Step(tally, "what is compared with"):
        part = install.peers()
        part.run()
        print(f"{part.name}: {part.detail}")
        tally.check(f"install {part.name}", part.state == "ok", part.detail)
    binary = build(tally) if part.state == "ok" else None
    if binary is not None:
        with Step(tally, what):
            script = [install.PEERS / "bin/python", "-B", TESTS / f"measure/{what}.py"]
            code, _ = run([*script, "--binary", binary, *more], E2E_TIME_LIMIT_S)
            tally.check(what, code == 0, f"exit code {code}")


def earlier(tally, given):
    """The program of an earlier version: a file, or what a revision builds."""
    if Path(given).is_file():
        return Path(given).resolve()
    with Step(tally, f"cargo build of {given}"):
        tree, target = CACHE / "earlier/source", CACHE / "earlier/target"
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True)
        archive = subprocess.run(["git", "archive", given], cwd=ROOT, capture_output=True, check=True)
        subprocess.run(["tar", "-x"], cwd=tree, input=archive.stdout, check=True)
        command = ["cargo", "build", "--release", "--bins", "--manifest-path", tree / "Cargo.toml"]
        code, _ = run([*command, "--target-dir", target], CARGO_TIME_LIMIT_S)
        tally.check(f"cargo build of {given}", code == 0, f"exit code {code}")
    return target / "release/sessionlake"


def release(tally):
    """What the release workflow does, into tests/.cache/release."""
    with Step(tally, "packaging/release"):
        here = {"PATH": f"{CACHE / 'bin'}:{os.environ['PATH']}", "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}
        command = [ROOT / "packaging/release", CACHE / "release"]
        code, _ = run(command, RELEASE_TIME_LIMIT_S, env={**os.environ, **here})
        tally.check("packaging/release", code == 0, f"exit code {code}")


def end_to_end(tally, options, binary, parts, more):
    if any(part.name == "python" and part.state != "ok" for part in parts):
        tally.check("end-to-end tests", False, "their Python environment could not be installed")
        return
    of = (tally, binary, options.quick, parts)
    if options.what in ("perf", "soak", "trino", "otlp", "packages"):
        pytest(options.what, *of, ["-m", options.what, "-s", *more])
        return
    if options.what == "upgrade":
        os.environ["SESSIONLAKE_TEST_OLD_BIN"] = str(earlier(tally, more[0]))
        pytest("upgrade", *of, [TESTS / "e2e/test_upgrade.py", "-s", *more[1:]])
        return
    usual, before = "not perf and not soak and not trino and not otlp and not long", tally.count()
    pytest("end-to-end tests", *of, ["-m", f"{usual} and not alone", *SIDE_BY_SIDE, *more])
    # They say how soon answers come.
    pytest("end-to-end tests that run alone", *of, ["-m", f"{usual} and alone", *more])
    if tally.count() == before:
        tally.check("end-to-end tests", False, "ran no test")


if __name__ == "__main__":
    main()
