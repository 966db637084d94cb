"""Every line ends in one place: a row, or a quarantine entry that says why, where and what."""

import base64
import json

from harness.documents import body, document


def raw_of(entry):
    """The bytes of a rejected line, however the entry holds them."""
    raw = entry["raw"]
    if isinstance(raw, dict):
        return base64.b64decode(raw["base64"])
    return raw.encode()


def test_one_broken_line_among_999(make_server, lake):
    server = make_server(lake, "--roll-age", "1h").start()
    lines = [document(f"s{n:04}") for n in range(999)]
    broken = b'{"userSessionId":"broken","startTime":17'
    lines.insert(499, broken)
    reply = server.put(b"\n".join(lines))
    assert (reply.status, reply.json["lines"]) == (200, 1000)
    server.drain()
    assert sorted(lake.session_ids()) == [f"s{n:04}" for n in range(999)]
    (entry,) = lake.quarantine()
    assert entry["line"] == 500, entry
    assert entry["reason"]
    assert raw_of(entry) == broken
    assert lake.check_receipts() == {"lines": 1000, "rows": 999, "rejects": 1}


def test_pure_garbage_is_taken_and_quarantined_whole(server, local_lake):
    garbage = b"<html>\n<body>no sessions here</body>\n\x00\xff\xfe not even text\n</html>"
    reply = server.put(garbage)
    assert reply.status == 200, reply
    server.drain()
    assert local_lake.rows() == 0
    entries = local_lake.quarantine()
    assert [entry["line"] for entry in entries] == [1, 2, 3, 4]
    assert [raw_of(entry) for entry in entries][:2] == garbage.split(b"\n")[:2]
    assert local_lake.check_receipts() == {"lines": 4, "rows": 0, "rejects": 4}


def test_values_that_are_no_documents(server, local_lake):
    """Valid JSON that is no object, and JSON that only a lenient parser would take."""
    rejected = [
        b"17",
        b'"text"',
        b"null",
        b"true",
        b"[1]",
        b"{'a':1}",
        b'{"a":01}',
        b'{"a":NaN}',
        b'{"a":1,}',
        b'{"a":1}x{"b":2}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800x"}' + b"}",
    ]
    server.put(document("first") + b"\n" + b"\n".join(rejected) + b"\n" + document("last") + b"\n")
    server.drain()
    assert sorted(local_lake.session_ids()) == ["first", "last"]
    assert [entry["line"] for entry in local_lake.quarantine()] == list(range(2, 2 + len(rejected)))


def test_deep_nesting_is_a_reject_and_no_crash(server, local_lake):
    deep = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    server.put(document("first") + b"\n" + deep + b"\n" + document("last"))
    assert server.put(body("after")).status == 200
    server.drain()
    assert sorted(local_lake.session_ids()) == ["after", "first", "last"]
    assert [entry["line"] for entry in local_lake.quarantine()] == [2]


def test_values_that_do_not_fit_go_to_extra(server, local_lake):
    """Nothing is coerced in silence: what a column cannot hold is in _extra by its pointer."""
    server.put(
        document(
            "a",
            duration=5.7,
            bounce="yes",
            newField={"x": [1, 2]},
            screenWidth="42",
            userActions=[{"name": "n", "duration": 1.0, "madeUp": 12}],
        )
    )
    server.drain()
    ((duration, bounce, width, actions, extra),) = local_lake.query(
        'SELECT duration, bounce, "screenWidth", "userActions"[1].duration, CAST(_extra AS JSON) FROM {t}'
    )
    assert (duration, bounce, width, actions) == (None, None, None, 1)
    assert json.loads(extra) == {
        "/duration": 5.7,
        "/bounce": "yes",
        "/newField": {"x": [1, 2]},
        "/screenWidth": "42",
        "/userActions/0/madeUp": 12,
    }


def test_three_generations_in_one_table(server, local_lake):
    """An old name of a field lands in the current column."""
    server.put(body("current").replace(b"}", b',"country":"Poland","osFamily":"Linux"}'))
    server.put(body("classic").replace(b"}", b',"geolocationCountryName":"Poland","osFamilyName":"Linux"}'))
    server.put(b'{"visitId":"oldest","visitType":"REAL_USER","startTime":1793534400000}')
    server.drain()
    rows = local_lake.query('SELECT country, "osFamily", count(*) FROM {t} GROUP BY ALL ORDER BY ALL')
    assert ("Poland", "Linux", 2) in rows, rows
    assert local_lake.rows() == 3
    assert local_lake.query("SELECT count(*) FROM {t} WHERE _extra IS NOT NULL") == [(0,)]


def test_a_session_without_a_start_has_a_partition_of_its_own(server, local_lake):
    server.put(b'{"userSessionId":"timeless"}\n' + document("timed"))
    server.drain()
    folders = {path.split("/")[1] for path in local_lake.data_files()}
    assert folders == {"date=2026-11-01", "date=__HIVE_DEFAULT_PARTITION__"}
    (row,) = local_lake.query("SELECT CAST(date AS VARCHAR) FROM {t} WHERE \"userSessionId\" = 'timeless'")
    assert row[0] in (None, "__HIVE_DEFAULT_PARTITION__")
