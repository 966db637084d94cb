"""REST catalogs of Iceberg tables: SeaweedFS' own, and the one of Iceberg itself, in Java. One shape for
both, so that every behaviour is tested on each.

SeaweedFS' lies in a bucket of its own (a "table bucket"), in which nothing but tables can be; the lake is
in another bucket of the same server. The Java one takes tables at any address: beside a lake on local
disk, or in the bucket of a lake.
"""

import urllib.parse
import urllib.request
from pathlib import Path

from pyiceberg.catalog import load_catalog

from . import place, stores
from .process import Process, Stoppable, clean_environment, free_port, wait_until

READY_S = 60


class RestCatalog(Stoppable):
    """A catalog. `port` is where the program finds it, which a relay may have taken over."""

    warehouse = None
    credential = None

    def __init__(self, port):
        self.port = self.own_port = port

    @property
    def uri(self):
        """For readers: past any relay."""
        return f"http://127.0.0.1:{self.own_port}"

    @property
    def token_uri(self):
        return f"{self.uri}/v1/oauth/tokens"

    @property
    def env(self):
        """The program's settings."""
        settings = {"URI": f"http://127.0.0.1:{self.port}"}
        settings |= {"WAREHOUSE": self.warehouse} if self.warehouse else {}
        settings |= {"CREDENTIAL": self.credential} if self.credential else {}
        return {f"SESSIONLAKE_CATALOG_{name}": value for name, value in settings.items()}

    @property
    def flags(self):
        """Settings of clients."""
        flags = {"warehouse": self.warehouse, "credential": self.credential}
        return {name: value for name, value in flags.items() if value}

    def s3_of(self, at):
        """Settings of pyiceberg for the bucket of a lake; none for a folder."""
        if "AWS_ENDPOINT_URL" not in at.env:
            return {}
        return {
            "s3.endpoint": at.env["AWS_ENDPOINT_URL"],
            "s3.access-key-id": stores.KEY,
            "s3.secret-access-key": stores.SECRET,
            "s3.region": "us-east-1",
        }

    def load(self, at):
        """The catalog by pyiceberg, for tables whose files are where the lake is."""
        more = {**self.flags, **self.s3_of(at)}
        if self.credential:
            more["oauth2-server-uri"] = self.token_uri
        return load_catalog("tests", type="rest", uri=self.uri, **more)

    def attach(self, connection, name="catalog"):
        """Attaches it to DuckDB. Returns what the name of a namespace follows."""
        if self.credential:
            key, secret = self.credential.split(":")
            connection.execute(
                f"CREATE OR REPLACE SECRET of_{name} (TYPE iceberg, CLIENT_ID '{key}', CLIENT_SECRET '{secret}',"
                f" OAUTH2_SERVER_URI '{self.token_uri}')"
            )
            how = f"SECRET of_{name}"
        else:
            how = "AUTHORIZATION_TYPE 'none', ACCESS_DELEGATION_MODE 'none'"
        connection.execute(
            f"ATTACH '{self.warehouse or ''}' AS {name} (TYPE iceberg, ENDPOINT '{self.uri}', {how})"
        )
        return name

    def attach_spark(self, spark, at):
        """Makes it a catalog of Spark's, that reaches the files of the lake. Returns what the name of a
        namespace follows."""
        hadoop = spark.sparkContext._jsc.hadoopConfiguration()
        hadoop.set("fs.s3.impl", "org.apache.hadoop.fs.s3a.S3AFileSystem")
        for name, value in at.hadoop.items():
            hadoop.set(name, value)
            # Its own bucket is reached as that of the lake.
            if self.warehouse:
                bucket = at.base.split("/")[0]
                own = urllib.parse.urlsplit(self.warehouse).netloc
                hadoop.set(name.replace(f".{bucket}.", f".{own}."), value)
        name = f"{self.name.replace('-', '_')}_{self.own_port}"
        settings = {
            "": "org.apache.iceberg.spark.SparkCatalog",
            ".type": "rest",
            ".uri": self.uri,
            ".io-impl": "org.apache.iceberg.hadoop.HadoopFileIO",
            ".cache-enabled": "false",
            **{f".{flag}": value for flag, value in self.flags.items()},
        }
        if self.credential:
            settings |= {".oauth2-server-uri": self.token_uri, ".scope": "catalog"}
        for key, value in settings.items():
            spark.conf.set(f"spark.sql.catalog.{name}{key}", value)
        return name

    def for_trino(self):
        """Properties of a catalog of Trino."""
        settings = {"iceberg.catalog.type": "rest", "iceberg.rest-catalog.uri": self.uri}
        if self.warehouse:
            settings["iceberg.rest-catalog.warehouse"] = self.warehouse
        if self.credential:
            settings |= {
                "iceberg.rest-catalog.security": "OAUTH2",
                "iceberg.rest-catalog.oauth2.credential": self.credential,
                "iceberg.rest-catalog.oauth2.server-uri": f"{self.uri}/v1/oauth/tokens",
                "iceberg.rest-catalog.oauth2.scope": "catalog",
            }
        return settings

    def lake(self, name):
        """Where a lake may be whose tables are in this catalog."""
        return self.store.lake(name)

    def answers(self):
        try:
            urllib.request.urlopen(f"{self.uri}/v1/config", timeout=2).close()
        except OSError:
            return False
        return True

    def ready(self):
        def asked():
            if not self.process.running():
                raise AssertionError(f"{self.name} ended:\n{self.process.tail()}")
            return self.answers()

        wait_until(asked, READY_S, f"{self.name} did not get ready:\n{self.process.tail()}", 0.1)
        return self


class SeaweedCatalog(RestCatalog):
    """The catalog of a SeaweedFS: its process is that of the store."""

    name = "seaweedfs"
    warehouse = f"s3://{stores.TABLE_BUCKET}/"
    credential = f"{stores.KEY}:{stores.SECRET}"

    def __init__(self, store):
        super().__init__(store.catalog_port)
        self.store = store

    @property
    def process(self):
        return self.store.process

    def answers(self):
        """Also the bucket of tables has to be there, which is made after the catalog answers."""
        if not super().answers():
            return False
        try:
            self.load(self.lake("ready")).list_namespaces()
        except Exception:  # noqa: BLE001
            return False
        return True

    def start_again(self):
        self.store.start_again()
        self.ready()

    def close(self):
        self.store.close()


class JavaCatalog(RestCatalog):
    """Iceberg's own, over SQLite, for tables on local disk, or in the bucket of `s3`. Lakes are in `store`."""

    name = "java"

    def __init__(self, folder, s3=None):
        super().__init__(free_port())
        self.folder, self.s3 = Path(folder), s3
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store = stores.LocalStore(self.folder / "lakes")
        self.start_again()

    def start_again(self):
        jars, classes = place.CACHE / "catalog/jars", place.CACHE / "catalog/classes"
        of_store = {
            "s3.endpoint": f"http://127.0.0.1:{self.s3.port if self.s3 else 0}",
            "s3.access-key-id": stores.KEY,
            "s3.secret-access-key": stores.SECRET,
            "s3.path-style-access": "true",
            "client.region": "us-east-1",
        }
        properties = {
            "port": self.own_port,
            "catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
            "uri": f"jdbc:sqlite:{self.folder / 'catalog.db'}",
            "jdbc.schema-version": "V1",
            "warehouse": (self.folder / "warehouse").as_uri(),
            "io-impl": "org.apache.iceberg.io.ResolvingFileIO",
            **of_store,
        }
        command = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-cp", f"{jars}/*:{classes}", "RestCatalog"]
        command += [f"{name}={value}" for name, value in properties.items()]
        self.process = Process(command, self.folder / "catalog.log", clean_environment(), cwd=self.folder)
        self.ready()

    def close(self):
        self.process.end(2)
