"""The image: made from the program under test by buildah, run by podman. What a reader types is taken from
docs/installing.md."""

import json
import os
import re
import shutil
import subprocess

import pytest
from harness import place
from harness.containers import HERE, Containers
from test_first_look import port_3000  # noqa: F401
from test_packages import kinds, need, version

pytestmark = [pytest.mark.packages, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def docker(tmp_path_factory):
    need("debian")
    containers = Containers(tmp_path_factory.mktemp("containers"))
    try:
        containers.build(f"sessionlake:{version()}")
        yield containers
    finally:
        containers.close()


@pytest.fixture(autouse=True)
def ended(docker):
    """Whatever a test has left running."""
    yield
    docker.run("docker rm --all --force")


@pytest.fixture
def image():
    return f"sessionlake:{version()}"


def test_from_the_image_to_a_landed_session_by_the_steps_of_the_page(docker, folder, port_3000):  # noqa: F811
    first, second = kinds()["image"]
    told = docker.run(first, cwd=folder)
    assert '"status":"OK","lines":1' in told and told.endswith("ready\n"), told
    docker.run("docker healthcheck run sessionlake")
    told = docker.run(second, cwd=folder)
    assert "1 table, 1 file, 1 row" in told, told
    # The runtime's complaints about a missing systemd come before.
    state = json.loads(docker.run("docker inspect sessionlake 2> /dev/null"))[0]["State"]
    assert state["ExitCode"] == 0, "a stop in order"


def test_it_refuses_to_listen_to_others_without_tls_and_credentials(docker, image):
    told = docker.run(f"docker run --rm {image}", expect=2)
    assert "tls_cert, tls_key, credentials" in told


def test_it_runs_with_nothing_but_its_volume(docker, image, folder, port_3000):  # noqa: F811
    """Any user, no capability, nothing that can be written but the volume, 512 MiB: and it takes sessions."""
    bare = "--read-only --read-only-tmpfs=false --cap-drop ALL --security-opt no-new-privileges --user 12345:0 -m 512m"
    docker.run(f"docker run -d --name bare {bare} -v bare:/var/lib/sessionlake -e SESSIONLAKE_LISTEN=127.0.0.1:3000 {image}")
    told = docker.run(
        f"{place.binary()} simulate --seed 5 --sessions 3000 --tries 20 --pause 200ms --ledger ledger && "
        "chmod a+r ledger && docker stop --time 60 bare && docker logs bare",
        cwd=folder,
    )
    assert "below 512 MiB" not in told and "warning" not in told, told
    told = docker.run(f"docker run --rm {bare} -v bare:/var/lib/sessionlake -v {folder}/ledger:/ledger:ro {image} verify --ledger /ledger")
    assert "Every acknowledged session is in the lake once." in told, told
    inside = docker.run(f"docker run --rm {bare} -v bare:/var/lib/sessionlake {image} inspect")
    assert "user_sessions" in inside


def test_it_has_the_certificates_of_public_authorities_and_the_names_of_its_packages(docker, image, folder):
    docker.run(f"docker create --name files {image} && docker export files | tar -x -C {folder}")
    certificates = (folder / "etc/ssl/certs/ca-certificates.crt").read_text().count("BEGIN CERTIFICATE")
    assert certificates > 100
    assert {"libc6", "libgcc-s1", "ca-certificates"} <= {path.name for path in (folder / "var/lib/dpkg/status.d").iterdir()}
    # No shell, nothing to run but the program (and the loader that starts it).
    assert [path.name for path in (folder / "usr/bin").iterdir()] == ["sessionlake"]
    assert not (folder / "bin").exists() or not list((folder / "bin").iterdir())
    assert (folder / "usr/share/doc/sessionlake/THIRD-PARTY.md").stat().st_size > 100_000


@pytest.mark.long
def test_the_recipe_has_no_finding_and_the_image_is_the_same_the_second_time(docker, image, folder):
    need("packages")
    hadolint = place.CACHE / "packages/bin/hadolint"
    subprocess.run([hadolint, place.ROOT / "packaging/image/Containerfile"], check=True)
    digest = "docker inspect --format '{{{{.RootFS.Layers}}}}' {}"
    docker.build("again:1")
    assert docker.run(digest.format("again:1")) == docker.run(digest.format(image))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["minio", "seaweedfs"])
def test_the_steps_of_compose(docker, folder, port_3000, kind):  # noqa: F811
    """The compose.yaml as it is, by podman-compose, with the stores of the tests as images."""
    need("packages", *(["minio"] if kind == "minio" else []))
    docker.build_store(f"store-{kind}", place.CACHE / "bin/minio" if kind == "minio" else place.tool("weed").resolve())
    shutil.copytree(place.ROOT / "packaging/compose", folder / "compose")
    at = folder / "compose" / kind
    (at / "here.yaml").write_text(HERE)
    docker.env |= {"STORE_IMAGE": f"localhost/store-{kind}", "SESSIONLAKE_VERSION": version()}
    [steps] = kinds()["compose"]
    try:
        told = docker.run(steps, cwd=at, timeout_s=240)
    except AssertionError:
        print(docker.run("docker compose logs", cwd=at, expect=None))
        docker.run("docker compose down", cwd=at, expect=None)
        raise
    assert '"status":"OK","lines":1' in told and "1 table, 1 file, 1 row" in told, told
    # Made and not guessed, for their owner alone, and nowhere in the file that is shared.
    assert all((at / name).stat().st_mode & 0o077 == 0 for name in (".env", "credentials.toml", "s3.json"))
    assert re.search(r"STORE_SECRET=[0-9a-f]{40}\n", (at / ".env").read_text())
    assert os.listdir(place.ROOT / "packaging/compose" / kind) == ["compose.yaml"]
