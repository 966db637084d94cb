"""Personal data: no clear value of a hashed, dropped or truncated column is in lake, staging or logs."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from harness.documents import FIRST_MS

SECRET = "0123456789abcdef0123456789abcdef-secret"
CLEAR = ["ann-the-user", "203.0.113.77", "ann@example.test", "/private/ann", "31337-as-number", "broken-ann"]


def document(**fields):
    return json.dumps({"startTime": FIRST_MS, **fields}).encode()


def test_no_clear_value_is_left(make_server, local_lake, folder, command):
    (folder / "privacy.key").write_text(SECRET)
    config = folder / "sessionlake.toml"
    config.write_text(
        f'privacy_key = "{folder / "privacy.key"}"\n[privacy]\nuserId = "hash"\nip = "truncate"\n'
        '"userActions.targetUrl" = "drop"\n"stringProperties.email" = "hash"\n'
    )
    server = make_server(local_lake, "--roll-age", "1h", "--log", "debug", "--config", config).start()
    lines = [
        document(
            userSessionId="a",
            userId="ann-the-user",
            ip="203.0.113.77",
            userActions=[{"name": "x", "targetUrl": "/private/ann"}],
            stringProperties=[{"key": "email", "value": "ann@example.test"}, {"key": "plan", "value": "gold"}],
        ),
        document(userSessionId="b", userId="ann-the-user"),
        # What does not fit its column goes to _extra: no way around.
        document(userSessionId="c", userId={"id": "ann-the-user"}, ip=["203.0.113.77"], userActions={"targetUrl": "/private/ann"}),
        document(userSessionId="d", userId=["31337-as-number"]),
        # What is no document goes to quarantine, sealed.
        b'{"userSessionId":"e","userId":"broken-ann"',
    ]
    assert server.put(b"\n".join(lines)).status == 200
    server.drain()
    derived = hmac.new(SECRET.encode(), b"sessionlake hash 1", hashlib.sha256).digest()
    hashed = lambda value: hmac.new(derived, value.encode(), hashlib.sha256).hexdigest()[:32]
    rows = local_lake.query('SELECT "userSessionId", "userId", ip FROM {t} ORDER BY 1')
    ann = hashed("ann-the-user")
    assert rows == [("a", ann, "203.0.113.0"), ("b", ann, None), ("c", None, None), ("d", None, None)]
    properties = local_lake.query("""SELECT "stringProperties" FROM {t} WHERE "userSessionId" = 'a'""")[0][0]
    assert [p["value"] for p in properties] == [hashed("ann@example.test"), "gold"]
    [entry] = local_lake.quarantine()
    assert json.loads(entry["raw"]).keys() == {"sealed"}

    sealed = folder / "sealed.ndjson"
    sealed.write_text(json.dumps(entry) + "\n")
    opened = json.loads(command("unseal", "--privacy-key", folder / "privacy.key", stdin=sealed))
    assert opened == {**entry, "raw": lines[-1].decode()}

    looked_at = 0
    root = Path(local_lake.at.base)
    for path in [*root.rglob("*"), *(server.state / ".sessionlake-staging").rglob("*"), server.log]:
        if path.is_file():
            data = path.read_bytes()
            looked_at += 1
            assert not [clear for clear in CLEAR if clear.encode() in data], path
    assert looked_at >= 4
    # Compressed pages hide bytes: the values themselves are looked at, too.
    text = str(local_lake.query("SELECT * FROM {t}"))
    assert not [clear for clear in CLEAR if clear in text]
    told = local_lake.connection.execute(
        f"SELECT decode(value) FROM parquet_kv_metadata('{local_lake.uri('user_sessions')}/*/*.parquet') "
        "WHERE decode(key) = 'sessionlake.privacy'"
    ).fetchall()
    assert told == [("ip=truncate;stringProperties.email=hash;userActions.targetUrl=drop;userId=hash",)]


def test_rules_need_a_secret(command, local_lake, folder):
    config = folder / "sessionlake.toml"
    config.write_text('[privacy]\nuserId = "hash"\n')
    shown = command("check", "--config", config, "--lake", local_lake.at.uri, env=local_lake.at.env, expect=2)
    assert "needs a secret" in shown


def test_an_encrypted_journal_tells_nothing_and_lands_after_a_crash(make_server, local_lake, folder):
    (folder / "privacy.key").write_text(SECRET)
    flags = ["--roll-age", "1h", "--privacy-key", folder / "privacy.key", "--encrypt-journal"]
    flags += ["--journal-compression=true"]
    server = make_server(local_lake, *flags).start()
    data = b"\n".join(document(userSessionId=f"s{n}", userId="ann-the-user") for n in range(100))
    assert not server.put(data).json["duplicate"]
    assert server.put(data).json["duplicate"], "a retry is recognised"
    segments = [path for path in server.state.rglob("*") if path.is_file()]
    journal = [path for path in segments if path.suffix == ".seg"]
    assert 0 < sum(path.stat().st_size for path in journal) < len(data), "compressed, then encrypted"
    assert not [path for path in segments if b"ann-the-user" in path.read_bytes()]
    server.kill()
    # With another secret it does not start, and says why; with the right one, everything lands.
    (folder / "privacy.key").write_text(SECRET[::-1])
    with pytest.raises(AssertionError, match="privacy_key does not open it"):
        server.start()
    (folder / "privacy.key").write_text(SECRET)
    server.start()
    server.drain()
    assert len(local_lake.session_ids()) == 100
