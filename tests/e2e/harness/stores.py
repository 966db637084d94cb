"""The places a lake can be in: local disk, SeaweedFS, MinIO. One shape for all, so that every
behaviour is tested on each.

The two S3 servers are the tests' own, listen on loopback only, and are ended by their pid. Neither
calls home: SeaweedFS' statistics and MinIO's update check are off.
"""

import hashlib
import hmac
import json
import re
import shutil
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from pyarrow import fs

from . import place
from .process import Process, Stoppable, clean_environment, free_port, wait_until

KEY, SECRET = "lake-tests-key", "lake-tests-secret"
TABLE_BUCKET = "warehouse"
READY_S = 60


@dataclass
class LakeAt:
    """One lake: its URI as the program is told it, and how tests reach the same files."""

    uri: str
    files: fs.FileSystem
    base: str
    env: dict = field(default_factory=dict)
    duckdb_setup: str = ""
    spark_base: str = ""
    hadoop: dict = field(default_factory=dict)


class LocalStore:
    """A folder."""

    name = "local"

    def __init__(self, folder):
        self.folder = Path(folder)

    def lake(self, name):
        path = self.folder / name
        return LakeAt(str(path), fs.LocalFileSystem(), str(path), spark_base=path.as_uri())

    def pause(self):
        raise NotImplementedError("a folder cannot be stopped")


class S3Store(Stoppable):
    """A bucket of an S3 server of ours."""

    def __init__(self, name, process, port):
        self.name = name
        self.process = process
        self.port = port
        self.bucket = f"lake-{name}"
        self.scratch = None
        self.catalog_port = None
        self.files = fs.S3FileSystem(
            access_key=KEY,
            secret_key=SECRET,
            region="us-east-1",
            scheme="http",
            endpoint_override=f"127.0.0.1:{port}",
            allow_bucket_creation=True,
        )

    def lake(self, name):
        endpoint = f"127.0.0.1:{self.port}"
        env = {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{endpoint}",
            "AWS_ALLOW_HTTP": "true",
        }
        setup = (
            f"CREATE OR REPLACE SECRET (TYPE s3, KEY_ID '{KEY}', SECRET '{SECRET}', REGION 'us-east-1',"
            f" ENDPOINT '{endpoint}', URL_STYLE 'path', USE_SSL false)"
        )
        of_bucket = f"fs.s3a.bucket.{self.bucket}"
        hadoop = {
            f"{of_bucket}.endpoint": f"http://{endpoint}",
            f"{of_bucket}.endpoint.region": "us-east-1",
            f"{of_bucket}.path.style.access": "true",
            f"{of_bucket}.access.key": KEY,
            f"{of_bucket}.secret.key": SECRET,
            f"{of_bucket}.aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        }
        return LakeAt(
            f"s3://{self.bucket}/{name}",
            self.files,
            f"{self.bucket}/{name}",
            env,
            setup,
            f"s3a://{self.bucket}/{name}",
            hadoop,
        )

    def unfinished_uploads(self, prefix=""):
        """The keys of uploads in parts that were begun and neither completed nor aborted."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{KEY}/{scope}",
            "X-Amz-Date": now,
            "X-Amz-Expires": "60",
            "X-Amz-SignedHeaders": "host",
            "prefix": prefix,
            "uploads": "",
        }
        query = urllib.parse.urlencode(sorted(query.items()), quote_via=urllib.parse.quote, safe="")
        host = f"127.0.0.1:{self.port}"
        asked = f"GET\n/{self.bucket}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
        signed = hashlib.sha256(asked.encode()).hexdigest()
        key = f"AWS4{SECRET}".encode()
        for word in scope.split("/"):
            key = hmac.digest(key, word.encode(), "sha256")
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{signed}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        url = f"http://{host}/{self.bucket}?{query}&X-Amz-Signature={signature}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return re.findall("<Upload>.*?<Key>(.*?)</Key>", answer.read().decode(), re.DOTALL)

    def start_again(self):
        """Starts a killed server on the same data and ports."""
        old = self.process
        self.process = Process(old.command, old.log, clean_environment(), cwd=old.log.parent)
        _ready(self)

    def close(self):
        """Its data is thrown away with it, so it is not waited for long."""
        self.process.end(1)
        if self.scratch:
            shutil.rmtree(self.scratch, ignore_errors=True)


def _answers(port):
    """Whether something speaks HTTP there."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _ready(store):
    """Waits until the bucket can be made and written."""

    def writes():
        if not store.process.running():
            raise AssertionError(f"{store.name} ended:\n{store.process.tail()}")
        if not _answers(store.port):
            return False
        try:
            store.files.create_dir(store.bucket)
            with store.files.open_output_stream(f"{store.bucket}/ready") as out:
                out.write(b"ready")
        except OSError:
            return False
        return True

    wait_until(writes, READY_S, f"{store.name} did not get ready:\n{store.process.tail()}", 0.2)
    return store


TAKEN = ("is not available on", "address already in use")


def start_seaweedfs(folder, with_catalog=False):
    """Starts a SeaweedFS; with its catalog of Iceberg tables, and the bucket of their metadata, if asked.

    Of its ports, one may be taken between its choice and its use: it is tried again with others then.
    """
    for _ in range(3):
        try:
            return _start_seaweedfs(Path(folder), with_catalog)
        except AssertionError as error:
            if not any(words in str(error) for words in TAKEN):
                raise
            shutil.rmtree(folder)
    return _start_seaweedfs(Path(folder), with_catalog)


def _start_seaweedfs(folder, with_catalog):
    (folder / "data").mkdir(parents=True)
    sockets = Path(tempfile.mkdtemp(prefix="lake-tests-"))  # The path of a socket must be short.
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = {
        flag: free_port()
        for flag in (
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port",
            "filer.port.grpc",
            "s3.port",
            "s3.port.grpc",
        )
    }
    if with_catalog:
        ports |= {flag: free_port() for flag in ("s3.port.iceberg", "admin.port", "admin.port.grpc")}
        kind = ["mini", f"-tableBucket={TABLE_BUCKET}", "-admin.ui=false", "-webdav=false"]
    else:
        kind = ["server", "-filer", "-s3", "-s3.port.iceberg=0", "-master.volumeSizeLimitMB=512"]
    command = [
        place.tool("weed"),
        *kind,
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-volume.max=0",
        f"-s3.config={folder / 's3.json'}",
        "-s3.iam=false",
        "-s3.port.lance=0",
        f"-filer.localSocket={sockets / 'filer.sock'}",
        f"-s3.localSocket={sockets / 's3.sock'}",
        *(f"-{flag}={port}" for flag, port in ports.items()),
    ]
    process = Process(command, folder / "weed.log", clean_environment(), cwd=folder)
    store = _started("seaweedfs", process, ports["s3.port"])
    store.scratch, store.catalog_port = sockets, ports.get("s3.port.iceberg")
    return store


def start_minio(folder):
    folder = Path(folder)
    (folder / "data").mkdir(parents=True)
    port, console = free_port(), free_port()
    env = clean_environment(
        MINIO_ROOT_USER=KEY,
        MINIO_ROOT_PASSWORD=SECRET,
        MINIO_BROWSER="off",
        MINIO_UPDATE="off",
        MINIO_CALLHOME_ENABLE="off",
        HOME=folder,
    )
    command = [
        place.CACHE / "bin/minio",
        "server",
        "--quiet",
        "--address",
        f"127.0.0.1:{port}",
        "--console-address",
        f"127.0.0.1:{console}",
        folder / "data",
    ]
    process = Process(command, folder / "minio.log", env, cwd=folder)
    return _started("minio", process, port)


def _started(name, process, port):
    try:
        return _ready(S3Store(name, process, port))
    except BaseException:
        process.end(5)
        raise
