"""Forms of documents: HTTP and `import` take the same ones, land the same rows and say the same of the rest."""

import gzip
import json
import zlib

import pytest
import zstandard
from harness import stores
from harness.documents import FIRST_MS, body, document
from harness.lake import Lake


def pretty(session, **how):
    return json.dumps(json.loads(document(session)), **({"indent": 2} | how)).encode()


def dumped(session, **more):
    source = json.loads(document(session))
    return json.dumps({"_index": "sessions", "_id": f"t_{session}", "_source": source, **more}).encode()


# Of each form: the bytes, the sessions, the lines that are rejected.
FORMS = {
    "06 dumped lines": (b"\n".join([dumped("a", _score=1), dumped("b"), dumped("c")]), "abc", []),
    "06 dumped with a type, in a row": (dumped("a", _type="_doc") + dumped("b", sort=[1]), "ab", []),
    "06 dumped over several lines": (
        b"\n".join(json.dumps(json.loads(dumped(s)), indent=1).encode() for s in "ab"),
        "ab",
        [],
    ),
    "06 an array of them": (b"[" + dumped("a") + b",\n" + dumped("b") + b"]\n", "ab", []),
    "08 on one line": (b"".join(map(document, "abc")) + b"\n", "abc", []),
    "08 pretty-printed": (b"\n".join(map(pretty, "abc")), "abc", []),
    "08 pretty-printed and joined": (pretty("a", indent="\t") + pretty("b", indent=0) + pretty("c"), "abc", []),
    "08 files joined without a line feed": (b"\xef\xbb\xbf".join([b"", document("a"), body("b", "c")]), "abc", []),
    "one broken of several on a line": (
        document("a") + b'{"userSessionId":"\\x"}' + document("b"),
        "ab",
        [1],
    ),
    "one broken of several over lines": (
        b"\n".join([pretty("a"), b'{\n  "userSessionId": nothing\n}', pretty("b"), document("c")]),
        "abc",
        [6],
    ),
    "a line that breaks off": (body("a") + b'{"userSessionId":"x\n' + body("b"), "ab", [2]),
    "an array": (b"[" + document("a") + b",\n" + document("b") + b"]\n", "ab", []),
    "a bulk": (b'{"index":{}}\n' + body("a") + b'{"create":{}}\n' + body("b"), "ab", []),
}


def outcome(lake):
    """What is in a lake, but for what names it: sessions, counts, rejects."""
    receipts = lake.check_receipts()
    rejects = sorted((entry["line"], entry["code"], entry["reason"]) for entry in lake.quarantine())
    rows = lake.query("""SELECT "userSessionId", "startTime" IS NOT NULL, "_extra" FROM {t} ORDER BY 1""")
    positions = [i.rsplit("-", 1)[1] for (i,) in lake.query('SELECT "_ingest_id" FROM {t} ORDER BY "userSessionId"')]
    return receipts, rejects, rows, positions


@pytest.fixture
def both(server, local_lake, command, folder):
    """Sends bytes and imports them as a file; returns the outcome of each, the same or not."""

    def run(data):
        assert server.put(data).status == 200
        server.drain()
        (folder / "given").write_bytes(data)
        imported = Lake(stores.LocalStore(folder).lake("imported"))
        command("import", "given", "--lake", imported.at.uri)
        for lake in (local_lake, imported):
            assert "Every received line" in command("verify", lake.at.uri, "--rows")
        return outcome(local_lake), outcome(imported)

    return run


@pytest.mark.parametrize("form", FORMS)
def test_received_and_imported_alike(both, form):
    data, sessions, rejected = FORMS[form]
    received, imported = both(data)
    assert received == imported
    counts, rejects, rows, positions = received
    assert [row[:2] for row in rows] == [(session, True) for session in sessions]
    assert [line for line, *_ in rejects] == rejected
    assert counts == {"lines": len(rows) + len(rejected), "rows": len(rows), "rejects": len(rejected)}
    assert len(set(positions)) == len(positions), "positions are unique"
    if form.startswith("06"):
        assert [json.loads(row[2])["_id"] for row in rows] == [f"t_{session}" for session in sessions]


# Of each older name its current one and a value.
OLDER = {
    "13 browsers": {
        "browserTypeName": ("browserType", "Desktop Browser"),
        "browserFamilyName": ("browserFamily", "Firefox"),
        "browserMajorVersionName": ("browserMajorVersion", "Firefox 57"),
    },
    "13 users and replays": {"newVisitor": ("newUser", True), "hasVisualReplay": ("hasSessionReplay", False)},
    "13 places and systems": {
        "geolocationCountryName": ("country", "Austria"),
        "osFamilyName": ("osFamily", "Linux"),
    },
}


@pytest.mark.parametrize("names", OLDER)
def test_older_names_are_columns(both, local_lake, names):
    names = OLDER[names]
    sent = document("a", **{old: value for old, (_, value) in names.items()})
    received, imported = both(sent)
    assert received == imported
    assert received[2] == [("a", True, None)], "nothing is in _extra"
    columns = ", ".join(f'"{current}"' for current, _ in names.values())
    assert local_lake.query(f"SELECT {columns} FROM {{t}}") == [tuple(value for _, value in names.values())]


# Of each packing without a word: its name, and whether import unpacks it.
PACKED = {
    "10 gzip": (gzip.compress, True),
    "10 zstd": (zstandard.ZstdCompressor().compress, True),
    "10 zlib": (zlib.compress, False),
}


@pytest.mark.parametrize("form", PACKED)
def test_what_is_packed_without_a_word(server, local_lake, command, folder, form):
    """A body is refused with the reason; a file is unpacked, or refused by name."""
    pack, taken = PACKED[form]
    (folder / "given").write_bytes(pack(body("a", "b")))
    reply = server.put(pack(body("a", "b")), content_type="application/json")
    assert reply.status == 415 and form.split()[1] in reply.text
    server.drain()
    assert local_lake.receipts() == []
    printed = command("import", "given", "--lake", local_lake.at.uri, expect=0 if taken else 1)
    if taken:
        assert sorted(local_lake.session_ids()) == ["a", "b"]
    else:
        assert "zlib" in printed and "not remembered" in printed


def test_documents_that_fill_no_column_are_told(server, local_lake, command, folder):
    """Of a receiver in the log, the receipt and a metric; an import refuses them if there are no others."""
    # One name is the table's, with a value that does not fit.
    strange = b'{"dt.rum.session.id":"x","start_time":1,"duration":"5"}\n'
    assert server.put(body("a") + 2 * strange).status == 200
    server.drain()
    assert [receipt["unmatched"] for receipt in local_lake.receipts()] == [2]
    assert "2 of the 3 rows of roll 1 are null in every column" in server.log.read_text()

    (folder / "some").write_bytes(body("b") + strange)
    printed = command("import", "some", "--lake", local_lake.at.uri)
    assert "1 of 2 documents filled no column: is this the right table or schema?" in printed
    assert "1 of 2 rows have no value of their partition that fits (__HIVE_DEFAULT_PARTITION__)" in printed
    (folder / "all").write_bytes(3 * strange)
    (folder / "good").write_bytes(body("c"))
    for _ in range(2):
        printed = command("import", "all", "good", "--lake", local_lake.at.uri, "--again", expect=1)
        assert "all: none of its 3 documents has a field of the table user_sessions" in printed
        assert "grail_user_sessions" in printed, "which table it may be for"
    assert sorted(local_lake.query('SELECT "userSessionId" FROM {t} WHERE "userSessionId" > \'b\'')) == [("c",), ("c",)]
    printed = command("import", "-", "--lake", local_lake.at.uri, stdin=folder / "all", expect=1)
    assert "standard input has landed, but none of its 3 documents" in printed


def test_several_files_of_which_no_line_is_a_row(local_lake, command, folder):
    (folder / "one").write_bytes(b"<html>\n")
    (folder / "two").write_bytes(b'"text"\n[1]\n')
    (folder / "good").write_bytes(body("a"))
    for again in ([], ["--again"]):
        printed = command("import", "one", "good", "two", *again, "--lake", local_lake.at.uri, expect=1)
        assert "one: no line of it becomes a row" in printed and "two: no line of it becomes a row" in printed
    assert local_lake.session_ids() == ["a", "a"]
    assert local_lake.quarantine() == []


def test_a_long_file_of_documents_over_lines_is_cut_between_them(local_lake, command, folder):
    """Chunks of an import are of 4 MiB: some cuts fall within documents."""
    padding = [{"name": "x" * 700, "startTime": FIRST_MS} for _ in range(20)]
    documents = (document(f"s{n:04}", userActions=padding) for n in range(900))
    forms = [lambda d: json.dumps(json.loads(d), indent=1).encode() + b"\n", lambda d: d]
    (folder / "long").write_bytes(b"".join(forms[n % 3 == 0](d) for n, d in enumerate(documents)))
    command("import", "long", "--lake", local_lake.at.uri)
    assert sorted(local_lake.session_ids()) == [f"s{n:04}" for n in range(900)]
    assert local_lake.check_receipts() == {"lines": 900, "rows": 900, "rejects": 0}
    assert "Every received line" in command("verify", local_lake.at.uri, "--rows")
