"""A child process: its output kept in a file, every wait bounded, ended by its own pid only."""

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path


def wait_until(question, timeout_s, what, every_s=0.05):
    """Asks until the answer is true and returns it; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain: {what}")
        time.sleep(every_s)


# Below the ports that systems give to connections and to listeners on port 0. Processes that test side by
# side begin at places of their own, so that none takes a port which another one found and has not opened.
PORTS = range(10_000, 30_000)
NEXT_PORT = itertools.count(random.Random(os.getpid()).randrange(len(PORTS)))


def free_port():
    """A port that was free on loopback a moment ago, and that this process was not given before."""
    for number in itertools.islice(NEXT_PORT, len(PORTS)):
        port = PORTS[number % len(PORTS)]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"no port of {PORTS} is free")


def kill_until_done(command, cwd, growth, ends, env=None, first_s=0.05):
    """Starts `command` again and again and kills it, first after `first_s` and each time later, until it ends by itself: with 0, or,
    after a kill at its very end, with `ends` in its output."""
    kills, printed = 0, b""
    for wait in (first_s * growth**n for n in range(20)):
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(command, cwd=cwd, env=env and clean_environment(**env), **output)
        try:
            printed, _ = process.communicate(timeout=wait)
            assert process.returncode == 0 or (kills and ends in printed), printed
            assert kills >= 2, "it was over before it could be killed"
            return
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
    raise AssertionError(f"{kills} kills, and it has not ended by itself")


class Process:
    """`command` running, with standard output and error appended to the file `log`."""

    def __init__(self, command, log, env=None, cwd=None, stdin=None):
        self.command = [str(word) for word in command]
        self.log = Path(log)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as out, open(stdin or os.devnull, "rb") as given:
            self.child = subprocess.Popen(self.command, stdin=given, stdout=out, stderr=out, env=env, cwd=cwd)

    @property
    def pid(self):
        return self.child.pid

    def running(self):
        return self.child.poll() is None

    def output(self):
        """What this process (not an earlier one with the same log) has printed so far."""
        with self.log.open("rb") as log:
            log.seek(self.log_start)
            return log.read().decode(errors="replace")

    def tail(self, characters=6000):
        return self.output()[-characters:]

    def signal(self, number):
        self.child.send_signal(number)

    def wait(self, timeout_s):
        """The exit code. A process that does not end in time is killed, and that is a failure."""
        try:
            return self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.command[0]} did not end within {timeout_s} s; its last words:\n{self.tail()}"
            ) from None

    def kill(self):
        """SIGKILL, and the end of it."""
        if self.running():
            self.child.kill()
        self.child.wait(30)

    def end(self, timeout_s=20):
        """SIGTERM, then SIGKILL: for services of the tests, whose exit code says nothing."""
        if self.running():
            self.child.send_signal(signal.SIGCONT)
            self.child.terminate()
            try:
                self.child.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.child.wait(30)


def peak_memory_bytes(pid):
    """The highest resident memory of a running process."""
    return _memory_bytes(pid, "VmHWM")


def resident_memory_bytes(pid):
    """The resident memory of a running process now."""
    return _memory_bytes(pid, "VmRSS")


def _memory_bytes(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {name} for {pid}")


def clean_environment(**more):
    """The environment for the program under test: nothing of ours leaks into its settings."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "SESSIONLAKE_", "RUST_LOG"))
    }
    env.update({name: str(value) for name, value in more.items()})
    return env


class Stoppable:
    """A service of the tests with a `process`, which is stopped where it stands or killed."""

    def pause(self):
        """Stops its process where it stands: connections hang."""
        self.process.signal(signal.SIGSTOP)

    def resume(self):
        self.process.signal(signal.SIGCONT)

    def kill(self):
        """Kills it. What it answered for is in its files."""
        self.process.kill()
