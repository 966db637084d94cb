"""Credentials, certificates, issuers: made with the program's own commands and with openssl."""

import base64
import json
import subprocess
import time
from pathlib import Path

from . import place


def password_hash(password):
    """What `sessionlake passwd` prints for a password."""
    done = subprocess.run(
        [place.binary(), "passwd"], input=password.encode(), capture_output=True, timeout=60, check=True
    )
    return done.stdout.decode().strip()


def token():
    """A token and its hash, as `sessionlake passwd --token` makes them."""
    done = subprocess.run([place.binary(), "passwd", "--token"], capture_output=True, timeout=60, check=True)
    lines = dict(line.split(" = ") for line in done.stdout.decode().replace("   ", " ").split("\n") if line)
    values = {key.strip(): value.strip().strip('"') for key, value in lines.items()}
    return values["token"], values["token_hash"]


def certificate(folder):
    """`cert.pem` and `key.pem` of a new self-signed certificate."""
    subprocess.run([place.binary(), "cert", "--self-signed", folder], capture_output=True, timeout=60, check=True)
    return Path(folder) / "cert.pem", Path(folder) / "key.pem"


def toml(sections):
    """[(name, {key: value})] as TOML sections."""
    lines = []
    for name, values in sections:
        lines.append(f"[[{name}]]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, data=None):
    done = subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, timeout=60, check=True)
    return done.stdout


class Issuer:
    """Signs JWTs with RS256, and publishes the key that it signs with now."""

    def __init__(self, folder, issuer="https://issuer.test/"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.issuer = issuer
        self.number = 0
        self.rotate()

    def rotate(self):
        self.number += 1
        self.key = self.folder / f"key-{self.number}.pem"
        openssl("genrsa", "-out", self.key, 2048)

    @property
    def kid(self):
        return f"k{self.number}"

    def jwks(self):
        modulus = openssl("rsa", "-in", self.key, "-noout", "-modulus").decode().split("=")[1].strip()
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": b64(bytes.fromhex(modulus)), "e": "AQAB"}
        return json.dumps({"keys": [key]})

    def jwt(self, **claims):
        header = {"alg": "RS256", "typ": "JWT", "kid": self.kid}
        claims = {"iss": self.issuer, "aud": "lake", "sub": "exporter", "exp": int(time.time()) + 300, **claims}
        signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
        signature = openssl("dgst", "-sha256", "-sign", self.key, data=signed.encode())
        return f"{signed}.{b64(signature)}"
