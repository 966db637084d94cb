"""A Debian with systemd, booted in a container without a network: where packages are installed as users do it."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from . import place
from .process import Process, clean_environment, wait_until

BOOT_S = 120


class Machine:
    """The system below `folder`/root. `run` gives a shell in it what a reader types."""

    def __init__(self, folder, name="machine"):
        self.root = Path(folder) / name
        self.root.mkdir()
        subprocess.run(["cp", "-a", f"{place.CACHE}/debian-root/.", self.root], check=True)
        (self.root / "etc/hostname").write_text(f"{name}\n")
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost {name}\n::1 localhost\n")
        self.log = Path(folder) / f"{name}.log"
        self.leader = None
        try:
            self.boot()
        except BaseException:
            self.close()
            raise

    def boot(self):
        # No machined here to register with; the control group is the one that the tests are in.
        command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network"]
        command += ["-D", self.root, "--boot"]
        self.process = Process(command, self.log, clean_environment())
        self.leader = wait_until(self._leader, BOOT_S, "the container has no first process")
        wait_until(self._running, BOOT_S, "the system did not boot", 0.3)

    def _leader(self):
        assert self.process.running(), f"systemd-nspawn ended:\n{self.process.tail()}"
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return children[0] if children else None

    def _running(self):
        state = self.run("systemctl is-system-running", expect=None).strip()
        return state in ("running", "degraded")

    def command(self, text):
        """What runs `text` in the system, in the folder of the packages."""
        enter = ["nsenter", "--target", self.leader, "--all", "--wdns=/", "env", "-i", "HOME=/root"]
        enter += ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
        return [*enter, "bash", "-euo", "pipefail", "-c", f"mkdir -p /packages; cd /packages; {text}"]

    def run(self, text, expect=0, timeout_s=120):
        done = subprocess.run(
            self.command(text), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=timeout_s, check=False,
        )  # fmt: skip
        if expect is not None and done.returncode != expect:
            journal = self.run("journalctl -n 40 -o cat", expect=None)
            raise AssertionError(f"{text}\n{done.stdout}\n{journal}")
        return done.stdout

    def start(self, text):
        """The same in the background."""
        return subprocess.Popen(
            self.command(text), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def give(self, path):
        (self.root / "packages").mkdir(exist_ok=True)
        shutil.copy(path, self.root / "packages" / Path(path).name)

    def close(self):
        # All that runs in it ends with its first process, and holds its files until then.
        with contextlib.suppress(ProcessLookupError, TypeError):
            os.kill(int(self.leader), signal.SIGKILL)
        self.process.kill()
        for _ in range(50):
            shutil.rmtree(self.root, ignore_errors=True)
            if not self.root.exists():
                return
            time.sleep(0.1)
