"""An Iceberg table of a lake, as its readers see it: DuckDB, pyiceberg and Spark, through a catalog."""

import dataclasses

from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

from .lake import TABLE, Lake
from .log_table import LoggedLake

MARK = "sessionlake.roll."
NAMESPACE = "sessionlake"


class IcebergLake(LoggedLake):
    """A lake whose table is an Iceberg table: rows are what the catalog's snapshot says."""

    def __init__(self, at, catalog, namespace=NAMESPACE):
        # Servers and commands get the catalog with the keys of the store.
        of_catalog = catalog.env
        if namespace != NAMESPACE:
            of_catalog["SESSIONLAKE_CATALOG_NAMESPACE"] = namespace
        super().__init__(dataclasses.replace(at, env={**at.env, **of_catalog}))
        self.catalog, self.namespace = catalog, namespace
        self._attached = None

    def source(self, table=TABLE):
        if self._attached is None:
            self._attached = self.catalog.attach(self.connection)
        return f"{self._attached}.{self.namespace}.{table}"

    def data_files(self, table=TABLE):
        return [path for path in super().data_files(table) if f"{table}/metadata/" not in path]

    def hidden(self):
        # Hadoop's checksums, beside what a catalog in Java writes in a folder.
        return [path for path in super().hidden() if not (path.endswith(".crc") and "/metadata/" in path)]

    def table(self, table=TABLE):
        """The table by pyiceberg, as it is now. None before it is created."""
        try:
            return self.catalog.load(self.at).load_table(f"{self.namespace}.{table}")
        except (NoSuchTableError, NoSuchNamespaceError):
            return None

    def session_ids(self):
        if self.table() is None:
            return []
        return [value for (value,) in self.query('SELECT "userSessionId" FROM {t}')]

    def forget(self):
        """Ends DuckDB's connection, and with it the token that a catalog had given before it was killed."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._attached = None

    def plain(self):
        """The same lake for servers without a catalog."""
        env = {name: value for name, value in self.at.env.items() if not name.startswith("SESSIONLAKE_")}
        return Lake(dataclasses.replace(self.at, env=env))

    def rows(self, table=TABLE):
        return self.query("SELECT count(*) FROM {t}", table)[0][0] if self.table(table) else 0

    def marks(self, table=TABLE):
        """The last roll of each node that the table has."""
        properties = self.table(table).properties
        return {key[len(MARK) :]: int(value) for key, value in properties.items() if key.startswith(MARK)}

    def paths(self, table=TABLE):
        """The files of the current snapshot, from the lake's root, in manifests' order."""
        root = self.table_root()
        paths = self.table(table).inspect.files()["file_path"].to_pylist()
        assert all(path.startswith(root) for path in paths), (root, paths[:3])
        return [path[len(root) :] for path in paths]

    def table_root(self):
        """What addresses of the lake's files begin with."""
        uri = self.at.uri
        return (uri if "://" in uri else f"file://{uri}") + "/"

    def snapshots(self, table=TABLE):
        return self.table(table).metadata.snapshots

    def history(self):
        return f"{len(self.snapshots())} snapshots"

    def ids_by_python(self):
        return by_pyiceberg(self, selected_fields=("userSessionId",))["userSessionId"].to_pylist()

    def ids_by_spark(self, spark):
        return by_spark(spark, self, columns="userSessionId")["userSessionId"].to_pylist()


def by_duckdb(lake, table=TABLE):
    return lake.connection.execute(f"SELECT * FROM {lake.source(table)}").to_arrow_table()


def by_pyiceberg(lake, table=TABLE, **scan):
    return lake.table(table).scan(**scan).to_arrow()


def by_spark(spark, lake, table=TABLE, columns="*"):
    return spark.sql(f"SELECT {columns} FROM {name_in_spark(spark, lake, table)}").toArrow()


def name_in_spark(spark, lake, table=TABLE):
    """Makes Spark know the catalog. Returns the table's name there."""
    return f"{lake.catalog.attach_spark(spark, lake.at)}.{lake.namespace}.{table}"


def without_empty_lists(value):
    """pyiceberg 0.12 gives an empty list for a list of structs that is null: the two cannot be told apart."""
    if isinstance(value, dict):
        return {name: without_empty_lists(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_empty_lists(inner) for inner in value] or None
    return value
