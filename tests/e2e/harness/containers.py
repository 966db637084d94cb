"""Podman under the name of docker, with a store of its own, where there is neither a daemon nor systemd.

The network is that of the machine: there is none to make here. crun fails here, so it is runc.
"""

import os
import shutil
import subprocess
from pathlib import Path

from . import place
from .process import clean_environment

DOCKER = """#!/bin/bash
flags=(--runtime runc --cgroup-manager cgroupfs)
case "$1" in
    run) shift; set -- run --network host --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 --pull never "$@" ;;
    compose)
        shift
        printf '#!/bin/bash\nexec podman %s "$@"\n' "${flags[*]}" > "${0%/*}/podman-here"
        chmod +x "${0%/*}/podman-here"
        exec COMPOSE --podman-path "${0%/*}/podman-here" --in-pod false -f compose.yaml -f here.yaml "$@" ;;
esac
exec podman "${flags[@]}" "$@"
"""

# What there is not here: a network of containers, and limits above those of the machine.
HERE = """services:
  store: {network_mode: host, extra_hosts: ["store:127.0.0.1"], ulimits: {nofile: 4096, nproc: 4096}}
  receiver: {network_mode: host, extra_hosts: ["store:127.0.0.1"], ulimits: {nofile: 4096, nproc: 4096}}
"""

# A store of the tests as an image, on the files that the program's own has below it.
STORE = """FROM scratch
COPY base/ /
COPY store /usr/bin/store
ENTRYPOINT ["/usr/bin/store"]
"""


class Containers:
    """`docker` in `bin`, and the image of the program under test."""

    def __init__(self, folder):
        self.folder = Path(folder)
        (self.folder / "bin").mkdir()
        (self.folder / "bin/docker").write_text(DOCKER.replace("COMPOSE", str(place.CACHE / "packages/bin/podman-compose")))
        (self.folder / "bin/docker").chmod(0o755)
        store = f'[storage]\ndriver = "vfs"\ngraphroot = "{self.folder}/store"\nrunroot = "{self.folder}/run"\n'
        (self.folder / "storage.conf").write_text(store)
        self.env = clean_environment(
            CONTAINERS_STORAGE_CONF=self.folder / "storage.conf",
            BUILDAH_ISOLATION="chroot",
            PATH=f"{self.folder / 'bin'}:{os.environ['PATH']}",
        )

    def build(self, name):
        return self.run(f"{place.ROOT}/packaging/image/build {place.binary()} {name}", timeout_s=300)

    def build_store(self, name, program):
        """An image whose program is `program`."""
        context = self.folder / name
        context.mkdir()
        (context / "Containerfile").write_text(STORE)
        shutil.copy(program, context / "store")
        return self.run(
            f"{place.ROOT}/packaging/image/base {context}/base && buildah bud --quiet --tag {name} {context}", timeout_s=300
        )

    def run(self, text, expect=0, timeout_s=90, cwd=None):
        """What `text` prints, both outputs together."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=cwd or self.folder, env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert expect is None or done.returncode == expect, f"{text}\n{done.stdout}"
        return done.stdout

    def close(self):
        self.run("docker rm --all --force; docker volume prune --force; docker rmi --all --force", expect=None)
        shutil.rmtree(self.folder / "store", ignore_errors=True)
