"""The packages: made from the program under test, installed in a Debian with systemd and run there.

What a reader types is taken from docs/installing.md. Versions other than the program's own are the same program
in packages of another number: what is tested is what installing, upgrading and removing does to a service.
"""

import hashlib
import os
import re
import subprocess
import sys
import tarfile

import pytest
from harness import place
from harness.lake import connect
from harness.machine import Machine
from harness.process import wait_until
from test_docs import blocks

pytestmark = [pytest.mark.packages, pytest.mark.timeout(600)]
PAGE = place.ROOT / "docs/installing.md"
EPOCH = "1700000000"
LANDED = "SELECT count(*) FROM read_parquet('{}/var/lib/sessionlake/lake/user_sessions/*/*.parquet')"


def need(*parts):
    for part in parts:
        if place.left_out(part):
            pytest.skip(f"{part}: {place.left_out(part)}")


def make(out, *more):
    command = [sys.executable, "-B", place.ROOT / "packaging/make", place.binary(), out]
    command += ["--nfpm", place.CACHE / "bin/nfpm", "--level", "1", *more]
    env = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The packages of the program, and of a version below."""
    need("nfpm")
    at = tmp_path_factory.mktemp("packages")
    make(at / "below", "--version", "0.0.9", "--only", "deb")
    return make(at / "this")


@pytest.fixture(scope="module")
def machine(made, tmp_path_factory):
    need("debian")
    machine = Machine(tmp_path_factory.mktemp("machine"))
    try:
        for package in [*made.iterdir(), *(made.parent / "below").glob("*.deb")]:
            machine.give(package)
        yield machine
    finally:
        machine.close()


def kinds():
    """The blocks of the page, by kind."""
    found = {}
    for _, mark, code in blocks(PAGE):
        if mark and mark[0]:
            found.setdefault(mark[0], []).append(of_this_version(code))
    return found


def version():
    return subprocess.run([place.binary(), "--version"], capture_output=True, text=True, check=True).stdout.split()[1]


def of_this_version(code):
    """The page names the version of the sources and the commonest machine."""
    return code.replace("0.1.0", version())


def rows(machine):
    return connect().execute(LANDED.format(machine.root)).fetchone()[0]


def pid(machine):
    return machine.run("systemctl show -P MainPID sessionlake").strip()


def test_what_was_made_is_whole_and_the_same_the_second_time(made, folder):
    listed = dict(reversed(line.split()) for line in (made / "SHA256SUMS").read_text().splitlines())
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in made.iterdir() if path.name != "SHA256SUMS"}
    assert listed == found and len(found) == 4
    again = make(folder / "again")
    assert (again / "SHA256SUMS").read_text() == (made / "SHA256SUMS").read_text()
    [archive] = made.glob("*.tar.xz")
    with tarfile.open(archive) as tar:
        names = {name.split("/", 1)[1] for name in tar.getnames()}
    assert {
        "sessionlake", "LICENSE", "README.md", "THIRD-PARTY.md", "sessionlake.service", "sysusers.conf", "sessionlake.toml",
        "all-settings.toml", "man/sessionlake.1", "man/sessionlake-serve.1", "completions/_sessionlake",
        "completions/sessionlake.bash", "completions/sessionlake.fish", "docs/README.md",
    } <= names  # fmt: skip


def test_the_floor_of_glibc_is_the_one_that_the_page_says():
    # That of a program which was built on a later system is a later one.
    need("debian")
    symbols = subprocess.run(["objdump", "-T", place.binary()], capture_output=True, text=True, check=True).stdout
    versions = {tuple(map(int, version.split("."))) for version in re.findall(r"GLIBC_([\d.]+)", symbols)}
    [said] = re.findall(r"glibc (\d+)\.(\d+) or newer", PAGE.read_text())
    assert max(versions) <= tuple(map(int, said))


def test_the_settings_of_the_packages_are_taken(command):
    told = command("check", "--offline", "--config", place.ROOT / "packaging/sessionlake.toml")
    assert "warning" not in told, told


def test_the_sandbox_of_the_unit_is_scored(folder):
    need("debian")
    unit = place.ROOT / "packaging/sessionlake.service"
    for words in (["verify", "--man=no"], ["security", "--offline=yes", "--threshold=17"]):
        done = subprocess.run(["systemd-analyze", *words, unit], capture_output=True, text=True, check=False)
        told = done.stdout + done.stderr
        # The program is not installed on the machine that tests.
        if words[0] == "verify":
            wrong = [line for line in told.splitlines() if "is not executable" not in line]
            assert not wrong, told
            continue
        assert done.returncode == 0, told
        score = re.search(r"Overall exposure level for \S+: ([\d.]+) OK", told)
        assert score and f"calls that {score[1]}, OK" in PAGE.read_text(), told


def test_lintian_finds_no_error_in_the_deb(made):
    need("debian")
    [deb] = made.glob("*.deb")
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error", deb],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "\nE: " not in f"\n{done.stdout}", done.stdout + done.stderr


def test_the_steps_of_the_archive(machine):
    [steps] = kinds()["archive"]
    assert machine.run(steps).startswith("sessionlake ")
    assert "roll-age" in machine.run("source /usr/local/share/bash-completion/completions/sessionlake; complete -p sessionlake; zcat -f /usr/local/share/man/man1/sessionlake-serve.1 | sed 's/[\\]//g'")
    machine.run("rm -r /usr/local/bin/sessionlake /usr/local/share/man/man1/* /usr/local/share/bash-completion")


def test_from_the_deb_to_a_landed_session_by_the_steps_of_the_page(machine):
    """Then all that happens to a service in its life, in turn, on the one machine."""
    steps = kinds()["deb"]
    told = machine.run(steps[0])
    assert "sessionlake is not started" in told and '"status":"OK","lines":1' in told, told
    told = machine.run(steps[1])
    assert "1 table, 1 file, 1 row" in told and rows(machine) == 1, told
    assert "takes bodies" in machine.run("systemctl status sessionlake")
    assert machine.run("stat -c '%U %G %a' /etc/sessionlake/sessionlake.toml").split() == ["root", "sessionlake", "640"]
    assert machine.run("stat -c '%U %a' /var/lib/sessionlake").split() == ["sessionlake", "750"]
    machine.run("test ! -e /var/lib/sessionlake/data")

    # A reload keeps the process, and takes what has changed.
    before = pid(machine)
    machine.run("sed -i '1i log = \"debug\"' /etc/sessionlake/sessionlake.toml")
    machine.run(steps[2])
    wait_until(
        lambda: "reloaded" in machine.run("journalctl -u sessionlake -o cat"), 20,
        "the log says nothing of the reload", 0.3,
    )  # fmt: skip
    assert pid(machine) == before


def test_the_addition_to_the_unit_gives_it_another_lake_and_a_port_below_1024(machine):
    [addition] = [code for _, mark, code in blocks(PAGE) if "systemctl edit" in code]
    lines = [line.removeprefix("# ") for line in addition.splitlines()[1:]]
    at = machine.root / "etc/systemd/system/sessionlake.service.d"
    at.mkdir()
    (at / "override.conf").write_text("\n".join(lines) + "\n")
    settings = "/etc/sessionlake/sessionlake.toml"
    machine.run(f"install -d -o sessionlake /srv/lake; cp -p {settings} /tmp/before")
    machine.run(f"sed -i 's/^listen = .*/listen = \"127.0.0.1:443\"/; s|^lake = .*|lake = \"/srv/lake\"|; s|/state|/of-srv|' {settings}")
    send = "curl -sS -T - http://localhost:443/export/events <<< '{\"userSessionId\":\"elsewhere\",\"startTime\":1764000000000}'"
    told = machine.run(f"systemctl daemon-reload; systemctl restart sessionlake; {send}; systemctl stop sessionlake")
    assert '"status":"OK"' in told, told
    assert list((machine.root / "srv/lake/user_sessions").rglob("*.parquet"))
    (at / "override.conf").unlink()
    machine.run(f"cp -p /tmp/before {settings}; systemctl daemon-reload; systemctl start sessionlake; sessionlake health --ready")


def sending(machine, name, what):
    """Sends while `what` is done, and holds the rows of the lake against what was acknowledged."""
    before, at = rows(machine), machine.root / "packages"
    sender = machine.start(
        f"n=0; until [ -e {name}.end ]; do n=$((n + 1)); sessionlake simulate --quiet --seed $((100 * n + {len(name)})) "
        f"--sessions 400 --rate 400/s --tries 30 --pause 100ms --ledger {name}.$n.ledger; done"
    )
    acknowledged = lambda: sum(
        1 for path in at.glob(f"{name}.*.ledger") for line in path.read_text().splitlines() if not line.startswith("#")
    )
    wait_until(acknowledged, 30, "nothing was acknowledged")
    what()
    assert sender.poll() is None, "no bulk was discarded"
    (at / f"{name}.end").touch()
    told, _ = sender.communicate(timeout=100)
    assert sender.returncode == 0, told
    machine.run("systemctl restart sessionlake; sudo -u sessionlake sessionlake verify /var/lib/sessionlake/lake")
    assert rows(machine) - before == acknowledged() >= 400


def test_restarts_and_stops_under_load_lose_nothing(machine):
    def restarts():
        machine.run("systemctl restart sessionlake")
        machine.run("systemctl stop sessionlake; sleep 0.3; systemctl start sessionlake")

    sending(machine, "restarts", restarts)


def test_a_downgrade_and_an_upgrade_under_load_keep_data_and_settings(machine):
    settings = machine.run("cat /etc/sessionlake/sessionlake.toml")
    [down] = kinds()["deb downgrade"]
    up = kinds()["deb"][0].splitlines()[0]

    def changes():
        first = pid(machine)
        machine.run(down)
        assert "0.0.9" in machine.run("dpkg-query -W sessionlake")
        second = pid(machine)
        machine.run(up)
        assert "0.0.9" not in machine.run("dpkg-query -W sessionlake")
        assert len({first, second, pid(machine)}) == 3, "an installation restarts what runs"

    sending(machine, "changes", changes)
    assert machine.run("cat /etc/sessionlake/sessionlake.toml") == settings and 'log = "debug"' in settings
    assert machine.run("systemctl is-active sessionlake").strip() == "active"


def test_an_upgrade_that_does_not_take_the_settings_leaves_the_old_one_running(machine):
    before = pid(machine)
    machine.run("cp -p /etc/sessionlake/sessionlake.toml /tmp; sed -i '1i rol_age = \"1s\"' /etc/sessionlake/sessionlake.toml")
    told = machine.run(kinds()["deb downgrade"][0])
    assert "does not take the configuration" in told and "rol_age" in told, told
    assert pid(machine) == before
    # A start is refused for good, not tried for ever.
    machine.run("systemctl restart sessionlake", expect=1)
    assert machine.run("systemctl is-active sessionlake", expect=None).strip() == "failed"
    machine.run("cp -p /tmp/sessionlake.toml /etc/sessionlake/; systemctl start sessionlake; sessionlake health --ready")


def test_a_purge_leaves_the_lake_and_the_rpm_goes_on_with_it(machine, made):
    [purge] = kinds()["deb purge"]
    before = rows(machine)
    told = machine.run(purge)
    assert "/var/lib/sessionlake stays" in told, told
    machine.run("test ! -e /etc/sessionlake && test ! -e /usr/bin/sessionlake && test -d /var/lib/sessionlake/state")
    assert rows(machine) == before

    [rpm] = made.glob("*.rpm")
    needs = subprocess.run(["rpm", "-qp", "--requires", rpm], capture_output=True, text=True, check=True).stdout
    assert "libc.so.6(GLIBC_" in needs and "systemd" in needs
    # Of Red Hat there is nothing here but rpm itself: it installs into the machine's files, its scripts run there.
    machine.run("mkdir -p /var/lib/rpm")
    subprocess.run(["rpm", "--root", machine.root, "--initdb"], check=True)
    install = ["rpm", "--root", machine.root, "--nodeps"]
    subprocess.run([*install, "-i", rpm], check=True, capture_output=True, text=True)
    machine.run("systemctl daemon-reload; systemctl enable --now sessionlake; sessionlake health --ready")
    # Another session: the same body within ten minutes is a retry.
    machine.run(kinds()["deb"][0].split("--ready\n")[1].replace("my-first", "by-rpm"))
    machine.run("systemctl restart sessionlake")
    assert rows(machine) == before + 1
    machine.run("systemctl disable --now sessionlake")
    subprocess.run([*install, "-e", "sessionlake"], check=True, capture_output=True, text=True)
    assert rows(machine) == before + 1
    machine.run("test ! -e /usr/bin/sessionlake")
