"""Other inputs: made-up sessions of other shapes than those of `tests/e2e/sessions.py`.

Many properties, most of them with values that hardly repeat; long texts (addresses with queries, metadata, names in
several scripts); few sessions with most of the actions; fields that no column has, and names of older exports in some of them
(values of another type, which others refuse, in none). Besides, sessions of 1 KB and of 100 KB, and records of Grail. Deterministic: the
same size and seed are the same bytes.

    python shapes.py --megabytes 400 --kind other --out other.ndjson
"""

import argparse
import datetime
import json
import random
import sys

import common  # noqa: F401: finds the modules of the end-to-end tests
from sessions import made_once

DAY_MS = 86_400_000
FIRST_MS = 1_793_491_200_000  # 2026-11-01
WORDS = (
    "Vertrag Rechnung Übersicht facture relevé 口座 振込 残高 konto przelew saldo transfer account statement loan "
    "mortgage insurance claim policy premium quote branch adviser signature consent Ausweis Freigabe"
).split()
KEYS = [f"{a}{b}" for a in ("customer", "contract", "campaign", "device", "consent", "step", "ab") for b in ("Id", "Name", "Group", "State", "Score", "Time")]
APPLICATIONS = [(f"bank {name}", f"APPLICATION-{n:016X}") for n, name in enumerate(("web", "ios", "android", "broker", "branch"), 0xB0A)]
# The kinds of sessions, and what import has to know of them.
KINDS = {"other": "next", "small": "small", "large": "large", "grail": "grail"}
FLAGS = {"grail": ["--table", "grail_user_sessions"]}
NAMES_OF_BEFORE = {"country": "geolocationCountryName", "city": "geolocationCityName", "osFamily": "osFamilyName"}


def _dumps(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Shapes:
    """An endless sequence of sessions."""

    def __init__(self, seed=11, days=5):
        self.rng = random.Random(seed)
        self.days = days
        rng = self.rng
        self.users = [f"{rng.getrandbits(64)}" for _ in range(20_000)]
        self.cities = [(f"{rng.choice(WORDS)}stadt {n}", f"Land {n % 40}", f"Region {n % 300}") for n in range(4000)]
        self.pages = [f"/{rng.choice(WORDS)}/{rng.choice(WORDS)}/{n}" for n in range(30_000)]
        self.agents = [(f"Browser {n % 30}", f"Browser {n % 30} {n}") for n in range(700)]

    def _few(self, of):
        """Mostly one of the first: the n-th is drawn 1/n as often."""
        return of[min(int(self.rng.paretovariate(0.7)) - 1, len(of) - 1)]

    def _text(self, most):
        rng = self.rng
        return " ".join(rng.choices(WORDS, k=1 + int(rng.random() ** 3 * most)))

    def _properties(self, each, level, least):
        """The four lists of properties of a session or an action."""
        rng = self.rng
        hexes = lambda: f"{rng.getrandbits(96):024x}"  # noqa: E731
        makes = {
            "string": lambda: rng.choice((hexes, hexes, lambda: self._text(20), lambda: self._few(WORDS)))(),
            "long": lambda: rng.choice((lambda: rng.randrange(10**12), lambda: FIRST_MS + rng.randrange(5 * DAY_MS), lambda: rng.randrange(50)))(),
            "double": lambda: rng.choice((rng.random, lambda: round(rng.lognormvariate(4, 2), 2)))(),
            "date": lambda: f"20{rng.randrange(10, 27)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}T{rng.randrange(24):02}:00:00Z",
        }
        found = {}
        for kind, make in makes.items():
            count = least + int(rng.expovariate(1 / each[kind]))
            entries = [{"key": self._few(KEYS), "value": make()} for _ in range(count)]
            if level == "session":
                name, internal = APPLICATIONS[count % 5]
                entries = [entry | {"applicationId": name, "internalApplicationId": internal} for entry in entries]
            found[f"{kind}Properties"] = entries
        return found

    def _action(self, start, least):
        rng = self.rng
        took = int(rng.lognormvariate(6.5, 1.2))
        name, internal = self._few(APPLICATIONS)
        page = self._few(self.pages)
        action = {
            "type": rng.choice(("Xhr", "Xhr", "Custom", "Load")),
            "name": f"touch on {self._text(6)}" if rng.random() < 0.5 else f"loading of page {page}",
            "targetUrl": f"https://{internal[-4:].lower()}.bank.example{page}?session={rng.getrandbits(64):x}&ref={rng.randrange(10**9)}",
            "domain": f"{internal[-4:].lower()}.bank.example",
            "application": name,
            "internalApplicationId": internal,
            "startTime": start,
            "endTime": start + took,
            "duration": took,
            "apdexCategory": "SATISFIED" if took < 800 else "TOLERATING" if took < 3000 else "FRUSTRATED",
            "networkTime": took // 5,
            "serverTime": took // 3,
            "frontendTime": took - took // 5 - took // 3,
            "customErrorCount": 0,
            "javascriptErrorCount": int(rng.expovariate(9)),
            "requestErrorCount": int(rng.expovariate(9)),
            **self._properties({"string": 1.5, "long": 0.7, "double": 0.7, "date": 0.4}, "action", least),
        }
        if action["type"] == "Load" or least:
            action |= {
                "navigationStart": start,
                "responseStart": took // 9,
                "responseEnd": took // 7,
                "domCompleteTime": took // 2,
                "visuallyCompleteTime": took - took // 8,
                "speedIndex": int(rng.lognormvariate(7, 0.7)),
                "largestContentfulPaint": took // 2,
                "cumulativeLayoutShift": round(rng.expovariate(12), 6),
            }
        if rng.random() < 0.03:
            action["renderBudget"] = {"spent": took, "of": rng.choice((500, 1000))}
            action["traceParent"] = f"00-{rng.getrandbits(128):032x}-01"
        return action, took

    def next(self, least=0):
        """A session as a line; with at least so many elements in each list."""
        rng = self.rng
        start = FIRST_MS + rng.randrange(self.days) * DAY_MS + int(rng.triangular(0, DAY_MS - 1, DAY_MS * 0.6))
        actions, at = [], start
        for _ in range(min(200, int(rng.paretovariate(0.9)))):
            action, took = self._action(at, least)
            actions.append(action)
            at += took + int(rng.lognormvariate(9, 1.5))
        city, country, region = self._few(self.cities)
        family, version = self._few(self.agents)
        session = {
            "tenantId": "bnk00001",
            "userSessionId": f"{rng.getrandbits(128):032X}-{rng.randrange(9)}",
            "startTime": start,
            "endTime": at,
            "duration": at - start,
            "internalUserId": self._few(self.users),
            "userId": f"K{rng.randrange(10**9):09}" if rng.random() < 0.8 else None,
            "userType": "REAL_USER",
            "applicationType": rng.choice(("WEB_APPLICATION", "MOBILE_APPLICATION")),
            "bounce": len(actions) == 1,
            "newUser": rng.random() < 0.1,
            "userActionCount": len(actions),
            "ip": f"2001:db8:{rng.getrandbits(16):x}:{rng.getrandbits(16):x}::{rng.getrandbits(16):x}",
            "country": country,
            "region": region,
            "city": city,
            "isp": self._text(3),
            "browserFamily": family,
            "browserMajorVersion": version,
            "osFamily": rng.choice(("iOS", "Android", "Windows")),
            "device": f"Device {int(rng.paretovariate(0.8))}",
            "screenWidth": rng.choice((390, 393, 412, 1920)),
            "screenHeight": rng.choice((844, 852, 915, 1080)),
            **self._properties({"string": 9, "long": 4, "double": 3, "date": 2}, "session", least),
            "endReason": rng.choice(("TIMEOUT", "END_EVENT")),
            "userActions": actions,
            "events": [
                {
                    "type": rng.choice(("PageChange", "Behavioral", "UserTag")),
                    "name": self._text(8),
                    "startTime": start + rng.randrange(at - start + 1),
                    "metadata": _dumps({"from": self._few(self.pages), "id": f"{rng.getrandbits(64):x}"}),
                    "page": self._few(self.pages),
                }
                for _ in range(least + int(rng.expovariate(0.4)))
            ],
            "errors": [
                {"type": "request", "name": f"{rng.choice((404, 500, 502))} {self._few(self.pages)}", "startTime": at}
                for _ in range(least + int(rng.expovariate(3)))
            ],
        }
        drift = rng.random()
        if drift < 0.05:
            session = {NAMES_OF_BEFORE.get(name, name): value for name, value in session.items()}
        elif drift < 0.08:
            session |= {"journey": {"name": self._text(4), "step": rng.randrange(9)}, "consentLevel": rng.randrange(4)}
        return _dumps(session).encode() + b"\n"

    def small(self):
        """A session of a mobile application: 1 KB, with an action or two."""
        rng = self.rng
        start = FIRST_MS + rng.randrange(self.days * DAY_MS)
        name, internal = APPLICATIONS[2]
        action = lambda at: {  # noqa: E731
            "type": "Custom",
            "name": f"Touch on {self._few(WORDS)}",
            "startTime": at,
            "endTime": at + rng.randrange(900),
            "duration": rng.randrange(900),
            "application": name,
            "internalApplicationId": internal,
            "networkTime": rng.randrange(300),
            "stringProperties": [],
        }
        session = {
            "tenantId": "bnk00001",
            "userSessionId": f"{rng.getrandbits(64):016X}",
            "startTime": start,
            "endTime": start + 9000,
            "duration": 9000,
            "userType": "REAL_USER",
            "applicationType": "MOBILE_APPLICATION",
            "userActionCount": 1,
            "ip": f"203.0.113.{rng.randrange(256)}",
            "country": self._few(self.cities)[1],
            "osFamily": "Android",
            "osVersion": f"Android {rng.randrange(11, 17)}",
            "device": f"Device {int(rng.paretovariate(0.8))}",
            "manufacturer": rng.choice(("Samsung", "Google", "Xiaomi")),
            "carrier": f"Carrier {rng.randrange(60)}",
            "appVersion": f"7.{rng.randrange(12)}",
            "connectionType": rng.choice(("WIFI", "MOBILE")),
            "stringProperties": [{"key": "tier", "value": self._few(WORDS)}],
            "userActions": [action(start + 10), *([action(start + 2000)] if rng.random() < 0.3 else [])],
            "endReason": "TIMEOUT",
        }
        return _dumps(session).encode() + b"\n"

    def large(self, size=100_000):
        """A session of about so many bytes."""
        session = json.loads(self.next())
        at, actions, used = session["startTime"], [], 0
        while used < size:
            action, took = self._action(at, 0)
            actions.append(action)
            used += len(_dumps(action))
            at += took
        return _dumps(session | {"userActions": actions, "endTime": at}).encode() + b"\n"

    def grail(self):
        """A record of `user.sessions` as OpenPipeline forwards it."""
        rng = self.rng
        start = FIRST_MS + rng.randrange(self.days * DAY_MS)
        took = int(rng.lognormvariate(11, 1.5))
        iso = lambda ms: f"{datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}{rng.randrange(10**6):06}Z"  # noqa: E731
        record = {
            "start_time": iso(start),
            "end_time": iso(start + took),
            "duration": str(took * 1_000_000),
            "dt.rum.session.id": f"{rng.getrandbits(128):032X}-0",
            "dt.rum.instance.id": f"{rng.getrandbits(64):016x}",
            "dt.rum.user_type": "real_user",
            "dt.rum.application.type": rng.choice(("web", "mobile")),
            "frontend.name": [self._few(APPLICATIONS)[0]],
            "end_reason": rng.choice(("timeout", "end_event")),
            "user_action_count": int(rng.paretovariate(0.9)),
            "navigation_count": rng.randrange(9),
            "request_count": rng.randrange(90),
            "error.count": str(int(rng.expovariate(2))),
            "error.has_crash": False,
            "browser.name": self._few(self.agents)[0],
            "browser.version": str(rng.randrange(120, 145)),
            "os.name": rng.choice(("iOS", "Android", "Windows")),
            "geo.country.iso_code": rng.choice(("AT", "DE", "PL", "ES", "US")),
            "client.ip": f"203.0.113.{rng.randrange(256)}",
            "client.isp": self._text(3),
            "device.screen.width": rng.choice((390, 393, 412, 1920)),
            "characteristics.has_replay": False,
            **{f"session_properties.{self._few(KEYS)}": self._text(6) for _ in range(3)},
            "session_properties.basket": round(rng.lognormvariate(4, 2), 2),
        }
        return _dumps(record).encode() + b"\n"

    def write(self, path, megabytes, kind="other"):
        """Writes about so many MB (10^6 bytes) to a file. Returns the number of sessions."""
        left, sessions = megabytes * 1_000_000, 0
        make = getattr(self, KINDS[kind])
        with open(path, "wb") as out:
            while left > 0:
                line = make()
                out.write(line)
                left -= len(line)
                sessions += 1
            # The last block of a file may be as short as its last line. Where a list has no element in all of a
            # block, pyarrow does not read the file.
            out.write(self.next(least=1) if kind == "other" else make())
        return sessions + 1


def cached(cache, megabytes, kind="other", seed=11):
    """A file of so many MB, made once: (path, sessions)."""
    write = Shapes(seed).write
    return made_once(cache, f"{kind}-{megabytes}mb-{seed}", __file__, lambda path: write(path, megabytes, kind))


def main():
    parser = argparse.ArgumentParser(description="Write made-up sessions of other shapes as NDJSON.")
    parser.add_argument("--megabytes", type=int, default=10)
    parser.add_argument("--kind", choices=KINDS, default="other")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    print(f"{Shapes(options.seed).write(options.out, options.megabytes, options.kind)} sessions in {options.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
