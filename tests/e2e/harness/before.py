"""A lake of before: its table has columns that the built-in schema has no more, those for the application in the
entries of a user action's lists of properties. The program of then is this one with the schema of then as its own."""

import json

from . import delta, place
from .delta import DeltaLake
from .documents import FIRST_MS, document
from .lake import TABLE
from .log_table import LoggedLake, verify
from .views import shape

BEFORE = place.DATA / "user_sessions-before.avsc"
ACTIONS, PROPERTIES = "user_actions", "user_properties"
NO_FLAT = ("--roll-age", "1h")
FLAGS = (*NO_FLAT, "--flat-tables", f"{ACTIONS},{PROPERTIES}")
LISTS = {"stringProperties": "gold", "longProperties": 7, "doubleProperties": 0.5, "dateProperties": "2026-11-01"}
OF_ENTRY = {"applicationId": "shop", "internalApplicationId": "APPLICATION-1"}
GONE = [(name, column) for name in LISTS for column in OF_ENTRY]


def session(name, start_ms=FIRST_MS):
    """A session with properties of each type, and with the fields in those of its action if its name says so."""
    of_entry = OF_ENTRY if "filled" in name else {}
    lists = {of: [{"key": "k", "value": value, **of_entry}, {"key": "other"}] for of, value in LISTS.items()}
    action = {"name": "a", "application": "shop", "internalApplicationId": "APPLICATION-9", **lists}
    own = [{"key": "plan", "value": "gold", **OF_ENTRY}]
    return document(name, start_ms, tenantId="t", stringProperties=own, userActions=[{"name": "first"}, action]) + b"\n"


OLD, NEW = ("old", "old-filled"), ("new", "new-filled")


def land(make_server, lake, flags=(), names=(OLD, NEW), first=FLAGS):
    """Lands sessions by the schema of before and, after an upgrade with the same state directory, by that of today."""
    server = make_server(lake, *first, "--schema", BEFORE, *flags)
    for some in names:
        server.start()
        for name in some:
            assert server.put(session(name)).status == 200
        server.drain()
        server.flags = [str(flag) for flag in (*first, *flags)]
    return server


def extra(row):
    return json.loads(row["_extra"] or "{}")


def check_sessions(rows, columns=True, names=(*OLD, *NEW)):
    """Each value is in its column, if it came before, and else in `_extra`; all others are as ever. Without `columns`
    a reader that does not see them."""
    assert sorted(row["userSessionId"] for row in rows) == sorted(names)
    for row in map(shape, rows):
        name, (first, action) = row["userSessionId"], row["userActions"]
        assert {of: row["stringProperties"][0][of] for of in OF_ENTRY} == OF_ENTRY
        assert not any(first[of] for of in LISTS)
        check_action(name, action, row["_extra"] or {}, "/userActions/1", columns)


def check_action(name, action, extras, pointer, columns):
    assert action["internalApplicationId"] == "APPLICATION-9"
    for of, value in LISTS.items():
        entry, other = action[of]
        assert (entry["key"], entry["value"]) == ("k", value) and (other["key"], other["value"]) == ("other", None)
        assert not any(other.get(column) for column in OF_ENTRY)
    in_columns = {(of, column): action[of][0].get(column) for of, column in GONE}
    in_extra = {(of, column): extras.pop(f"{pointer}/{of}/0/{column}", None) for of, column in GONE}
    nothing = dict.fromkeys(GONE)
    filled = {(of, column): OF_ENTRY[column] for of, column in GONE}
    assert not extras, name
    assert in_columns == (filled if name == "old-filled" and columns else nothing), name
    assert in_extra == (filled if name == "new-filled" else nothing), name


def check_flat(actions, properties, columns=True):
    actions = [shape(row) for row in actions if row["name"] == "a"]
    assert sorted(row["userSessionId"] for row in actions) == sorted((*OLD, *NEW))
    for row in actions:
        check_action(row["userSessionId"], row, row["_extra"] or {}, "", columns)
    # Of each session one of its own and two of each list of its action.
    assert len(properties) == 4 * (1 + 2 * len(LISTS))
    for row in properties:
        is_new = row["userSessionId"] == "new-filled" and row["level"] == "action" and row["key"] == "k"
        assert extra(row) == ({f"/{of}": value for of, value in OF_ENTRY.items()} if is_new else {}), row


def of_action(path):
    """Whether a path of a leaf column is one of those that are gone."""
    first, *within = path.replace(".list.element", "").split(".")
    return first == "userActions" and tuple(within) in GONE


def gone_columns(lake, table=TABLE):
    """How many of the columns each file has, by its path."""
    found = {}
    for path in lake.data_files(table):
        sql = f"SELECT DISTINCT path_in_schema FROM parquet_metadata('{lake.uri(path)}')"
        paths = [path.replace(", ", ".") for (path,) in lake.connection.execute(sql).fetchall()]
        found[path] = sum(map(of_action, paths))
    return found


def by_duckdb(lake, table=TABLE):
    return delta.by_files(lake, table).to_pylist()


def rows_of(lake):
    return (delta.by_duckdb if isinstance(lake, DeltaLake) else delta.by_files)(lake).to_pylist()


def check_lake(lake, command):
    lake.check_table() if isinstance(lake, LoggedLake) else lake.check_receipts()
    verify(lake, command)
