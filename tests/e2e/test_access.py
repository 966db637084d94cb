"""Who gets in: curl with and without TLS, over HTTP/1.1 and HTTP/2, with every kind of credentials;
and secrets and certificates that change while requests go on."""

import http.server
import itertools
import json
import subprocess
import threading
import time

import pytest
from harness import access
from harness.documents import body
from harness.process import wait_until

COUNTER = itertools.count(1)


def curl(*arguments, data=None, expect=0):
    """Status and version as curl tells them, and the body."""
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "30", "-w", "\n%{http_code} %{http_version}", *map(str, arguments)],
        input=data,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == expect, (done.returncode, done.stderr.decode())
    text, _, told = done.stdout.decode().rpartition("\n")
    return told, text


def send(server, *arguments, method="PUT", path=None, expect="200"):
    """One session by curl; its id, if the status is the expected one."""
    name = f"s{next(COUNTER):05}"
    told, text = curl(
        "-X", method, "--data-binary", "@-", *arguments, server.origin + (path or server.path), data=body(name)
    )
    assert told.startswith(expect), (told, text)
    return name


class Secrets:
    """A file of credentials with one of each kind."""

    def __init__(self, folder):
        self.folder = folder
        self.password, self.plain, self.client = "pass:wörd-1", "plain-secret-2", "client-secret-3"
        self.token, self.token_hash = access.token()
        self.issuer = access.Issuer(folder / "issuer")
        self.path = folder / "credentials.toml"
        (folder / "plain").write_text(self.plain + "\n")
        (folder / "keys.json").write_text(self.issuer.jwks())
        self.issued = []
        self.write()

    def write(self, jwks="keys.json", **more):
        new = self.path.with_suffix(".new")
        new.write_text(
            access.toml(
                [
                    ("user", {"name": "ann", "password_hash": access.password_hash(self.password)}),
                    ("user", {"name": "bob", "password_file": "plain"}),
                    ("token", {"name": "batch", "token_hash": self.token_hash}),
                    (
                        "client",
                        {
                            "id": "exporter",
                            "secret_hash": access.password_hash(self.client),
                            "scopes": ["sessions.write"],
                        },
                    ),
                    ("issuer", {"issuer": self.issuer.issuer, "audience": "lake", "jwks": jwks}),
                ]
            )
        )
        new.rename(self.path)

    def all(self):
        return [self.password, self.plain, self.client, self.token, *self.issued]


@pytest.fixture
def secrets(folder):
    return Secrets(folder)


def test_every_way_to_send_lands_and_no_secret_is_told(make_server, local_lake, secrets, folder):
    cert, key = access.certificate(folder / "tls")
    server = make_server(
        local_lake, "--roll-age", "1h", "--log", "debug", "--credentials", secrets.path, "--tls-cert", cert, "--tls-key", key
    ).start()
    assert server.scheme == "https"
    tls = ["--cacert", cert]
    sent = []
    for version, method in itertools.product(["--http1.1", "--http2"], ["PUT", "POST"]):
        sent.append(send(server, *tls, version, "-u", f"ann:{secrets.password}", method=method))
        sent.append(send(server, *tls, version, "-u", f"bob:{secrets.plain}", method=method))
        sent.append(send(server, *tls, version, "-H", f"Authorization: Bearer {secrets.token}", method=method))
    told, _ = curl(*tls, "--http2", "-u", f"ann:{secrets.password}", f"{server.origin}/metrics")
    assert told == "200 2"
    for version in ("--tlsv1.2 --tls-max 1.2", "--tlsv1.3"):
        sent.append(send(server, *tls, *version.split(), "-u", f"ann:{secrets.password}"))

    # The built-in token endpoint, as the exporter asks it.
    form = ["-d", "grant_type=client_credentials", "-d", "client_id=exporter", "-d", f"client_secret={secrets.client}"]
    told, text = curl(*tls, *form, f"{server.origin}/oauth2/token")
    granted = json.loads(text)
    assert told.startswith("200") and granted["token_type"] == "Bearer" and granted["expires_in"] == 300, text
    secrets.issued.append(granted["access_token"])
    sent.append(send(server, *tls, "-H", f"Authorization: Bearer {granted['access_token']}"))

    # A JWT of an issuer; then its key is rotated.
    old = secrets.issuer.jwt()
    sent.append(send(server, *tls, "-H", f"Authorization: Bearer {old}"))
    secrets.issuer.rotate()
    new = secrets.issuer.jwt()
    secrets.issued += [old, new]
    send(server, *tls, "-H", f"Authorization: Bearer {new}", expect="401")
    (folder / "keys.json").write_text(secrets.issuer.jwks())
    wait_until(
        lambda: curl(*tls, "-H", f"Authorization: Bearer {new}", f"{server.origin}/metrics")[0].startswith("200"),
        10,
        "the new key to be taken",
        0.5,
    )
    sent.append(send(server, *tls, "-H", f"Authorization: Bearer {new}"))
    send(server, *tls, "-H", f"Authorization: Bearer {old}", expect="401")

    # Nobody else; and nothing that tells which part was wrong.
    told, text = curl(*tls, "-i", "-X", "PUT", "-d", "{}", server.url)
    assert told.startswith("401") and "www-authenticate: basic" in text.lower(), text
    bodies = set()
    for wrong in (["-u", "ann:wrong-guess-9"], ["-u", "eve:wrong-guess-9"], ["-H", "Authorization: Bearer wrong-guess-9"]):
        told, text = curl(*tls, "-X", "PUT", "-d", "{}", *wrong, server.url)
        assert told.startswith("401"), (wrong, told)
        bodies.add(text)
    assert len(bodies) == 1, bodies
    _, metrics = curl(*tls, "-u", f"ann:{secrets.password}", f"{server.origin}/metrics")
    assert 'sessionlake_requests_total{endpoint="default",code="200"}' in metrics
    server.drain()
    assert sorted(local_lake.session_ids()) == sorted(sent)

    log = server.log.read_text()
    for secret in [*secrets.all(), "wrong-guess-9", key.read_text().splitlines()[1]]:
        assert secret not in log and secret not in metrics, f"{secret} was told"
    encoded = subprocess.run(
        ["base64", "-w0"], input=f"ann:{secrets.password}".encode(), capture_output=True, check=True
    ).stdout.decode()
    assert encoded not in log


def test_check_tells_of_credentials_and_not_what_they_are(command, local_lake, secrets, folder):
    shown = command("check", "--lake", local_lake.at.uri, "--listen", "127.0.0.1:0", "--credentials", secrets.path, env=local_lake.at.env)
    assert "2 users, 1 tokens, 1 clients, 1 issuers" in shown
    assert not any(secret in shown for secret in secrets.all())
    secrets.path.write_text('[[user]]\nname = "ann"\npassword = "hunter2"\n')
    shown = command("check", "--lake", local_lake.at.uri, "--listen", "127.0.0.1:0", "--credentials", secrets.path, env=local_lake.at.env, expect=1)
    assert "unknown field" in shown and "hunter2" not in shown


def test_keys_are_rotated_under_load_without_a_failed_request(make_server, local_lake, secrets):
    """A key set from a URL: the first token is right at once, and so is the first of each new key."""
    served, published = [], json.loads(secrets.issuer.jwks())["keys"]

    class Keys(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            served.append(self.path)
            text = json.dumps({"keys": published}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    keys = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=keys.serve_forever, daemon=True).start()
    try:
        secrets.write(jwks=f"http://127.0.0.1:{keys.server_address[1]}/keys")
        server = make_server(local_lake, "--roll-age", "1h", "--credentials", secrets.path).start()
        tokens, sent, failed, stopping = [secrets.issuer.jwt()], [], [], threading.Event()

        def sender():
            while not stopping.is_set():
                try:
                    sent.append(send(server, "-H", f"Authorization: Bearer {tokens[-1]}"))
                except AssertionError as error:
                    failed.append(str(error))

        threads = [threading.Thread(target=sender, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for rotation in range(2):
            time.sleep(2)
            secrets.issuer.rotate()
            published += json.loads(secrets.issuer.jwks())["keys"]
            tokens.append(secrets.issuer.jwt())
            wait_until(lambda before=len(sent): len(sent) > before + 5, 20, f"rotation {rotation} to be noticed", 0.1)
        stopping.set()
        for thread in threads:
            thread.join(30)
        assert not failed, failed[:3]
        assert len(served) <= 4, "fetched for every unknown key"
        server.drain()
        assert sorted(local_lake.session_ids()) == sorted(sent)
    finally:
        keys.shutdown()


def test_certificates_and_credentials_change_under_load(make_server, local_lake, secrets, folder):
    cert, key = access.certificate(folder / "tls")
    flags = ["--roll-age", "1h", "--credentials", secrets.path, "--tls-cert", cert, "--tls-key", key]
    server = make_server(local_lake, *flags).start()
    stopping, sent, failed = threading.Event(), [], []

    def sender(arguments):
        while not stopping.is_set():
            try:
                sent.append(send(server, "-k", *arguments))
            except AssertionError as error:
                failed.append(str(error))

    ways = [["-u", f"bob:{secrets.plain}"], ["--http1.1", "-H", f"Authorization: Bearer {secrets.token}"]]
    threads = [threading.Thread(target=sender, args=(way,), daemon=True) for way in ways]
    for thread in threads:
        thread.start()

    def served():
        text = access.openssl("s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", "localhost", data=b"")
        return text.decode().split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0].strip()

    seen = {served()}
    for round_ in range(3):
        new_cert, new_key = access.certificate(folder / f"tls-{round_}")
        # First one, then the other: in between they do not go together.
        new_key.rename(key)
        time.sleep(1.2)
        new_cert.rename(cert)
        before = set(seen)
        wait_until(lambda before=before: served() not in before, 10, "the new certificate", 0.3)
        seen.add(served())
        secrets.password = f"changed-{round_}"
        secrets.write()
        wait_until(
            lambda: curl("-k", "-u", f"ann:{secrets.password}", f"{server.origin}/metrics")[0].startswith("200"),
            10,
            "the new password",
            0.3,
        )
        told, _ = curl("-k", "-u", "ann:changed-x", f"{server.origin}/metrics")
        assert told.startswith("401"), told
    # A file that cannot be used changes nothing.
    secrets.path.write_text("this is no TOML")
    time.sleep(1.5)
    stopping.set()
    for thread in threads:
        thread.join(30)
    assert not failed, failed[:3]
    assert len(seen) == 4 and len(sent) > 50, (len(seen), len(sent))
    server.drain()
    assert sorted(local_lake.session_ids()) == sorted(sent)
    assert "credentials stay as they were" in server.log.read_text()


def test_client_certificates(make_server, local_lake, folder):
    cert, key = access.certificate(folder / "tls")
    ca, client = folder / "ca.pem", folder / "client.pem"
    access.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "ca.key", "-out", ca, "-subj", "/CN=ca", "-days", "2")
    access.openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "client.key", "-out", folder / "client.csr", "-subj", "/CN=exporter")
    (folder / "ext").write_text("subjectAltName=DNS:exporter\nextendedKeyUsage=clientAuth\n")
    access.openssl("x509", "-req", "-in", folder / "client.csr", "-CA", ca, "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", "2", "-out", client, "-extfile", folder / "ext")
    server = make_server(
        local_lake, "--roll-age", "1h", "--tls-cert", cert, "--tls-key", key, "--tls-client-ca", ca
    ).start()
    name = send(server, "--cacert", cert, "--cert", client, "--key", folder / "client.key")
    for stranger in ([], ["--cert", cert, "--key", key]):
        with pytest.raises(AssertionError):
            send(server, "--cacert", cert, *stranger)
    server.drain()
    assert local_lake.session_ids() == [name]


def test_endpoints_with_peers_and_rates(make_server, local_lake, secrets, folder):
    config = folder / "sessionlake.toml"
    config.write_text(
        f"credentials = {json.dumps(str(secrets.path))}\n"
        + access.toml(
            [
                ("endpoint", {"name": "main", "path": "/export/events", "allow": ["ann"], "auth": ["basic"]}),
                ("endpoint", {"name": "oauth", "path": "/oauth", "auth": ["oauth2", "jwt"], "scope": "sessions.write"}),
                ("endpoint", {"name": "elsewhere", "path": "/elsewhere", "peers": ["192.0.2.0/24"], "auth": "none"}),
                ("endpoint", {"name": "open", "path": "/open", "auth": "none", "methods": ["POST"], "requests_per_second": 5}),
            ]
        )
    )
    server = make_server(local_lake, "--roll-age", "1h", "--config", config).start()
    sent = [send(server, "-u", f"ann:{secrets.password}")]
    send(server, "-u", f"bob:{secrets.plain}", expect="401")
    send(server, "-H", f"Authorization: Bearer {secrets.token}", expect="401")
    scoped, bare = secrets.issuer.jwt(scope="sessions.write"), secrets.issuer.jwt()
    sent.append(send(server, "-H", f"Authorization: Bearer {scoped}", path="/oauth"))
    send(server, "-H", f"Authorization: Bearer {bare}", path="/oauth", expect="401")
    send(server, path="/elsewhere", expect="403")
    send(server, path="/open", expect="405")
    statuses = []
    for _ in range(25):
        name = f"s{next(COUNTER):05}"
        told, _ = curl("--data-binary", "@-", f"{server.origin}/open", data=body(name))
        statuses.append(told[:3])
        if told.startswith("200"):
            sent.append(name)
    assert "429" in statuses and "200" in statuses, statuses
    server.drain()
    assert sorted(local_lake.session_ids()) == sorted(sent)
