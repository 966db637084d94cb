"""Installs what the tests need below tests/.cache, once.

Each part has a stamp that holds a hash of what it was made from (pins, versions of the tools), so a
second run finds everything in place. Parts are independent and are installed side by side, while
cargo builds: downloads wait for the network, MinIO's build for a core. Registries are reached by
their ordinary clients as the machine has set them up; nothing needs root, but for `apt-get update` where
the lists of the system's packages are missing, and for what installs and boots a system (the part `debian`, which is
left out elsewhere).
"""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
CACHE = TESTS / ".cache"
VENV = CACHE / "venv"
PEERS = CACHE / "peers"
MINIO = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"

TRINO = "io.trino:trino-server:476:tar.gz"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"

# The package manager's own: a booted Debian for the deb, containers for the image, what checks packages.
DEBIAN = ["mmdebstrap", "systemd-container", "buildah", "podman", "runc", "lintian", "rpm"]
NFPM = "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2"
HELM = "helm.sh/helm/v3/cmd/helm@v3.22.0"
# What a machine has where packages are installed.
IN_ROOT = "systemd,systemd-sysv,dbus,curl,sudo,ca-certificates,libgcc-s1,xz-utils"

CLIENTS = ("elasticsearch-8", "elasticsearch-9")

LIMIT_S = 20 * 60
TRIES = 3


class Part:
    """One thing to install. `state` ends as "ok", "failed" or "left out"; `detail` says why."""

    def __init__(self, name, needs, made_from, make, cannot=lambda: None):
        self.name = name
        self.needs = needs  # {program: why}: without it the part is left out
        self.cannot = cannot  # () -> why it cannot be had here, or None
        self.made_from = made_from
        self.make = make
        self.state = None
        self.detail = ""
        self.seconds = 0.0
        self.log = CACHE / "logs" / f"install-{name}.log"

    def stamp(self):
        return CACHE / f"{self.name}.stamp"

    def run(self):
        started = time.monotonic()
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 - a thread's error must reach the summary
            self.state, self.detail = "failed", f"{type(error).__name__}: {error}"
        self.seconds = time.monotonic() - started

    def _run(self):
        missing = [f"{p} is missing ({why})" for p, why in self.needs.items() if not shutil.which(p)]
        if missing:
            self.state, self.detail = "left out", "; ".join(missing)
            return
        wanted = hashlib.sha256("\n".join(self.made_from()).encode()).hexdigest()
        stamp = self.stamp()
        if stamp.exists() and stamp.read_text() == wanted:
            self.state, self.detail = "ok", "already there"
            return
        stamp.unlink(missing_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if reason := self.cannot():
            self.state, self.detail = "left out", reason
            return
        with self.log.open("w") as log:
            self.make(lambda command, **more: _call(command, log, **more))
        stamp.write_text(wanted)
        self.state, self.detail = "ok", "installed"

    def log_tail(self, lines=25):
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def _call(command, log, **more):
    """Runs one installing command, a few times if need be: registries have bad moments."""
    for attempt in range(1, TRIES + 1):
        log.write(f"$ {' '.join(map(str, command))}\n")
        log.flush()
        code = subprocess.run(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=LIMIT_S,
            check=False,
            **more,
        ).returncode
        if code == 0:
            return
        if attempt < TRIES:
            time.sleep(5 * attempt)
    raise RuntimeError(f"`{command[0]}` ended with {code} after {TRIES} tries")


def _version(*command):
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
    ).stdout


def _python(requirements, venv=VENV):
    def make(call):
        if not (venv / "bin/python").exists():
            call([sys.executable, "-m", "venv", venv])
        call(
            [
                venv / "bin/python",
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-input",
                *(word for name in requirements for word in ("-r", TESTS / name)),
            ]
        )

    return make


def _python_from(requirements, venv=VENV):
    return lambda: [sys.version, str(venv), *((TESTS / name).read_text() for name in requirements)]


def _elasticsearch(version):
    requirements = TESTS / f"requirements-elasticsearch-{version}.txt"

    def make(call):
        target = CACHE / f"elasticsearch-{version}"
        shutil.rmtree(target, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
        call([*pip, "--target", target, "-r", requirements])

    made_from = lambda: [sys.version, requirements.read_text()]
    return Part(f"elasticsearch-{version}", {}, made_from, make)


def _jars_of(call, pom, folder):
    """Fills a folder with the jars of a Maven project, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    call(["mvn", "-q", "-B", "-f", TESTS / pom, *copy])


def _jars(call):
    _jars_of(call, "spark-jars/pom.xml", CACHE / "jars")


def _catalog(call):
    """The jars of Iceberg's own REST catalog, and the program that serves it."""
    folder = CACHE / "catalog"
    shutil.rmtree(folder, ignore_errors=True)
    _jars_of(call, "catalog/pom.xml", folder / "jars")
    program = TESTS / "catalog/RestCatalog.java"
    call(["javac", "-cp", f"{folder / 'jars'}/*", "-d", folder / "classes", program])


def _trino(call):
    """Trino with the connectors that tests use: 0.5 of 0.9 GB, and its package is not kept."""
    folder, package = CACHE / "trino", CACHE / "trino-package"
    for old in (folder, package):
        shutil.rmtree(old, ignore_errors=True)
    package.mkdir(parents=True)
    call(["mvn", "-q", "-B", COPY, f"-Dartifact={TRINO}", f"-DoutputDirectory={package}"])
    [archive] = package.glob("*.tar.gz")
    call(["tar", "-xzf", archive, "-C", package])
    [unpacked] = (path for path in package.iterdir() if path.is_dir())
    for plugin in (unpacked / "plugin").iterdir():
        if plugin.name not in ("hive", "delta-lake", "iceberg"):
            shutil.rmtree(plugin)
    unpacked.rename(folder)
    shutil.rmtree(package)


def _minio(call):
    env = {**os.environ, "GOBIN": str(CACHE / "bin")}
    call(["nice", "go", "install", "-ldflags=-s -w", MINIO], env=env, cwd=CACHE)


def _has_no(package):
    """Why the system's package manager has not this package for us. Root may ask it to look again."""
    known = lambda: "Candidate: (none)" not in (said := _version("apt-cache", "policy", package)) and said
    if not known() and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], stdin=subprocess.DEVNULL, check=False, timeout=LIMIT_S)
    return None if known() else f"apt-get knows no package {package} (`apt-get update` by root may help)"


def _prometheus(call):
    """Prometheus and promtool out of Debian's package, which is not installed: no service, no user."""
    folder, package = CACHE / "prometheus", CACHE / "prometheus-package"
    for old in (folder, package):
        shutil.rmtree(old, ignore_errors=True)
    package.mkdir(parents=True)
    call(["apt-get", "download", "-q", "prometheus"], cwd=package)
    [archive] = package.glob("*.deb")
    call(["dpkg-deb", "-x", archive, package / "all"])
    (folder / "usr/bin").mkdir(parents=True)
    for name in ("prometheus", "promtool"):
        (package / "all/usr/bin" / name).rename(folder / "usr/bin" / name)
    shutil.rmtree(package)


def _debian(call):
    """Programs from the package manager, and the Debian that the tests boot. 80 + 70 s."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Of another run in another clone: one has the package manager at a time.
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=600"]
    call([*apt, "update"])
    call([*apt, "install", "-y", "--no-install-recommends", *DEBIAN], env=env)
    root = CACHE / "debian-root"
    shutil.rmtree(root, ignore_errors=True)
    call(["nice", "mmdebstrap", "--quiet", "--variant=minbase", f"--include={IN_ROOT}", "bookworm", root])


def _has_no_containers():
    """Why this machine cannot boot a system in namespaces, or None."""
    system = Path("/etc/os-release")
    if not system.exists() or 'VERSION_CODENAME=bookworm' not in system.read_text() or os.geteuid() != 0:
        return "only root on Debian 12 has the tools that install, boot and check packages"
    unshare = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork", "true"]
    if subprocess.run(unshare, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode:
        return "this machine gives no namespaces"
    return _has_no("mmdebstrap")


def _go(module):
    env = {**os.environ, "GOBIN": str(CACHE / "bin")}
    return lambda call: call(["nice", "go", "install", "-ldflags=-s -w", module], env=env, cwd=CACHE)


def packages(long):
    """What the tests of the packages need; with `long`, of the chart too."""
    go = {"go": "it is built with `go install`"}
    found = [
        Part("debian", {"apt-get": "tests of the deb run on Debian"}, lambda: [*DEBIAN, IN_ROOT], _debian, _has_no_containers),
        Part("nfpm", go, lambda: [NFPM, _version("go", "version")], _go(NFPM)),
    ]  # fmt: skip
    if long:
        needs = ["requirements-packages.txt"]
        venv = CACHE / "packages"
        found += [
            Part("helm", go, lambda: [HELM, _version("go", "version")], _go(HELM)),
            Part("packages", {}, _python_from(needs, venv), _python(needs, venv)),
        ]
    return found


def _has_no_chromium():
    """Why there is no chromium, and root cannot install one."""
    if shutil.which("chromium"):
        return None
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "chromium is missing (root can install Debian's)"
    return None


def _browser(call):
    """Debian's chromium, and what drives it: in the environment of the tests."""
    if not shutil.which("chromium"):
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        lock = ["-o", "DPkg::Lock::Timeout=300"]
        call(["apt-get", "update", "-qq"])
        call(["apt-get", *lock, "install", "-y", "-q", "--no-install-recommends", "chromium"], env=env)
    _python(["requirements-browser.txt"])(call)


def peers():
    """What `tests/run peers` compares with, apart from what the tests need."""
    needs = ["measure/requirements.txt"]
    return Part("peers", {}, _python_from(needs, PEERS), _python(needs, PEERS))


def parts(quick, what="all"):
    """What to install: with `quick`, no Spark, no MinIO, no catalog in Java, no packages; Trino and the tools of
    the chart on demand."""
    plain = ["requirements.txt"]
    python = Part("python", {}, _python_from(plain), _python(plain))
    clients = [_elasticsearch(8), _elasticsearch(9)]
    if what == "otlp":
        with_classes = [*plain, "requirements-otlp.txt"]
        return [python, Part("otlp", {}, _python_from(with_classes), _python(with_classes[1:]))]
    if quick:
        return [python, *clients]
    both = [*plain, "requirements-spark.txt"]
    java = {"java": "Java 17 or newer runs Spark"}
    found = [
        Part(
            "minio",
            {"go": "MinIO is built with `go install`"},
            lambda: [MINIO, _version("go", "version")],
            _minio,
        ),
        python,
        *clients,
        Part("spark", java, _python_from(both), _python(both)),
        Part(
            "jars",
            {**java, "mvn": "Maven brings Spark's s3a jars"},
            lambda: [(TESTS / "spark-jars/pom.xml").read_text()],
            _jars,
        ),
        Part(
            "catalog",
            {
                "java": "Java 17 or newer runs Iceberg's REST catalog",
                "javac": "a JDK compiles its main class",
                "mvn": "Maven brings the jars of Iceberg's REST catalog",
            },
            lambda: [
                _version("javac", "-version"),
                *((TESTS / "catalog" / name).read_text() for name in ("pom.xml", "RestCatalog.java")),
            ],
            _catalog,
        ),
    ]
    debian = {"apt-get": "Prometheus comes from Debian", "dpkg-deb": "Prometheus comes from Debian"}
    system = lambda: [Path("/etc/os-release").read_text(), "prometheus, promtool"]
    found.append(Part("prometheus", debian, system, _prometheus, lambda: _has_no("prometheus")))
    found += packages(what in ("packages", "release"))
    with_browser = [*plain, "requirements-browser.txt"]
    found.append(Part("browser", {}, _python_from(with_browser), _browser, _has_no_chromium))
    if what == "trino":
        needs = {"mvn": "Maven brings Trino", "tar": "Trino's package is one of tar"}
        found.append(Part("trino", needs, lambda: [TRINO], _trino))
    return found


class Installation:
    """The parts being installed behind the back of the cargo steps."""

    def __init__(self, quick, what="all"):
        self.parts = parts(quick, what)
        by_name = {part.name: part for part in self.parts}
        # One environment: what shares it goes one after the other.
        lanes = [[part for part in self.parts if part.name in ("python", "spark", "browser", "otlp")]]
        # One after the other: both fill Maven's own store.
        lanes += [[part for part in self.parts if part.name in ("jars", "catalog", "trino")]]
        # One after the other: both ask the package manager.
        lanes += [[part for part in self.parts if part.name in ("prometheus", "debian")]]
        lanes += [[part for part in self.parts if part.name in ("minio", "nfpm", "helm")]]
        lanes += [[by_name[name]] for name in ("packages", *CLIENTS) if name in by_name]
        self.threads = [
            threading.Thread(target=lambda lane=lane: [part.run() for part in lane], daemon=True)
            for lane in lanes
        ]

    def start(self):
        CACHE.mkdir(parents=True, exist_ok=True)
        for thread in self.threads:
            thread.start()

    def join(self):
        for thread in self.threads:
            thread.join()
        return self.parts
