"""Secrets in files: X_FILE in the place of a variable X, x_file in that of a key x."""

import signal

from harness.documents import body
from harness.lake import Lake
from harness.process import wait_until
from harness.stores import KEY, SECRET


def test_a_store_by_secrets_in_files(make_server, seaweedfs, command, folder):
    at = seaweedfs.lake("secret-files")
    lake = Lake(at)
    key, secret = folder / "key", folder / "secret"
    key.write_text(KEY + "\n")
    secret.write_text(SECRET + "\r\n")
    rest = {name: value for name, value in at.env.items() if name not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    env = {**rest, "AWS_ACCESS_KEY_ID_FILE": str(key), "AWS_SECRET_ACCESS_KEY_FILE": str(secret)}
    flags = ["--lake", at.uri, "--state", folder / "s", "--listen", "127.0.0.1:0"]
    assert "would start" in command("check", *flags, env=env)
    # By keys of the file.
    config = folder / "s.toml"
    config.write_text(f'[storage]\naws_access_key_id_file = "{key}"\naws_secret_access_key_file = "{secret}"\n')
    assert "would start" in command("check", *flags, "--config", config, env=rest)
    # Errors name the file, and hold nothing of it.
    said = command("check", *flags, env={**env, "AWS_ACCESS_KEY_ID": KEY}, expect=2)
    assert "AWS_ACCESS_KEY_ID_FILE: AWS_ACCESS_KEY_ID is given as well" in said, said
    secret.write_text("\n")
    said = command("check", *flags, env=env, expect=2)
    assert f"AWS_SECRET_ACCESS_KEY_FILE: the file {secret} is empty" in said, said
    said = command("check", *flags, "--config", config, env=rest, expect=2)
    assert f"s.toml:3: storage.aws_secret_access_key_file: the file {secret} is empty" in said, said
    secret.write_text(SECRET)

    # A reload reads them again: another secret needs a restart, and one that cannot be read is an error.
    at.env.clear()
    at.env.update(env)
    server = make_server(lake, "--roll-age", "1h").start()
    assert server.put(body("a")).status == 200
    secret.write_text("another")
    server.process.signal(signal.SIGHUP)
    needs = "these have changed and need a restart: AWS_SECRET_ACCESS_KEY_FILE"
    wait_until(lambda: needs in server.process.output(), 20, "the reload says so")
    secret.unlink()
    server.process.signal(signal.SIGHUP)
    wait_until(lambda: f"cannot read the file {secret}" in server.process.output(), 20, "the reload fails")
    server.drain()
    assert lake.session_ids() == ["a"]
    assert SECRET not in server.process.output()
