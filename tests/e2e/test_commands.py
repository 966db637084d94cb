"""inspect, schema, check, and the command line's manners."""

import json
import re

import pytest
from harness import place
from harness.access import certificate, openssl
from harness.documents import body
from harness.lake import connect
from harness.process import free_port
from sessions import Sessions

FORMATS = ["avro", "arrow", "spark", "trino", "duckdb", "elasticsearch"]


@pytest.fixture
def filled(command, lake, folder):
    """A lake with 250 sessions of 5 days and one reject."""
    (folder / "a.ndjson").write_bytes(Sessions("filled", days=5).bulk(250)[1] + b"{broken\n")
    command("import", "a.ndjson", "--lake", lake.at.uri, env=lake.at.env)
    return lake


def test_inspect_a_lake(command, filled):
    shown = command("inspect", filled.at.uri, env=filled.at.env)
    assert "user_sessions" in shown and "date=2026-11-03" in shown and "250" in shown
    report = json.loads(command("inspect", filled.at.uri, "--json", env=filled.at.env))
    (table,) = report["tables"]
    text = json.dumps(table)
    assert '"rows": 250' in text
    assert len(table["partitions"]) == 5
    assert {part["partition"] for part in table["partitions"]} == {
        f"date=2026-11-0{day}" for day in range(1, 6)
    }


def test_inspect_a_file(command, filled):
    path = filled.uri(filled.data_files()[0])
    shown = command("inspect", path, env=filled.at.env)
    assert "userSessionId" in shown and "zstd" in shown.lower()
    report = json.loads(command("inspect", path, "--json", env=filled.at.env))
    assert report["rows"] == 50


def test_inspect_a_broken_file(command, local_lake, folder):
    (folder / "a.ndjson").write_bytes(body("a"))
    command("import", "a.ndjson", "--lake", local_lake.at.uri)
    broken = folder / "lake/user_sessions/date=2026-11-01/broken.parquet"
    broken.write_bytes(b"PAR1 no, not really PAR1")
    assert "broken.parquet" in command("inspect", local_lake.at.uri, expect=1)


def test_inspect_nothing(command, folder):
    assert "nowhere" in command("inspect", folder / "nowhere", expect=1)


@pytest.mark.parametrize("form", FORMATS)
def test_schema_forms(command, form):
    printed = command("schema", "user_sessions", "--format", form)
    assert "userSessionId" in printed and "userActions" in printed
    if form in ("avro", "elasticsearch"):
        json.loads(printed)


def test_schema_of_an_unknown_table(command):
    assert "user_sessions" in command("schema", "user_sesions", expect=2)
    assert "duckdb" in command("schema", "user_sessions", "--format", "duckdbb", expect=2)


def test_duckdb_takes_its_ddl_and_the_rows(command, local_lake, folder):
    """The view reads the lake; the table for a copy has the columns, in name and type, that land."""
    (folder / "a.ndjson").write_bytes(Sessions("ddl").bulk(50)[1])
    command("import", "a.ndjson", "--lake", local_lake.at.uri)
    ddl = command("schema", "user_sessions", "--format", "duckdb")
    assert "'data/lake/user_sessions/" in ddl
    connection = connect()
    connection.execute(ddl.replace("'data/lake/", f"'{local_lake.at.uri}/"))
    assert connection.execute("SELECT count(*) FROM user_sessions").fetchall() == [(50,)]

    def columns(relation):
        found = connection.execute(f"DESCRIBE {relation}").fetchall()
        return {row[0]: row[1] for row in found}

    assert columns("user_sessions_local") == columns("user_sessions")
    connection.execute("INSERT INTO user_sessions_local BY NAME SELECT * FROM user_sessions")
    assert connection.execute("SELECT count(*) FROM user_sessions_local").fetchall() == [(50,)]


def test_check_says_it_would_start(command, lake, folder):
    (folder / "ok.toml").write_text(
        f'listen = "127.0.0.1:0"\nlake = "{lake.at.uri}"\nstate = "{folder / "state"}"\n'
    )
    printed = command("check", "--config", "ok.toml", env=lake.at.env)
    assert "would start" in printed
    assert lake.files() == [], "the check left something behind"
    assert not (folder / "state").exists()


def test_check_offline_looks_at_files_alone(command, folder):
    """As a pipeline that tests configurations runs it: no network, nobody's port, nothing made."""
    config = folder / "ok.toml"
    config.write_text('listen = "203.0.113.9:80"\ninsecure_listen = true\nlake = "s3://no-such-bucket/x"\nstate = "state"\n')
    report = json.loads(command("check", "--offline", "--json", "--config", config))
    assert report["verdict"] == "valid"
    assert [check["name"] for check in report["checks"]] == ["settings", "access", "schema"]
    assert all(check["ok"] for check in report["checks"])
    assert "were not looked at" in command("check", "--offline", "--config", config)
    config.write_text('rol_age = "1h"\nmemory = "1"\n')
    said = command("check", "--offline", "--config", config, expect=2)
    assert "did you mean `roll_age`?" in said and "is not between" in said, said
    report = json.loads(command("check", "--offline", "--json", "--config", config, expect=2))
    assert report["verdict"] == "invalid" and len(report["checks"]) == 2, report
    assert all(check["name"] == "settings" and not check["ok"] for check in report["checks"])
    assert not (folder / "state").exists()


def test_check_beside_a_running_server(command, server):
    """Its port and its state directory are left alone."""
    flags = ["--listen", f"127.0.0.1:{server.port}", "--state", server.state, "--lake", server.lake.uri]
    report = json.loads(command("check", "--json", *flags, expect=1))
    assert report["verdict"] == "does_not_start"
    assert [check["name"] for check in report["checks"] if not check["ok"]] == ["listen", "state"]
    report = json.loads(command("check", "--running", "--json", *flags))
    assert report["verdict"] == "lands" and "lake" in [check["name"] for check in report["checks"]]
    said = command("check", "--running", *flags)
    assert "would start" not in said and "were not looked at" in said, said
    assert server.put(body("a")).status == 200


def test_health_of_a_server(command, make_server, local_lake, folder):
    """The probe of images without a shell: with TLS, on every address, and of nobody."""
    cert, key = certificate(folder / "tls")
    flags = ["--tls-cert", cert, "--tls-key", key]
    server = make_server(local_lake, *flags).start()
    asked = ["--state", server.state, "--lake", local_lake.at.uri, *flags]
    listen = f"127.0.0.1:{server.port}"
    assert command("health", "--listen", listen, *asked) == "live\n"
    assert command("health", "--ready", *asked, env={"SESSIONLAKE_LISTEN": listen}) == "ready\n"
    # Without TLS it is another server that is asked.
    assert "no answer from http://" in command("health", "--listen", listen, expect=1)
    server.stop()
    said = command("health", "--listen", listen, *asked, expect=1)
    assert f"no answer from https://{listen}/health/live within 5s" in said
    assert "port 0" in command("health", "--listen", "127.0.0.1:0", expect=2)


def test_health_of_a_server_that_asks_for_certificates(command, make_server, local_lake, folder):
    """It presents one, or asks the listener of operators, which asks for none on loopback."""
    cert, key = certificate(folder / "tls")
    authority, client, client_key = (folder / name for name in ("ca.pem", "client.pem", "client.key"))
    fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *fresh, "-keyout", folder / "ca.key", "-out", authority, "-subj", "/CN=ca", "-days", 30)
    openssl("req", *fresh, "-keyout", client_key, "-out", folder / "csr", "-subj", "/CN=probe")
    (folder / "ext").write_text("extendedKeyUsage=clientAuth\n")
    by = ["-CA", authority, "-CAkey", folder / "ca.key", "-CAcreateserial", "-extfile", folder / "ext", "-days", 30]
    openssl("x509", "-req", "-in", folder / "csr", *by, "-out", client)
    port = free_port()
    flags = ["--tls-cert", cert, "--tls-key", key, "--tls-client-ca", authority]
    server = make_server(local_lake, *flags, "--status-listen", f"127.0.0.1:{port}").start()
    asked = ["--state", server.state, "--lake", local_lake.at.uri, *flags, "--listen", f"127.0.0.1:{server.port}"]
    assert "--client-cert" in command("health", *asked, expect=2)
    assert command("health", "--ready", *asked, "--status-listen", f"127.0.0.1:{port}") == "ready\n"
    presented = ["--client-cert", client, "--client-key", client_key]
    assert command("health", "--ready", *asked, *presented) == "ready\n"
    other = ["--client-cert", cert, "--client-key", key]
    assert "no answer from https://" in command("health", *asked, *other, expect=1)
    assert "are no certificate" in command("health", *asked, "--client-cert", client_key, "--client-key", key, expect=2)


def test_check_says_why_not(command, server, folder, seaweedfs):
    """A port that is taken, a state directory in use, a bucket that is not there."""
    printed = command(
        "check",
        "--listen",
        f"127.0.0.1:{server.port}",
        "--state",
        server.state,
        "--lake",
        "s3://no-such-bucket/x",
        "--store-timeout",
        "5s",
        env={**seaweedfs.lake("x").env, "AWS_SECRET_ACCESS_KEY": "wrong"},
        expect=1,
        timeout_s=240,
    )
    assert len(re.findall(r"^failed", printed, re.MULTILINE)) == 3, printed
    assert str(server.port) in printed and "no-such-bucket" in printed


def test_precedence(command, folder):
    """Flag over environment over file over default; seen by what the check looks at."""
    (folder / "c.toml").write_text('listen = "127.0.0.1:0"\nlake = "from-file"\nstate = "state"\n')

    def lake_of(*flags, **env):
        printed = command("check", "--config", "c.toml", *flags, env=env)
        return re.search(r"^ok +lake +(\S+):", printed, re.MULTILINE).group(1).rsplit("/", 1)[-1]

    assert lake_of() == "from-file"
    assert lake_of(SESSIONLAKE_LAKE="from-env") == "from-env"
    assert lake_of("--lake", "from-flag", SESSIONLAKE_LAKE="from-env") == "from-flag"


def test_unknown_keys_name_the_nearest(command, folder):
    (folder / "c.toml").write_text('roll_agee = "5s"\n')
    assert "roll_age" in command("check", "--config", "c.toml", expect=2)
    assert "roll" in command("serve", "--roll-agee", "5s", expect=2)
    warned = command("check", "--listen", "127.0.0.1:0", env={"SESSIONLAKE_ROLL_AGEE": "5s"})
    assert re.search(r"SESSIONLAKE_ROLL_AGEE.*SESSIONLAKE_ROLL_AGE\b", warned), warned
    assert "serve" in command("server", expect=2)


def test_wrong_values_say_what_is_right(command):
    assert "roll" in command("serve", "--roll-age", "soon", expect=2)
    assert "roll" in command("serve", "--roll-bytes", "many", expect=2)


@pytest.mark.parametrize("name", ["serve", "import", "inspect", "schema", "check"])
def test_help(command, name):
    assert name in command("--help")
    assert "Usage" in command(name, "--help")


def test_version(command):
    assert re.fullmatch(r"sessionlake \d+\.\d+\.\d+.*\n", command("--version"))
    assert place.binary().name == "sessionlake"
