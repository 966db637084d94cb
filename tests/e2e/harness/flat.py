"""Flat tables held against the lists that they are made of, by DuckDB and row by row."""

from .lake import TABLE

TABLES = ("user_actions", "user_events", "user_errors", "user_properties")
FLAT = ("--flat-tables", ",".join(TABLES))
LISTS = {"user_actions": "userActions", "user_events": "events", "user_errors": "errors"}
KEYS = ("tenantId", "userSessionId", "partNumber")
LINEAGE = ("_ingest_time", "_ingest_id")
TYPES = ("string", "long", "double", "date")
# The columns that tell the lists of a flat table apart.
PLACE = {"user_properties": ("level", "actionPosition", "type")}


def columns(lake, table, source):
    """The columns of a table, in order, without those of its partitions."""
    described = lake.connection.execute(f"DESCRIBE SELECT * FROM {source(table)}").fetchall()
    return [name for name, *_ in described if name != "date"]


def of_session(name):
    """The session's column that a flat table repeats."""
    return name if name in KEYS else name[len("session")].lower() + name[len("session") + 1 :]


def quoted(names):
    return ", ".join(f'"{name}"' for name in names)


def session_part(names, table):
    """The select list of a flat table's columns of the session."""
    own = names.index("level" if table == "user_properties" else "position")
    assert names[: len(KEYS)] == list(KEYS)
    return ", ".join(f's."{of_session(name)}" AS "{name}"' for name in names[:own])


def unnested(lake, table, source):
    """The query of what a flat table has, `_extra` aside, from the lists."""
    parent, names = source(TABLE), columns(lake, table, source)
    lineage = ", ".join(f's."{name}"' for name in LINEAGE)
    if table in LISTS:
        each = f's."{LISTS[table]}"'
        fields = behind(names, "position")
        fields = ", ".join(f'{each}[s.i]."{name}" AS "{name}"' for name in fields)
        inner = f"SELECT *, unnest(range(1, len({each[2:]}) + 1)) AS i FROM {parent}"
        return (
            f"SELECT {session_part(names, table)}, s.i - 1 AS position, {fields}, {lineage} "
            f"FROM ({inner}) s WHERE {each}[s.i] IS NOT NULL"
        )
    actions = f'SELECT *, unnest(range(1, len("userActions") + 1)) AS a FROM {parent}'
    promoted = behind(names, "dateValue")
    parts = []
    for level, rows in (("session", parent), ("action", f"({actions})")):
        of = "" if level == "session" else '"userActions"[a].'
        at, name = ("NULL", "NULL") if level == "session" else ("s.a - 1", 's."userActions"[s.a]."name"')
        for kind in TYPES:
            each = f'{of}"{kind}Properties"'
            values = ", ".join(
                f'{"s.p.value" if other == kind else "NULL"} AS "{other}Value"' for other in TYPES
            )
            fields = entry_fields(lake, parent, each)
            more = "".join(f', {f"s.p.{name}" if name in fields else "NULL"} AS "{name}"' for name in promoted)
            indexed = f"SELECT *, unnest(range(1, len({each}) + 1)) AS i FROM {rows}"
            inner = f"SELECT *, {each}[i] AS p FROM ({indexed})"
            parts.append(
                f"SELECT {session_part(names, table)}, '{level}' AS level, {at} AS \"actionPosition\", "
                f"{name} AS \"actionName\", '{kind}' AS type, s.i - 1 AS position, s.p.key AS key, "
                f"{values}{more}, {lineage} FROM ({inner}) s WHERE s.p IS NOT NULL"
            )
    return " UNION ALL ".join(parts)


def behind(names, name):
    """The columns of the element behind a column. Those that only later files have are behind the lineage."""
    return [other for other in names[names.index(name) + 1 :] if other not in (*LINEAGE, "_extra")]


def entry_fields(lake, parent, each):
    """The names of the fields of the entries of a list of properties."""
    entry = each.replace('"userActions"[a]', '"userActions"[1]')
    described = lake.connection.execute(f"DESCRIBE SELECT unnest({entry}[1]) FROM {parent}").fetchall()
    return {name for name, *_ in described}


def same_rows(connection, one, other, what):
    """Two queries have the same rows, each as often as the other has it."""
    odd = connection.execute(f"({one}) EXCEPT ALL ({other}) LIMIT 3").fetchall()
    assert not odd, f"{what}: only in the first are {odd}"
    # As many rows, and none of them more often: then none is only in the other.
    counts = [connection.execute(f"SELECT count(*) FROM ({query})").fetchone()[0] for query in (one, other)]
    assert counts[0] == counts[1], f"{what}: {counts} rows"


def check(lake, table, source=None):
    """Every row and every value of a flat table is that of an element, and each element has its row.
    `source` is how a table is read. Returns the number of rows."""
    source = source or lake.source
    names = [name for name in columns(lake, table, source) if name != "_extra"]
    flat = f"SELECT {quoted(names)} FROM {source(table)}"
    wanted = f"SELECT {quoted(names)} FROM ({unnested(lake, table, source)})"
    same_rows(lake.connection, flat, wanted, f"{table} and its list")
    check_extra(lake, table, source)
    check_unique(lake, table, source)
    return lake.rows(table) if table != TABLE else 0


def check_unique(lake, table, source):
    """The ids of rows that the documentation names are unique."""
    key = ["_ingest_id", *PLACE.get(table, ()), "position"]
    query = f"SELECT {quoted(key)} FROM {source(table)} GROUP BY ALL HAVING count(*) > 1 LIMIT 3"
    assert lake.connection.execute(query).fetchall() == [], table


def check_extra(lake, table, source):
    """`_extra` of a flat table is the session's, from the element's pointer on."""
    key = ["_ingest_id", *PLACE.get(table, ()), "position"]
    wanted = f"SELECT {quoted(key)}, rest, value FROM ({in_elements(table, source(TABLE))})"
    there = f"SELECT {quoted(key)}, * EXCLUDE ({quoted(key)}) FROM {source(table)}"
    members = "unnest(json_keys(_extra)) AS rest, CAST(unnest(json_extract(_extra, '$.*')) AS VARCHAR) AS value"
    found = f"SELECT {quoted(key)}, {members} FROM ({there}) WHERE _extra IS NOT NULL"
    # What is of an element that is no record has no row.
    same = " AND ".join(f't."{name}" IS NOT DISTINCT FROM w."{name}"' for name in key)
    wanted = f"SELECT * FROM ({wanted}) w WHERE EXISTS (SELECT 1 FROM ({there}) t WHERE {same})"
    same_rows(lake.connection, found, wanted, f"_extra of {table} and that of its list")
    empty = lake.connection.execute(f"SELECT count(*) FROM {source(table)} WHERE json_array_length(json_keys(_extra)) = 0")
    assert empty.fetchone() == (0,), table


def in_elements(table, parent):
    """The query of the members of `_extra` that lie in elements of a flat table's list, with their places."""
    members = "unnest(json_keys(_extra)) AS pointer, CAST(unnest(json_extract(_extra, '$.*')) AS VARCHAR) AS value"
    members = f"SELECT _ingest_id, {members} FROM {parent} WHERE _extra IS NOT NULL"
    if table in LISTS:
        pointer, groups = f"^/{LISTS[table]}/([0-9]+)(/.*)$", ("position", "rest")
    else:
        pointer = f"^/(?:userActions/([0-9]+)/)?({'|'.join(TYPES)})Properties/([0-9]+)(/.*)$"
        groups = ("actionPosition", "type", "position", "rest")
    # `.` is any character, a new line too.
    parsed = f"regexp_extract(pointer, '(?s){pointer}', {list(groups)})"
    position = "CAST(hit.position AS BIGINT) AS position, hit.rest AS rest, value"
    if table in LISTS:
        columns = position
    else:
        columns = (
            "CASE WHEN hit.\"actionPosition\" = '' THEN 'session' ELSE 'action' END AS level, "
            "TRY_CAST(hit.\"actionPosition\" AS BIGINT) AS \"actionPosition\", hit.type AS type, " + position
        )
    inner = f"SELECT _ingest_id, {parsed} AS hit, value FROM ({members}) WHERE regexp_full_match(pointer, '(?s){pointer}')"
    return f"SELECT _ingest_id, {columns} FROM ({inner})"
