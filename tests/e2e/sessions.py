"""Made-up user sessions in the sender's current format, about 10 KB each.

Seeded: the same arguments make the same bytes. A session's id carries a tag and its number, so that
a test can tell every one it sent. Fast enough to make 400 MB in well under a minute: the parts that
do not matter are drawn once per seed into pools of templates, and each session fills in fresh
times, durations, counts and ids.

    python sessions.py --megabytes 400 --out big.ndjson
"""

import argparse
import datetime
import json
import os
import random
import sys
from pathlib import Path

DAY_MS = 86_400_000
FIRST_DAY = "2026-11-01"

COUNTRIES = [
    ("Europe", "Poland", "Pomerania", "Gdansk"),
    ("Europe", "Austria", "Upper Austria", "Linz"),
    ("Europe", "Spain", "Catalonia", "Barcelona"),
    ("North America", "United States", "Florida", "Miami"),
    ("North America", "Canada", "Québec", "Montréal"),
    ("Asia", "Japan", "東京都", "東京"),
    ("South America", "Brazil", "São Paulo", "Campinas"),
    ("Africa", "Kenya", "Nairobi", "Nairobi"),
]
BROWSERS = [
    ("Chrome", "Chrome 142"),
    ("Firefox", "Firefox 144"),
    ("Safari", "Safari 26"),
    ("Edge", "Edge 142"),
]
SYSTEMS = [("Windows", "Windows 11"), ("Mac OS", "macOS 26"), ("Linux", "Linux"), ("iOS", "iOS 26.1")]
PAGES = ["/", "/search", "/journeys", "/journeys/detail", "/booking", "/booking/payment", "/login", "/help"]
APPLICATIONS = [("easyTravel shop", "APPLICATION-8A3C"), ("easyTravel partners", "APPLICATION-1F07")]


def _number(kind="%d"):
    """A placeholder for a number that each session draws afresh."""
    return f"\0{kind}\0"


def _dumps(value):
    """Compact JSON as a %-template: placeholders left bare, every other % doubled."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("%", "%%")
    return text.replace('"\\u0000%%d\\u0000"', "%d").replace('"\\u0000%%.4f\\u0000"', "%.4f")


def _property(rng, key, value):
    return {"key": key, "value": value}


def _action(rng, page):
    """One user action as a template. The numbers it takes: see `Sessions._fill`."""
    load = rng.random() < 0.4
    name, internal = rng.choice(APPLICATIONS)
    n = _number()
    ms = n if load else None
    return _dumps(
        {
            "name": f"loading of page {page}" if load else f'click on "Next" on page {page}',
            "domain": "shop.example.com",
            "targetUrl": f"https://shop.example.com{page}?item={rng.randrange(10**6)}",
            "type": "Load" if load else "Xhr",
            "startTime": n,
            "endTime": n,
            "duration": n,
            "application": name,
            "internalApplicationId": internal,
            "internalKeyUserActionId": f"KEY-{rng.randrange(16**8):08X}" if rng.random() < 0.2 else None,
            "speedIndex": ms,
            "apdexCategory": rng.choice(["SATISFIED", "TOLERATING", "FRUSTRATED"]),
            "matchingConversionGoals": ["booked"] if page.startswith("/booking/") else [],
            "networkTime": n,
            "serverTime": n,
            "frontendTime": n,
            "documentInteractiveTime": ms,
            "thirdPartyResources": rng.randrange(9),
            "thirdPartyBusyTime": rng.randrange(800),
            "cdnResources": rng.randrange(20),
            "cdnBusyTime": rng.randrange(400),
            "firstPartyResources": rng.randrange(30),
            "firstPartyBusyTime": rng.randrange(900),
            "domCompleteTime": ms,
            "domContentLoadedTime": ms,
            "loadEventStart": ms,
            "loadEventEnd": ms,
            "navigationStart": n,
            "requestStart": rng.randrange(40),
            "responseStart": rng.randrange(40, 200),
            "responseEnd": rng.randrange(200, 500),
            "visuallyCompleteTime": ms,
            "syntheticEvent": None,
            "syntheticEventId": None,
            "keyUserAction": rng.random() < 0.2,
            "stringProperties": [_property(rng, "basket", rng.choice(["empty", "one", "full"]))]
            if rng.random() < 0.3
            else [],
            "longProperties": [_property(rng, "items", rng.randrange(40))] if rng.random() < 0.2 else [],
            "doubleProperties": [_property(rng, "total", round(rng.random() * 900, 2))]
            if rng.random() < 0.2
            else [],
            "dateProperties": [],
            "userActionPropertyCount": rng.randrange(3),
            "customErrorCount": 0,
            "javascriptErrorCount": rng.randrange(2),
            "requestErrorCount": rng.randrange(2),
            "largestContentfulPaint": ms,
            "firstInputDelay": rng.randrange(60) if load else None,
            "totalBlockingTime": ms,
            "cumulativeLayoutShift": _number("%.4f") if load else None,
        }
    ), load


def _head(rng):
    """The fields of a session before its lists, as a template without its closing brace."""
    continent, country, region, city = rng.choice(COUNTRIES)
    family, browser = rng.choice(BROWSERS)
    system, version = rng.choice(SYSTEMS)
    n = _number()
    fields = {
        "tenantId": "umsaywsjuo",
        "userSessionId": "\1id",
        "startTime": n,
        "endTime": n,
        "duration": n,
        "internalUserId": "\1user",
        "userType": rng.choice(["REAL_USER"] * 8 + ["ROBOT", "SYNTHETIC"]),
        "applicationType": "WEB_APPLICATION",
        "bounce": rng.random() < 0.3,
        "newUser": rng.random() < 0.4,
        "userActionCount": n,
        "totalErrorCount": rng.randrange(4),
        "totalLicenseCreditCount": 1,
        "matchingConversionGoalsCount": 0,
        "matchingConversionGoals": [],
        "ip": f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}",
        "continent": continent,
        "country": country,
        "region": region,
        "city": city,
        "browserType": "Desktop Browser",
        "browserFamily": family,
        "browserMajorVersion": browser,
        "osFamily": system,
        "osVersion": version,
        "screenHeight": rng.choice([1080, 1440, 2160]),
        "screenWidth": rng.choice([1920, 2560, 3840]),
        "screenOrientation": "LANDSCAPE",
        "displayResolution": rng.choice(["FHD", "QHD", "UHD"]),
        "hasSessionReplay": False,
        "isp": rng.choice(["Example Net", "Beispiel Netz GmbH", "Réseau d'exemple"]),
        "clientType": "Desktop Browser",
        "connectionType": "UNKNOWN",
        "clientTimeOffset": rng.randrange(-900, 900),
        "userId": f"user{rng.randrange(10**5)}@example.com" if rng.random() < 0.5 else None,
        "stringProperties": [
            {
                **_property(rng, "plan", rng.choice(["gold", "silver"])),
                "applicationId": "easyTravel shop",
                "internalApplicationId": "APPLICATION-8A3C",
            }
        ],
        "longProperties": [_property(rng, "visits", rng.randrange(90))],
        "doubleProperties": [_property(rng, "score", round(rng.random(), 4))],
        "dateProperties": [_property(rng, "since", "2026-01-01T00:00:00Z")],
        "endReason": rng.choice(["TIMEOUT", "END_EVENT", "EXTENDED_TIMEOUT"]),
        "numberOfRageClicks": rng.randrange(2),
        "userExperienceScore": rng.choice(["SATISFIED", "TOLERATED", "FRUSTRATED"]),
        "hasError": rng.random() < 0.3,
        "hasCrash": False,
        "partNumber": 0,
    }
    text = _dumps(fields).replace('"\\u0001id"', '"%s"').replace('"\\u0001user"', '"%d"')
    return text[:-1]


def _tail(rng):
    """The lists after the user actions, as a template; it takes three times."""
    name, internal = rng.choice(APPLICATIONS)
    n = _number()
    return (
        ","
        + _dumps(
            {
                "events": [
                    {
                        "type": "PageChange",
                        "name": rng.choice(PAGES),
                        "startTime": n,
                        "application": name,
                        "internalApplicationId": internal,
                        "page": rng.choice(PAGES),
                        "pageGroup": "journeys",
                        "pageReferrer": "/",
                        "pageReferrerGroup": "home",
                    },
                    {
                        "type": "UserTag",
                        "name": f"user{rng.randrange(10**5)}",
                        "startTime": n,
                        "application": name,
                        "internalApplicationId": internal,
                        "domain": "shop.example.com",
                    },
                ],
                "errors": [
                    {
                        "type": "JavaScript",
                        "name": 'TypeError: x is "undefined"\n\tat pay (shop.js:1:42)',
                        "startTime": n,
                        "application": name,
                        "internalApplicationId": internal,
                        "domain": "shop.example.com",
                    }
                ],
                "syntheticEvents": [],
            }
        )[1:]
    )


class Sessions:
    """An endless source of different sessions. `tag` begins their ids; `days` is over how many
    days, from `first_day`, their start times go round."""

    def __init__(self, tag="s", seed=1, days=1, first_day=FIRST_DAY, mean_actions=7):
        rng = random.Random(f"{seed}/pools")
        self.heads = [_head(rng) for _ in range(200)]
        self.actions = [_action(rng, rng.choice(PAGES)) for _ in range(400)]
        self.tails = [_tail(rng) for _ in range(50)]
        self.random = random.Random(f"{seed}/{tag}").random
        self.tag, self.days, self.mean_actions = tag, days, mean_actions
        day = datetime.datetime.fromisoformat(first_day).replace(tzinfo=datetime.UTC)
        self.first_ms = int(day.timestamp() * 1000)
        self.number = 0

    def next(self):
        """The next session: (its userSessionId, its line without the line feed)."""
        draw, number = self.random, self.number
        self.number += 1
        session = f"{self.tag}-{number:08d}"
        day_ms = self.first_ms + number % self.days * DAY_MS
        start = day_ms + int(draw() * (DAY_MS - 3_600_000))
        count = 1 + int(draw() * (2 * self.mean_actions - 1))
        at, parts = start, []
        for _ in range(count):
            template, load = self.actions[int(draw() * 400)]
            took = 20 + int(draw() * 4000)
            parts.append(template % self._fill(at, took, load, draw))
            at += took + int(draw() * 30_000)
        head = self.heads[int(draw() * 200)] % (session, start, at, at - start, int(draw() * 1e12), count)
        tail = self.tails[int(draw() * 50)] % (start, start + 5, at)
        return session, (head + ',"userActions":[' + ",".join(parts) + "]" + tail).encode()

    @staticmethod
    def _fill(at, took, load, draw):
        """The numbers of one action, in the order of its template."""
        rest = int(draw() * took)
        if not load:
            return (at, at + took, took, rest // 3, rest // 2, took - rest, at)
        paint = int(draw() * took)
        return (
            at,
            at + took,
            took,
            paint,
            rest // 3,
            rest // 2,
            took - rest,
            paint // 2,
            took,
            paint,
            took,
            took + 1,
            at,
            took - 1,
            paint,
            rest // 4,
            draw(),
        )

    def bulk(self, count):
        """`count` sessions as one body: (their ids, the body)."""
        pairs = [self.next() for _ in range(count)]
        return [session for session, _ in pairs], b"\n".join(line for _, line in pairs) + b"\n"

    def write(self, path, megabytes):
        """Writes about so many MB (10^6 bytes) to a file. Returns the number of sessions."""
        left, sessions = megabytes * 1_000_000, 0
        with open(path, "wb") as out:
            while left > 0:
                _, body = self.bulk(100)
                out.write(body)
                left -= len(body)
                sessions += 100
        return sessions


def cached(cache, megabytes, days=5, seed=1):
    """A file of so many MB, made once: (path, sessions)."""
    write = Sessions(f"big{seed}", seed, days).write
    return made_once(cache, f"sessions-{megabytes}mb-{days}d-{seed}", __file__, lambda path: write(path, megabytes))


def made_once(cache, name, generator, write):
    """A file that `write`, of the module at `generator`, makes; made again once the module has changed:
    (path, sessions)."""
    folder = Path(cache) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    version = format(Path(generator).stat().st_size, "x")
    path = folder / f"{name}-{version}.ndjson"
    count = path.with_suffix(".count")
    if not (path.exists() and count.exists()):
        new = path.with_suffix(".new")
        sessions = write(new)
        os.replace(new, path)
        count.write_text(str(sessions))
    return path, int(count.read_text())


def main():
    parser = argparse.ArgumentParser(description="Write made-up user sessions as NDJSON.")
    parser.add_argument("--megabytes", type=int, default=10)
    parser.add_argument("--days", type=int, default=5, help="over how many days they are spread")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    count = Sessions(f"big{options.seed}", options.seed, options.days).write(options.out, options.megabytes)
    print(f"{count} sessions in {options.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
