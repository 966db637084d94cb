"""A Trino server of the tests' own, on loopback, and its answers: plain tables by the Hive connector,
Delta tables, Iceberg tables. Tables are registered in a metastore that is a folder."""

import datetime
import json
import os
import re
import subprocess
import time
import urllib.request
from pathlib import Path

from . import place
from .process import Process, clean_environment, free_port, wait_until
from .stores import KEY, SECRET

READY_S = 240
QUERY_S = 120

JVM = """\
-Xmx2G
-XX:InitialRAMPercentage=5
-XX:+UseSerialGC
-XX:TieredStopAtLevel=1
-XX:+EnableDynamicAgentLoading
-XX:ReservedCodeCacheSize=256M
-Djdk.attach.allowAttachSelf=true
-Dfile.encoding=UTF-8
--add-modules=jdk.incubator.vector
--enable-native-access=ALL-UNNAMED
--sun-misc-unsafe-memory-access=allow
"""


def java():
    """A Java that runs Trino 476, which wants 24 or newer; or None."""
    homes = [os.environ.get("JAVA_HOME", ""), *map(str, sorted(Path("/usr/lib/jvm").glob("*")))]
    for home in filter(None, homes):
        program = Path(home) / "bin/java"
        if program.exists():
            told = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
            version = re.search(r'version "(\d+)', told)
            if version and int(version[1]) >= 24:
                return program
    return None


class Trino:
    """A running server. `close()` ends it."""

    def __init__(self, folder, s3_port=None, catalogs=None):
        self.folder = Path(folder)
        self.port = free_port()
        self._configure(s3_port, catalogs or {})
        installed = place.CACHE / "trino"
        command = [
            java(),
            *JVM.split("\n")[:-1],
            f"-Dconfig={self.folder / 'etc/config.properties'}",
            "-cp",
            f"{installed}/lib/*",
            "io.trino.server.TrinoServer",
        ]
        self.process = Process(command, self.folder / "trino.log", clean_environment(), cwd=self.folder)
        try:
            self._ready()
        except BaseException:
            self.process.end(5)
            raise

    def _write(self, name, lines):
        path = self.folder / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))

    def _configure(self, s3_port, catalogs):
        (self.folder / "metastore").mkdir(parents=True)
        self._write(
            "config.properties",
            {
                "node.environment": "tests",
                "node.id": "tests",
                "node.bind-ip": "127.0.0.1",
                "node.internal-address": "127.0.0.1",
                "coordinator": "true",
                "node-scheduler.include-coordinator": "true",
                "http-server.http.port": self.port,
                "discovery.uri": f"http://127.0.0.1:{self.port}",
                "query.max-memory": "1GB",
                "query.max-memory-per-node": "1GB",
                "plugin.dir": place.CACHE / "trino/plugin",
                "catalog.config-dir": self.folder / "etc/catalog",
            },
        )
        storage = {"fs.native-local.enabled": "true", "local.location": "/"}
        if s3_port:
            storage |= {
                "fs.native-s3.enabled": "true",
                "s3.endpoint": f"http://127.0.0.1:{s3_port}",
                "s3.region": "us-east-1",
                "s3.path-style-access": "true",
                "s3.aws-access-key": KEY,
                "s3.aws-secret-key": SECRET,
            }
        metastore = {"hive.metastore": "file", "hive.metastore.catalog.dir": f"local://{self.folder}/metastore"}
        parquet = {"hive.parquet.time-zone": "UTC"}
        self._write("catalog/plain.properties", {"connector.name": "hive", **metastore, **storage, **parquet})
        self._write(
            "catalog/delta.properties",
            {
                "connector.name": "delta_lake",
                **metastore,
                **storage,
                "delta.register-table-procedure.enabled": "true",
            },
        )
        for name, lines in catalogs.items():
            self._write(f"catalog/{name}.properties", {"connector.name": "iceberg", **lines, **storage})

    def _ready(self):
        def answers():
            if not self.process.running():
                raise AssertionError(f"Trino ended:\n{self.process.tail()}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/info", timeout=5) as answer:
                    return not json.load(answer)["starting"]
            except (OSError, ValueError):
                return False

        wait_until(answers, READY_S, f"Trino did not get ready:\n{self.process.tail()}", 0.5)

    def query(self, sql, schema=None):
        """All rows of an answer, as JSON has them. `schema` is a catalog's name, a dot, a schema's."""
        return self._ask(sql, schema)[1]

    def rows(self, sql):
        """All rows as a Python reader has them: {column: value}, with times, and structs by names."""
        columns, found = self._ask(sql)
        kinds = [(column["name"], column["typeSignature"]) for column in columns]
        return [
            {name: _value(value, kind) for (name, kind), value in zip(kinds, row, strict=True)} for row in found
        ]

    def _ask(self, sql, schema=None):
        headers = {"X-Trino-User": "tests", "X-Trino-Time-Zone": "UTC"}
        # Without it, times are given in ms.
        headers["X-Trino-Client-Capabilities"] = "PARAMETRIC_DATETIME"
        if schema:
            headers["X-Trino-Catalog"], headers["X-Trino-Schema"] = schema.split(".")
        url = f"http://127.0.0.1:{self.port}/v1/statement"
        request = urllib.request.Request(url, sql.encode(), headers)
        columns, rows, deadline = [], [], time.monotonic() + QUERY_S
        while True:
            with urllib.request.urlopen(request, timeout=60) as answer:
                said = json.load(answer)
            assert "error" not in said, f"{sql}: {said['error']['message']}"
            columns = said.get("columns", columns)
            rows += said.get("data", [])
            if "nextUri" not in said:
                return columns, rows
            assert time.monotonic() < deadline, f"no end after {QUERY_S} s: {sql}"
            request = urllib.request.Request(said["nextUri"], headers=headers)

    def close(self):
        self.process.end(1)


def _value(value, kind):
    """A value of JSON as Python has it."""
    if value is None:
        return None
    name, inner = kind["rawType"], [argument["value"] for argument in kind["arguments"]]
    match name:
        case "array":
            return [_value(item, inner[0]) for item in value]
        case "map":
            return [[key, _value(item, inner[1])] for key, item in value.items()]
        case "row":
            members = [(member["fieldName"]["name"], member["typeSignature"]) for member in inner]
            return {name: _value(item, of) for (name, of), item in zip(members, value, strict=True)}
        case "timestamp" | "timestamp with time zone":
            return datetime.datetime.fromisoformat(value.removesuffix(" UTC")).replace(tzinfo=datetime.UTC)
        case "date":
            return datetime.date.fromisoformat(value)
        case "double":
            return float(value)
    return value
