"""Fixtures: stores, servers, Spark. What a failed test leaves behind is printed with it."""

import contextlib
import copy
import itertools
import re
import shutil
from pathlib import Path

import pytest
from harness import catalogs, place, stores
from harness import spark as spark_harness
from harness.delta import DeltaLake
from harness.iceberg import IcebergLake
from harness.lake import Lake
from harness.process import Process, clean_environment
from harness.server import Server

STORES = ["local", "seaweedfs", "minio"]
CATALOGS = ["seaweedfs", "java"]
COUNTER = itertools.count(1)


def pytest_configure(config):
    if not place.binary().exists():
        raise pytest.UsageError(f"{place.binary()} is missing: run `cargo build --release`, or tests/run")


def need(what):
    """Skips the test if this run does without `what`."""
    reason = place.left_out(what)
    if reason:
        pytest.skip(f"{what}: {reason}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Adds the end of every log of the test's folder to a failure."""
    outcome = yield
    report = outcome.get_result()
    folder = item.funcargs.get("folder") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and folder is not None:
        for log in sorted(Path(folder).rglob("*.log")):
            report.sections.append((str(log), log.read_text(errors="replace")[-5000:]))


@pytest.fixture
def folder(tmp_path, request):
    """The test's own folder, removed when the test has passed."""
    yield tmp_path
    failed = request.session.testsfailed > getattr(request.session, "failed_before", 0)
    request.session.failed_before = request.session.testsfailed
    if not failed:
        shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory):
    store = stores.start_seaweedfs(tmp_path_factory.mktemp("seaweedfs"))
    yield store
    store.close()


@pytest.fixture(scope="session")
def minio(tmp_path_factory):
    need("minio")
    store = stores.start_minio(tmp_path_factory.mktemp("minio"))
    yield store
    store.close()


@pytest.fixture(scope="session", params=STORES)
def store(request, tmp_path_factory):
    """Every store in turn."""
    if request.param == "local":
        return stores.LocalStore(tmp_path_factory.mktemp("local"))
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def seaweedfs_catalog(tmp_path_factory):
    """A SeaweedFS with its catalog of Iceberg tables."""
    folder = tmp_path_factory.mktemp("seaweedfs-catalog")
    catalog = catalogs.SeaweedCatalog(stores.start_seaweedfs(folder, with_catalog=True)).ready()
    yield catalog
    catalog.close()


@pytest.fixture(scope="session")
def java_catalog(tmp_path_factory, seaweedfs_catalog):
    """Iceberg's own catalog, for lakes on local disk or in that SeaweedFS."""
    need("catalog")
    catalog = catalogs.JavaCatalog(tmp_path_factory.mktemp("java-catalog"), seaweedfs_catalog.store)
    yield catalog
    catalog.close()


@pytest.fixture(scope="session", params=CATALOGS)
def catalog(request):
    """Every catalog in turn, with a place for lakes."""
    return request.getfixturevalue(f"{request.param}_catalog")


@pytest.fixture(scope="session", params=[*CATALOGS, "java-s3"])
def catalog_and_place(request):
    """Every catalog in turn, and the Java one with lakes in a bucket too."""
    if request.param != "java-s3":
        return request.getfixturevalue(f"{request.param}_catalog")
    catalog = copy.copy(request.getfixturevalue("java_catalog"))
    catalog.name, catalog.store = request.param, catalog.s3
    return catalog


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    need("spark")
    session = spark_harness.start(tmp_path_factory.mktemp("spark"))
    yield session
    session.stop()


@pytest.fixture
def own_store(folder):
    """A SeaweedFS of the test's own, to be killed."""
    store = stores.start_seaweedfs(folder / "weed")
    yield store
    with contextlib.suppress(Exception):
        store.resume()
    store.close()


@pytest.fixture(params=["seaweedfs", "java"])
def own_catalog(request, folder):
    """A catalog of the test's own, to be killed: SeaweedFS', with the store, or Iceberg's own without it."""
    if request.param == "seaweedfs":
        store = stores.start_seaweedfs(folder / "weed", with_catalog=True)
        catalog = catalogs.SeaweedCatalog(store).ready()
    else:
        need("catalog")
        catalog = catalogs.JavaCatalog(folder / "catalog")
    yield catalog
    with contextlib.suppress(Exception):
        catalog.resume()
    catalog.close()


def unique(request):
    """A name for a lake that no other test has."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    return f"{name[:40]}-{next(COUNTER)}"


@pytest.fixture
def lake(request, store):
    """An empty lake in the store."""
    return Lake(store.lake(unique(request)))


@pytest.fixture
def delta_lake(folder):
    """An empty lake on local disk whose table is to be a Delta table."""
    return DeltaLake(stores.LocalStore(folder).lake("lake"))


@pytest.fixture
def iceberg_lake(request, catalog):
    """An empty lake whose table is to be an Iceberg table, in each catalog."""
    name = unique(request)
    return IcebergLake(catalog.lake(name), catalog, f"of_{name.replace('-', '_')}")


@pytest.fixture
def local_lake(folder):
    """An empty lake on local disk, for tests that are not about stores."""
    return Lake(stores.LocalStore(folder).lake("lake"))


@pytest.fixture
def make_server(folder):
    """Makes servers (not started) that are ended with the test."""
    made = []

    def make(lake, *flags, name="server", **more):
        server = Server(folder / name, lake.at, flags, **more)
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


@pytest.fixture
def server(make_server, local_lake):
    """A server on local disk that rolls only when told to stop."""
    return make_server(local_lake, "--roll-age", "1h").start()


@pytest.fixture
def command(folder):
    """Runs the program to its end and returns what it printed. Any exit code but the expected one
    is a failure, unless `expect` is None. Standard input is the file `stdin`, or empty."""
    numbers = itertools.count(1)

    def run(*arguments, timeout_s=120, expect=0, env=None, cwd=None, stdin=None):
        log = folder / f"command-{next(numbers)}.log"
        process = Process(
            [place.binary(), *arguments],
            log,
            clean_environment(**(env or {})),
            cwd=cwd or folder,
            stdin=stdin,
        )
        code = process.wait(timeout_s)
        if expect is not None:
            assert code == expect, f"{process.command} ended with {code}:\n{process.tail()}"
        return process.output()

    return run
