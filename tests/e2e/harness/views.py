"""What views over a table of sessions show, computed in Python from the table's rows: the doubles left out,
the elements as rows, the parts joined. It shares nothing with the program but the names of columns."""

import datetime
import json

from .delta import plain

KEYS = ("tenantId", "userSessionId", "startTime", "partNumber")
LINEAGE = ("_ingest_time", "_ingest_id")
OF_SESSION = (
    "startTime", "userType", "applicationType", "internalUserId", "userId", "country", "region", "city",
    "browserFamily", "browserMajorVersion", "osFamily", "osVersion", "device", "appVersion", "bounce", "newUser",
    "userExperienceScore", "hasError",
)  # fmt: skip
LISTS = {"user_actions": "userActions", "user_events": "events", "user_errors": "errors"}
PROPERTIES = {
    "string": "stringProperties",
    "long": "longProperties",
    "double": "doubleProperties",
    "date": "dateProperties",
}

SUMS = {
    "userActionCount", "totalErrorCount", "totalLicenseCreditCount", "matchingConversionGoalsCount",
    "numberOfRageClicks", "numberOfRageTaps",
}  # fmt: skip
FLAGS = {"newUser", "rootedOrJailbroken", "hasCrash", "hasError", "hasSessionReplay"}
FIRST = {"startTime", "replayStart"}
GREATEST = {"endTime", "replayEnd", "partNumber"}
LONG_AGO = datetime.datetime(1, 1, 1, tzinfo=datetime.UTC)


def latest(rows):
    """The newest of the rows with equal keys; all of those without an id of their session."""
    newest = {}
    for row in rows:
        key = tuple(row[name] for name in KEYS)
        if row["userSessionId"] is None:
            key = row["_ingest_id"]
        order = (row["_ingest_time"], *place(row))
        if key not in newest or order > newest[key][0]:
            newest[key] = (order, row)
    return [row for _, row in newest.values()]


def place(row):
    """Body, line and node of a row, as they follow one another."""
    node, body, line = row["_ingest_id"].rsplit("-", 2)
    return int(body), int(line), node


def of_session(row):
    kept = {name: row[name] for name in ("tenantId", "userSessionId", "partNumber", *LINEAGE)}
    if "date" in row:
        kept["date"] = row["date"]
    return kept | {f"session{name[0].upper()}{name[1:]}": row[name] for name in OF_SESSION}


def extra_below(row, pointer):
    """The members of `_extra` below a pointer, without it; none if there are none."""
    found = json.loads(row["_extra"] or "{}")
    below = {key[len(pointer) :]: value for key, value in found.items() if key.startswith(pointer + "/")}
    return below or None


def elements(rows, view):
    """The rows of the view of a list."""
    column = LISTS[view]
    for row in rows:
        for position, element in enumerate(row[column] or []):
            if element is not None:
                extra = extra_below(row, f"/{column}/{position}")
                yield of_session(row) | element | {"position": position, "_extra": extra}


def properties(rows):
    """The rows of the view of properties."""
    for row in rows:
        yield from of_owner(row, row, "session", None, "")
        for position, action in enumerate(row["userActions"] or []):
            yield from of_owner(row, action or {}, "action", position, f"/userActions/{position}")


def of_owner(row, owner, level, action, pointer):
    for kind, column in PROPERTIES.items():
        for position, entry in enumerate(owner.get(column) or []):
            if entry is None:
                continue
            values = {f"{other}Value": entry["value"] if other == kind else None for other in PROPERTIES}
            yield of_session(row) | values | {
                "level": level,
                "actionPosition": action,
                "actionName": owner["name"] if level == "action" else None,
                "type": kind,
                "position": position,
                "key": entry["key"],
                "_extra": extra_below(row, f"{pointer}/{column}/{position}"),
            }


def part_order(part):
    number = -1 if part["partNumber"] is None else part["partNumber"]
    return number, part["startTime"] or LONG_AGO, part["_ingest_time"], *place(part)


def sessions(rows):
    """The rows of the view of sessions, over rows without doubles."""
    parts = {}
    for row in rows:
        session = row["userSessionId"]
        key = row["_ingest_id"] if session is None else (row["tenantId"], session)
        parts.setdefault(key, []).append(row)
    return [joined(sorted(of_one, key=part_order)) for of_one in parts.values()]


def joined(parts):
    session = {name: value_of(name, [part[name] for part in parts]) for name in parts[0]}
    if len(parts) > 1 or parts[0]["duration"] is None:
        first, last = session["startTime"], session["endTime"]
        session["duration"] = None if first is None or last is None else (last - first) // MILLISECOND
    extras = [json.loads(part["_extra"]) for part in parts if part["_extra"] is not None]
    del session["_extra"]
    return session | {
        "parts": len(parts),
        "_ingest_time": max(part["_ingest_time"] for part in parts),
        "_ingest_id": parts[-1]["_ingest_id"],
        "_extras": extras or None,
    }


MILLISECOND = datetime.timedelta(milliseconds=1)


def value_of(name, values):
    there = [value for value in values if value is not None]
    if not there:
        return None
    if name in SUMS:
        return sum(there)
    if name in FLAGS:
        return any(there)
    if name == "bounce":
        return all(there)
    if name in FIRST or name == "date":
        return min(there)
    if name in GREATEST:
        return max(there)
    if name.endswith("Tags"):
        return sorted(dict(pair for entries in there for pair in pairs(entries)).items())
    if isinstance(there[0], list):
        return [item for items in there for item in items]
    return there[-1]


def pairs(entries):
    """The entries of a map, which readers give as an object or as a list of pairs."""
    return entries.items() if isinstance(entries, dict) else [tuple(entry) for entry in entries]


def expected(rows):
    """The rows of every view by its name, in one shape."""
    kept = latest(rows)
    made = {"user_sessions_latest": kept, "sessions": sessions(kept), "user_properties": list(properties(kept))}
    for view in LISTS:
        made[view] = list(elements(kept, view))
    return {view: in_order(shape(row) for row in rows) for view, rows in made.items()}


def shape(row):
    """A row in the shape in which rows are compared: JSON as values, maps as sorted pairs, names sorted."""
    made = {}
    for name, value in row.items():
        if name == "_extra" and isinstance(value, str):
            value = json.loads(value)
        if name == "_extras" and value:
            value = [json.loads(extra) if isinstance(extra, str) else extra for extra in value]
        if name.lower().endswith("tags") and value is not None:
            value = sorted(pairs(value))
        made[name] = plain(value)
    return dict(sorted(made.items()))


def in_order(rows):
    """Rows in an order that every engine's have, whatever the case of its names."""
    order = ("_ingest_id", "level", "actionPosition", "type", "position")
    value = lambda row, name: str(row.get(name, row.get(name.lower()))).rjust(6)  # noqa: E731
    return sorted(rows, key=lambda row: [value(row, name) for name in order])
