"""The Elasticsearch form: the official clients 8 and 9, the exporter's own bulks, and what Fluent Bit,
Vector and Logstash ask, as requests."""

import base64
import gzip
import json
import subprocess
import sys

import pytest
from harness import access, place
from harness.documents import document

TYPE = "application/x-ndjson"


@pytest.fixture
def elastic(make_server, local_lake, folder):
    """A server with an endpoint of this form, Basic and a token."""
    token, token_hash = access.token()
    (folder / "credentials.toml").write_text(
        access.toml(
            [
                ("user", {"name": "ann", "password_hash": access.password_hash("s3cret")}),
                ("token", {"name": "batch", "token_hash": token_hash}),
            ]
        )
    )
    config = folder / "sessionlake.toml"
    config.write_text(
        'credentials = "credentials.toml"\n'.replace("credentials.toml", str(folder / "credentials.toml"))
        + '[[endpoint]]\nname = "elastic"\npath = "/es"\nform = "elasticsearch"\n'
        + 'indices = { "sessions-*" = "user_sessions", "sessions" = "user_sessions" }\n'
    )
    server = make_server(local_lake, "--roll-age", "1h", "--config", config).start()
    server.token = token
    return server


def basic(name="ann", password="s3cret"):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def ask(server, method, path, body=None, **headers):
    with server.client() as client:
        return client.send(body, method=method, path="/es" + path, content_type=TYPE, Authorization=basic(), **headers)


def bulk(*pairs):
    lines = [line for action, source in pairs for line in (action, source) if line is not None]
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)


@pytest.mark.parametrize("version", [8, 9])
@pytest.mark.parametrize("auth", ["basic", "api_key"])
def test_official_client(elastic, local_lake, version, auth):
    client = {"basic_auth": ["ann", "s3cret"]} if auth == "basic" else {"api_key": ["batch", elastic.token]}
    names = [f"{auth}{version}-{n:03}" for n in range(60)]
    asked = {
        "url": f"http://127.0.0.1:{elastic.port}/es",
        "client": {**client, "http_compress": auth == "basic" or version == 9, "max_retries": 2},
        "bulk": names[:30],
        "streaming": names[30:],
    }
    path = place.elasticsearch(version)
    done = subprocess.run(
        [sys.executable, place.E2E / "elastic_client.py"],
        input=json.dumps(asked).encode(),
        env={"PYTHONPATH": str(path)},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    said = json.loads(done.stdout)
    assert said["version"].startswith(f"{version}."), said
    assert said["ping"] is True and said["health"] == "green" and said["info"].startswith("8."), said
    assert said["bulk"] == [30, []] and said["streaming"] == [[True, 201]] * 30, said
    assert said["mixed"] == [1, [400]] and said["wrong"] == 401, said
    elastic.drain()
    assert sorted(local_lake.session_ids()) == sorted([*names, "mixed"])
    rows = local_lake.query("""SELECT "userSessionId", _extra ->> '$."_id"' FROM {t}""")
    assert all(extra == f"id-{name}" for name, extra in rows), rows[:3]
    assert local_lake.quarantine() == []


def test_exporters_own_form(elastic, local_lake):
    data = place.ELASTICSEARCH.read_bytes().replace(b"my-index", b"sessions")
    reply = ask(elastic, "POST", "/_bulk", data)
    assert reply.status == 200, reply
    assert reply.headers["x-elastic-product"] == "Elasticsearch"
    lines = [json.loads(line) for line in data.splitlines()]
    actions, documents = lines[::2], lines[1::2]
    assert len(documents) > 0 and reply.json["errors"] is False, reply
    items = [item["index"] for item in reply.json["items"]]
    assert [(item["_id"], item["status"]) for item in items] == [(action["index"]["_id"], 201) for action in actions]
    elastic.drain()
    assert local_lake.quarantine() == []
    ids = """SELECT _extra ->> '$."_id"' FROM {t}"""
    assert sorted(row[0] for row in local_lake.query(ids)) == sorted(action["index"]["_id"] for action in actions)
    assert sorted(local_lake.session_ids()) == sorted(document["userSessionId"] for document in documents)


def test_what_clients_read_literally(elastic, local_lake):
    one = bulk(({"index": {"_index": "sessions"}}, document("a")))
    reply = ask(elastic, "POST", "/_bulk", gzip.compress(one), Content_Encoding="gzip")
    assert b'"errors":false,"items":[' in reply.body and reply.headers["content-type"] == "application/json"
    reply = ask(elastic, "POST", "/other/_bulk", bulk(({"index": {}}, document("b"))))
    assert b'"errors":true' in reply.body
    error = reply.json["items"][0]["index"]
    assert error["status"] == 404 and error["error"]["type"] == "index_not_found_exception" and error["error"]["reason"]
    # Logstash
    assert ask(elastic, "HEAD", "/").status == 200
    assert ask(elastic, "GET", "/_license").json["license"]["status"] == "active"
    assert ask(elastic, "HEAD", "/_index_template/ecs-logstash").status == 200
    assert ask(elastic, "PUT", "/_index_template/ecs-logstash", b"{}").json == {"acknowledged": True}
    brief = ask(elastic, "POST", "/_bulk?filter_path=errors,items.*.error,items.*.status", bulk(({"index": {"_index": "sessions"}}, document("c"))))
    assert brief.json["items"] == [{"index": {"status": 201}}]
    # Vector
    assert ask(elastic, "GET", "/_cluster/health").json["status"] == "green"
    assert ask(elastic, "GET", "/").json["version"]["number"]
    # A template's body is read, not left to close the connection.
    assert ask(elastic, "GET", "/_search").status == 404
    elastic.drain()
    assert sorted(local_lake.session_ids()) == ["a", "c"]


def test_what_is_no_bulk_is_refused_whole(elastic, local_lake):
    good = bulk(({"index": {"_index": "sessions"}}, document("a")))
    for bad in (b'{"a":1}\n', good + b"nonsense\n{}\n", good + b'{"index":{}}\n', good + b'{"index":{"_index":7}}\n{}\n'):
        reply = ask(elastic, "POST", "/_bulk", bad)
        assert reply.status == 400 and reply.json["error"]["type"] == "illegal_argument_exception", reply
    for index in ("..", "%2e%2e", "..%2f..%2fetc", "_all", "A", "a" * 200, "a%00b"):
        reply = ask(elastic, "POST", f"/{index}/_bulk", bulk(({"index": {}}, document("x"))))
        assert reply.status in (400, 404), (index, str(reply))
    odd = [{"index": {"_index": index}} for index in ("../x", "", ".", "a/b", "a\0b", "-a", "x" * 300)]
    reply = ask(elastic, "POST", "/_bulk", bulk(*((action, document("x")) for action in odd)))
    assert [item["index"]["status"] for item in reply.json["items"]] == [400] * len(odd), reply
    elastic.drain()
    assert local_lake.rows() == 0
    landed = [path for path in local_lake.files() if not path.startswith(("_lake.json", "_nodes/"))]
    assert landed == []


def test_the_same_bulk_again_is_stored_once(elastic, local_lake):
    data = bulk(({"index": {"_index": "sessions", "_id": "1"}}, document("a")), ({"delete": {"_id": "2"}}, None))
    first, second = ask(elastic, "PUT", "/_bulk", data), ask(elastic, "PUT", "/_bulk", data)
    assert first.status == second.status == 200 and first.json["items"] == second.json["items"]
    elastic.drain()
    assert local_lake.session_ids() == ["a"]


def test_indices_choose_among_tables(make_server, local_lake, folder):
    config = folder / "sessionlake.toml"
    config.write_text(
        '[[endpoint]]\npath = "/es"\nform = "elasticsearch"\n'
        'indices = { "*" = "user_sessions", "orders-*" = "orders" }\n'
        f'[[tables]]\nname = "orders"\nschema = "{place.ROOT}/examples/orders.avsc"\n'
    )
    server = make_server(local_lake, "--roll-age", "1h", "--config", config).start()
    data = bulk(
        ({"index": {"_index": "orders-1"}}, {"id": "o1"}),
        ({"index": {"_index": "sessions"}}, document("a")),
        ({"index": {"_index": "orders-2"}}, {"id": "o2"}),
        ({"index": {"_index": "orders-2"}}, b"no document"),
    )
    with server.client() as client:
        reply = client.send(data, method="POST", path="/es/_bulk", content_type=TYPE)
    assert reply.status == 200 and not reply.json["errors"], reply
    metrics = server.metrics()
    assert metrics['sessionlake_received_lines_total{endpoint="es"}'] == 4
    # It is killed before it landed anything: the bodies of both tables are in the journal.
    server.kill()
    server.start()
    server.drain()
    assert local_lake.session_ids() == ["a"]
    orders = local_lake.uri("orders")
    assert local_lake.connection.execute(f"SELECT count(*) FROM read_parquet('{orders}/*.parquet')").fetchall() == [(2,)]
    [entry] = local_lake.quarantine("orders")
    assert entry["line"] == 8 and entry["raw"] == "no document", "its place in the bulk"
