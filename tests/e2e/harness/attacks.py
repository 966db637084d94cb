"""Requests that nobody should send, each with what becomes of it.

Every function takes an `Attacker` and returns what it saw: a status, or "closed". All of them come from
an address of their own on loopback, so that they are another peer than the good client. The table in
docs/security.md has the same names; a test holds the two together.
"""

import base64
import gzip
import json
import socket
import struct
import time
import zlib

import brotli
import zstandard

SOURCE = "127.0.0.2"
PATH = b"/open"
# The time of a whole body, unless configured.
BODY_TIMEOUT_S = 25


class Attacker:
    def __init__(self, port):
        self.port = port

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=15, source_address=(SOURCE, 0))

    def raw(self, *pieces, pause_s=0.0, linger_s=15):
        """Sends pieces; the status of the first answer, or "closed"."""
        with self.connect() as sock:
            try:
                for piece in pieces:
                    sock.sendall(piece)
                    time.sleep(pause_s)
            except OSError:
                pass
            return status(sock, linger_s)

    def put(self, body, *headers, path=PATH, method=b"PUT"):
        head = b"%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n" % (method, path, len(body))
        return self.raw(head + b"".join(header + b"\r\n" for header in headers) + b"\r\n", body)

    def head(self, *lines):
        return self.raw(b"\r\n".join(lines) + b"\r\n\r\n")


def status(sock, linger_s=15):
    sock.settimeout(linger_s)
    data = b""
    try:
        while b"\r\n" not in data:
            more = sock.recv(4096)
            if not more:
                break
            data += more
    except TimeoutError:
        return "open"
    except OSError:
        pass
    words = data.split(b" ", 2)
    if data.startswith(b"HTTP/1.") and len(words) > 1:
        return words[1].decode()
    return "closed"


# HTTP/2 by hand: what no client library would send.
def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
HEADERS = b"".join(
    literal(name, value)
    for name, value in ((b":method", b"PUT"), (b":scheme", b"http"), (b":path", PATH), (b":authority", b"localhost"))
)


def h2(attacker, frames, wait_s=15):
    """Sends frames until the connection is gone; "closed" if it went, "open" if not."""
    with attacker.connect() as sock:
        try:
            sock.sendall(PREFACE)
            for piece in frames:
                sock.sendall(piece)
            sock.settimeout(wait_s)
            while sock.recv(65536):
                pass
        except TimeoutError:
            return "open"
        except OSError:
            pass
        return "closed"


def rapid_reset(attacker):
    return h2(
        attacker,
        (frame(1, 4, 2 * n + 1, HEADERS) + frame(3, 0, 2 * n + 1, struct.pack(">I", 8)) for n in range(20_000)),
    )


def continuation_flood(attacker):
    block = literal(b"x", b"y" * 100) * 100
    pieces = [frame(1, 0, 1, HEADERS)]
    return h2(attacker, pieces + [frame(9, 0, 1, block[:10_000])] * 5000)


def header_list_flood(attacker):
    block = HEADERS + literal(b"x-a", b"y" * 120) * 100
    return h2(attacker, [frame(1, 5, 1, block[:16_000]) for _ in range(2)] * 50)


def too_many_streams(attacker):
    """More streams at once than are allowed: the ones beyond are refused, and that ends it."""
    return h2(attacker, (frame(1, 4, 2 * n + 1, HEADERS) for n in range(5000)))


def h2_connect(attacker):
    """No :path at all."""
    block = literal(b":method", b"CONNECT") + literal(b":authority", b"evil.test:443")
    with attacker.connect() as sock:
        sock.sendall(PREFACE + frame(1, 5, 1, block))
        sock.settimeout(5)
        data = b""
        try:
            while True:
                more = sock.recv(4096)
                if not more:
                    break
                data += more
                # 400 is entry 12 of the static table of HPACK.
                if bytes([0x80 | 12]) in data[18:]:
                    return "400"
        except OSError:
            pass
        return "closed"


def bad_frames(attacker):
    return h2(attacker, [frame(0, 0, 77, b"x" * 100), frame(8, 0, 0, struct.pack(">I", 0))])


def settings_flood(attacker):
    return h2(attacker, (frame(4, 0, 0) for _ in range(200_000)), 4)


def slow_head(attacker):
    return attacker.raw(b"PUT /open HTTP/1.1\r\nHost: localhost\r\n", b"X-A: b\r\n", pause_s=0.3)


def slow_body(attacker):
    return attacker.raw(b"PUT /open HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", b"{", pause_s=0.2)


def silent(attacker):
    return attacker.raw(b"")


def slow_reader(attacker):
    """Asks for a lot and reads nothing of it, until the deadline for reading has passed."""
    with attacker.connect() as sock:
        sock.settimeout(45)
        try:
            while True:
                sock.sendall(b"GET /nothing-%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"x" * 150) * 100)
        except TimeoutError:
            return "held"
        except OSError:
            return "closed"


def h2_no_window(attacker):
    """Has answers made and takes no byte of them: SETTINGS_INITIAL_WINDOW_SIZE is 0. It answers pings."""
    settings = frame(4, 0, 0, struct.pack(">HI", 4, 0))
    get = HEADERS.replace(b"PUT", b"GET")
    with attacker.connect() as sock:
        sock.sendall(PREFACE + settings + b"".join(frame(1, 5, 2 * n + 1, get) for n in range(200)))
        sock.settimeout(45)
        data = b""
        try:
            while more := sock.recv(65536):
                data += more
                while len(data) >= 9 and len(data) >= 9 + (length := int.from_bytes(data[:3], "big")):
                    kind, flags, payload = data[3], data[4], data[9 : 9 + length]
                    data = data[9 + length :]
                    if kind == 6 and not flags & 1:
                        sock.sendall(frame(6, 1, 0, payload))
        except TimeoutError:
            return "held"
        except OSError:
            pass
        return "closed"


def stalled_bodies(attacker, path=PATH):
    """Bodies that inflate to much, all of them but for their last byte.

    Those that wait for memory are refused after 4 s, and what each gives back goes to the others that are
    left, which then wait again: the last of them may be there until the end of a body's time.
    """
    packed = gzip.compress(b" " * (40 << 20))
    head = b"PUT %s HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    sockets = []
    try:
        for _ in range(6):
            sock = attacker.connect()
            sock.sendall(head % (path, len(packed)) + packed[:-1])
            sockets.append(sock)
        return ",".join(sorted({status(sock, BODY_TIMEOUT_S + 5) for sock in sockets}))
    finally:
        for sock in sockets:
            sock.close()


def page(attacker):
    """What a browser sends for a page of somebody else's, without asking."""
    return attacker.put(b"{}", b"Origin: https://evil.example", b"Content-Type: text/plain", method=b"POST")


def rebound(attacker):
    return attacker.raw(b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n")


def rebound_put(attacker):
    return attacker.raw(b"PUT %s HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 2\r\n\r\n{}" % PATH)


def many_connections(attacker):
    sockets = []
    try:
        for _ in range(400):
            sockets.append(attacker.connect())
        time.sleep(0.5)
        refused = 0
        for sock in sockets:
            sock.setblocking(False)
            try:
                refused += sock.recv(1) == b""
            except BlockingIOError:
                pass
            except OSError:
                refused += 1
        return "closed" if refused >= 400 - 200 else f"only {refused} closed"
    finally:
        for sock in sockets:
            sock.close()


def password_guesses(attacker):
    seen = set()
    for number in range(25):
        guess = base64.b64encode(b"ann:guess-%d" % number)
        seen.add(attacker.put(b"{}", b"Authorization: Basic " + guess, path=b"/export/events"))
    return ",".join(sorted(seen))


def guesses_at_once(attacker):
    """All of them before the first is answered."""
    sockets = [attacker.connect() for _ in range(60)]
    try:
        for number, sock in enumerate(sockets):
            guess = base64.b64encode(b"ann:at-once-%d" % number)
            sock.sendall(b"PUT /export/events HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nAuthorization: Basic %s\r\n\r\n{}" % guess)
        seen = [status(sock) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()
    tried = seen.count("401")
    if tried > 15 or not set(seen) <= {"401", "429", "503"}:
        return f"{tried} were tried: {sorted(set(seen))}"
    return "429"


def request_flood(attacker):
    with attacker.connect() as sock:
        sock.sendall(b"GET /limited HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        sock.settimeout(3)
        data = b""
        try:
            while data.count(b"HTTP/1.1 ") < 100:
                more = sock.recv(65536)
                if not more:
                    break
                data += more
        except OSError:
            pass
        return "429" if b"HTTP/1.1 429" in data else data[:40].decode(errors="replace")


def bomb(pack, encoding):
    packed = pack(b" " * (65 << 20))
    return lambda attacker: attacker.put(packed, b"Content-Encoding: " + encoding)


def nested_bomb(attacker):
    packed = gzip.compress(gzip.compress(b" " * (32 << 20)))
    return attacker.put(packed, b"Content-Encoding: gzip, gzip")


def bulk_of_nothing(attacker):
    return attacker.put(b'{"index":{}}\n{}\n' * 200_000, path=b"/es/_bulk", method=b"POST")


def escaping_partition(attacker):
    tenants = ["../../../tmp/x", "..", ".", "", "a/b", "a\0b", "x" * 5000, "_hidden", ".hidden", "%2e%2e"]
    lines = [
        json.dumps({"userSessionId": "evil", "startTime": 1793534400000, "tenantId": tenant}).encode()
        for tenant in tenants
    ]
    return attacker.put(b"\n".join(lines))


def line(text):
    return lambda attacker: attacker.put(text)


START = b"PUT /open HTTP/1.1"
HOST = b"Host: localhost"

# name: (attack, what may become of it)
ATTACKS = {
    "smuggling: length and chunked, chunked is what counts": (
        lambda a: a.raw(START + b"\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        {"200", "400"},
    ),
    "smuggling: two lengths": (lambda a: a.head(START, HOST, b"Content-Length: 4", b"Content-Length: 5"), {"400"}),
    "smuggling: a list of lengths": (lambda a: a.head(START, HOST, b"Content-Length: 4, 5"), {"400"}),
    "smuggling: a negative length": (lambda a: a.head(START, HOST, b"Content-Length: -1"), {"400"}),
    "smuggling: a length with a sign": (lambda a: a.head(START, HOST, b"Content-Length: +4"), {"400"}),
    "smuggling: a length of 2^64": (lambda a: a.head(START, HOST, b"Content-Length: 18446744073709551616"), {"400", "413"}),
    "smuggling: chunked is not last": (lambda a: a.head(START, HOST, b"Transfer-Encoding: chunked, identity"), {"400"}),
    "smuggling: not quite chunked": (lambda a: a.head(START, HOST, b"Transfer-Encoding: xchunked"), {"400"}),
    "smuggling: a space before the colon": (lambda a: a.head(START, HOST, b"Content-Length : 4"), {"400"}),
    "smuggling: a folded header": (lambda a: a.head(START, HOST, b"X-A: b", b" Content-Length: 4"), {"400"}),
    "smuggling: chunked in HTTP/1.0": (lambda a: a.head(b"PUT /open HTTP/1.0", b"Transfer-Encoding: chunked"), {"400"}),
    "chunks: a size that overflows": (
        lambda a: a.raw(START + b"\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
        {"400"},
    ),
    "chunks: endless extensions": (
        lambda a: a.raw(START + b"\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 100_000),
        {"400"},
    ),
    "chunks: endless trailers": (
        lambda a: a.raw(
            START + b"\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X-A: b\r\n" * 50_000
        ),
        {"400"},
    ),
    "head: a header of 128 KiB": (lambda a: a.head(START, HOST, b"X-A: " + b"b" * 131_072), {"431", "400"}),
    "head: 1000 headers": (lambda a: a.head(START, HOST, *[b"X-A: b"] * 1000), {"431", "400"}),
    "head: a path of 100 KB": (lambda a: a.head(b"GET /" + b"a" * 100_000 + b" HTTP/1.1", HOST), {"414", "431", "400"}),
    "head: a control character": (lambda a: a.head(START, HOST, b"X-A: \x00\x01"), {"400"}),
    "head: a NUL in the path": (lambda a: a.head(b"GET /a\x00b HTTP/1.1", HOST), {"400"}),
    "head: HTTP/0.9": (lambda a: a.raw(b"GET /\r\n\r\n"), {"400"}),
    "head: HTTP/9.9": (lambda a: a.head(b"GET / HTTP/9.9", HOST), {"400", "505"}),
    "head: noise": (lambda a: a.raw(bytes(range(256)) * 8 + b"\r\n\r\n"), {"400", "closed"}),
    "head: TLS to a plain port": (lambda a: a.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500), {"400", "closed", "408"}),
    "method: 5000 letters": (lambda a: a.head(b"A" * 5000 + b" /open HTTP/1.1", HOST), {"405", "400"}),
    "method: CONNECT": (lambda a: a.head(b"CONNECT evil.test:443 HTTP/1.1", HOST), {"400", "404", "405"}),
    "method: TRACE": (lambda a: a.head(b"TRACE /open HTTP/1.1", HOST, b"Cookie: a"), {"405"}),
    "path: up and out": (lambda a: a.head(b"GET /open/../../etc/passwd HTTP/1.1", HOST), {"404"}),
    "path: up and out, encoded": (lambda a: a.head(b"GET /%2e%2e%2f%2e%2e%2fetc%2fpasswd HTTP/1.1", HOST), {"404"}),
    "slow: a head": (slow_head, {"408"}),
    "slow: a body": (slow_body, {"408"}),
    "slow: nothing at all": (silent, {"408", "closed"}),
    "slow: large bodies without their last byte": (stalled_bodies, {"408"}),
    "bomb: gzip": (bomb(gzip.compress, b"gzip"), {"413"}),
    "bomb: zstd": (bomb(zstandard.ZstdCompressor().compress, b"zstd"), {"413"}),
    "bomb: br": (bomb(lambda data: brotli.compress(data, quality=1), b"br"), {"413"}),
    "bomb: deflate": (bomb(zlib.compress, b"deflate"), {"413"}),
    "bomb: gzip in gzip": (nested_bomb, {"415"}),
    "body: a line of 30 MB": (line(b'{"userSessionId":"' + b"x" * 30_000_000 + b'"}'), {"200"}),
    "body: 4 million empty actions": (line(b'{"startTime":1,"userActions":[' + b"{}," * 3_999_999 + b"{}]}"), {"200"}),
    "body: 1000 lines of 10,000 empty actions": (
        line((b'{"startTime":1,"userActions":[' + b"{}," * 9_999 + b"{}]}\n") * 1000),
        {"200"},
    ),
    "body: 6 million fields without a name": (line(b'{"a":1' + b',"":0' * 6_000_000 + b"}"), {"200"}),
    "body: 30 MB of control characters": (line(b"\x01" * 30_000_000), {"200"}),
    "body: a million brackets": (line(b'{"a":' + b"[" * 1_000_000), {"200"}),
    "body: a million empty documents": (line(b"{}\n" * 1_000_000), {"200"}),
    "body: more than is allowed": (lambda a: a.head(START, HOST, b"Content-Length: 99999999999"), {"413"}),
    "body: 200,000 actions": (bulk_of_nothing, {"413"}),
    "body: partitions that would be elsewhere": (escaping_partition, {"200"}),
    "flood: connections": (many_connections, {"closed"}),
    "flood: requests": (request_flood, {"429"}),
    "flood: guesses of passwords": (password_guesses, {"401,429"}),
    "flood: guesses of passwords, all at once": (guesses_at_once, {"429"}),
    "page: another site's, posting text": (page, {"403"}),
    "page: a name that was made to mean loopback": (rebound_put, {"403"}),
    "h2: rapid reset": (rapid_reset, {"closed"}),
    "h2: endless continuation": (continuation_flood, {"closed"}),
    "h2: endless headers": (header_list_flood, {"closed"}),
    "h2: CONNECT": (h2_connect, {"400"}),
    "h2: too many streams": (too_many_streams, {"closed"}),
    "h2: frames that cannot be": (bad_frames, {"closed"}),
    "h2: a flood of settings": (settings_flood, {"closed", "open"}),
}

# What is seen only after half a minute: begun first, and looked at last.
SLOW_ATTACKS = {
    "slow: an answer that nobody reads": (slow_reader, {"closed"}),
    "h2: answers for which there is no window": (h2_no_window, {"closed"}),
}
