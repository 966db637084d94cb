"""A real Prometheus, and promtool, from the package of the system."""

import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from . import place
from .process import Process, free_port, wait_until

BIN = place.CACHE / "prometheus/usr/bin"
EXAMPLES = place.ROOT / "examples/prometheus"
RULES = EXAMPLES / "sessionlake.rules.yml"

ALERT = re.compile(r"^ +- alert: (\w+)$", re.MULTILINE)
# Lengths of time in hastened rules are so many times shorter.
FACTOR = 60

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 500ms}}
rule_files: [{rules}]
scrape_configs:
  - job_name: sessionlake
    tls_config: {{insecure_skip_verify: true}}
    file_sd_configs: [{{files: [{targets}], refresh_interval: 1s}}]
"""


def promtool(*arguments, stdin=None):
    """Runs promtool. Returns its exit code and all that it said."""
    done = subprocess.run(
        [BIN / "promtool", *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


def hastened(rules, factor):
    """Rules in which all that is a length of time is so many times shorter: `for`, ranges, and how far
    predict_linear looks ahead. Numbers that are compared stay as they are."""

    def shorter(found):
        seconds = int(found[2]) * UNITS[found[3]] / factor
        return f"{found[1]}{round(seconds * 1000)}ms"

    rules = re.sub(r"(\bfor: )(\d+)([smhd])\b", shorter, rules)
    rules = re.sub(r"(\[)(\d+)([smhd])(?=\])", shorter, rules)
    return re.sub(r"(predict_linear\(.*\], )(\d+)\)", lambda found: f"{found[1]}{int(found[2]) / factor})", rules)


class Prometheus:
    """A server that scrapes targets each second, and evaluates rules (text) twice as often."""

    def __init__(self, folder, rules):
        folder.mkdir(parents=True)
        self.targets, self.port = folder / "targets.json", free_port()
        self.target([])
        (folder / "rules.yml").write_text(rules)
        config = folder / "prometheus.yml"
        config.write_text(CONFIG.format(rules=folder / "rules.yml", targets=self.targets))
        command = [
            BIN / "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        ]
        self.process = Process(command, folder / "prometheus.log")
        wait_until(self._is_ready, 30, "Prometheus is ready", 0.1)

    def _is_ready(self):
        assert self.process.running(), self.process.tail()
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5).status == 200
        except OSError:
            return False

    def target(self, servers):
        """Scrapes these (name, scheme, port) from now on."""
        groups = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": name, "__scheme__": scheme}}
            for name, scheme, port in servers
        ]
        new = self.targets.with_suffix(".new.json")
        new.write_text(json.dumps(groups))
        new.rename(self.targets)

    def api(self, path, **values):
        """What its API answers as `data`."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(values)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {values}: {error.read().decode()}") from None

    def query(self, text):
        """The series of an instant query, as [(labels, value)]."""
        return [(one["metric"], float(one["value"][1])) for one in self.api("query", query=text)["result"]]

    def fired(self, over="10m"):
        """{instance: names of the alerts that have been firing}; of those of no instance, None."""
        found = {}
        for labels, _ in self.query(f'count_over_time(ALERTS{{alertstate="firing"}}[{over}])'):
            found.setdefault(labels.get("instance"), set()).add(labels["alertname"])
        return found

    def close(self):
        self.process.end(10)
