"""Documents that are nasty for levels and encodings, by an Avro schema and a seed.

Every leaf of the schema draws a way of its own to make values: none, one, few, in order, at random, extremes, long
texts; with a share of nulls, and often with another way from some value on, so that what the first rows are like says
nothing of the rest. Lists are absent, empty, of a fixed length, of any. All values fit their columns: the rows that a
reader must find are the documents themselves.
"""

import itertools
import json
import random

import pyarrow as pa

FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999
NOW_MS = 1_793_534_400_000
FEW = ["Chrome", "Firefox", "größer", "東京"]
UNICODE = ["", " ", "\u0000", "\U0010ffff" * 20, "👩‍👩‍👧", "é", "e\u0301", '"\\/', "\u2028", "ÿ" * 70, "a\nb\tc"]
LONGS = [-(2**63), 2**63 - 1, 0, -1, 1, 2**53 + 1, -(2**31), 2**31 - 1, 255, 256]
DOUBLES = [0.0, -0.0, 5e-324, -5e-324, 1.7976931348623157e308, -1.7976931348623157e308, 0.1, 1e-300, 2.0**53, 1.5]
TIMES = [FIRST_MS, LAST_MS, 0, -1, 1, -12_219_292_800_001]


class Node:
    """A type of the schema: `kind`, with `fields` of a record, `items` of a list or a map."""

    def __init__(self, kind, fields=None, items=None):
        self.kind, self.fields, self.items = kind, fields, items


def parse(avsc):
    """The node of an Avro schema's text."""
    named = {}

    def node(of):
        if isinstance(of, list):
            [of] = [one for one in of if one != "null"]
        if isinstance(of, str):
            return named.get(of) or Node(of)
        if of.get("logicalType") == "timestamp-millis":
            return Node("time")
        if of["type"] == "array":
            return Node("list", items=node(of["items"]))
        if of["type"] == "map":
            return Node("map", items=node(of["values"]))
        if of["type"] == "record":
            made = Node("record", fields={field["name"]: node(field["type"]) for field in of["fields"]})
            named[of["name"]] = made
            return made
        return node(of["type"])

    return node(json.loads(avsc))


def arrow(node):
    """The type that readers have to find."""
    match node.kind:
        case "record":
            return pa.struct([(name, arrow(field)) for name, field in node.fields.items()])
        case "list":
            return pa.list_(arrow(node.items))
        case "map":
            return pa.map_(pa.string(), arrow(node.items))
        case "time":
            return pa.timestamp("us", "UTC")
    return {"string": pa.string(), "long": pa.int64(), "double": pa.float64(), "boolean": pa.bool_()}[node.kind]


def in_rows(node, value):
    """A value of a document as Arrow takes it: times in microseconds, maps as pairs."""
    if value is None:
        return None
    match node.kind:
        case "record":
            return {name: in_rows(node.fields[name], inner) for name, inner in value.items()}
        case "list":
            return [in_rows(node.items, item) for item in value]
        case "map":
            return [(key, in_rows(node.items, item)) for key, item in value.items()]
        case "time":
            return value * 1000
        case "double":
            return float(value)
    return value


def table(node, documents):
    """The rows of the documents."""
    columns = {
        name: pa.array([in_rows(field, document.get(name)) for document in documents], arrow(field))
        for name, field in node.fields.items()
    }
    return pa.table(columns)


def _runs(rng, draw):
    """Equal values one after the other."""
    while True:
        value = draw()
        for _ in range(rng.randrange(1, 500)):
            yield value


def _each(draw):
    while True:
        yield draw()


def _in_order(rng, first, step):
    at = first
    while True:
        yield at
        at += rng.randrange(step)


def ways(kind, rng):
    """The ways to make values of a kind: {name: () -> iterator}."""
    hexes = lambda: f"{rng.getrandbits(64):016x}"  # noqa: E731
    draw = lambda of: lambda: _each(lambda: rng.choice(of))  # noqa: E731
    match kind:
        case "string":
            prefix = "p" * 300
            return {
                "one": lambda: itertools.repeat("always"),
                "few": draw(FEW),
                "in order": lambda: (f"id-{at:010}" for at in _in_order(rng, 0, 3)),
                "hex": lambda: _each(hexes),
                "of any length": lambda: _each(lambda: rng.choice("aß東🎉") * int(rng.paretovariate(0.6) % 4000)),
                "unicode": draw(UNICODE),
                "prefix": lambda: (prefix + str(at) for at in itertools.count()),
                "runs": lambda: _runs(rng, hexes),
                "some thousands": draw([hexes() for _ in range(3000)]),
            }
        case "long":
            base = rng.randrange(-(2**62), 2**62)
            return {
                "one": lambda: itertools.repeat(base),
                "few": draw([base, base + 1, -base, 0]),
                "in order": lambda: _in_order(rng, base, 1000),
                "backwards": lambda: (-at for at in _in_order(rng, 0, 9)),
                "near": lambda: _each(lambda: base + rng.randrange(65_000)),
                "small": lambda: _each(lambda: rng.randrange(100)),
                "any": lambda: _each(lambda: rng.randrange(-(2**63), 2**63)),
                "extremes": draw(LONGS),
                "runs": lambda: _runs(rng, lambda: rng.randrange(5000)),
                "skewed": lambda: _each(lambda: int(rng.expovariate(0.002))),
            }
        case "double":
            return {
                "one": lambda: itertools.repeat(0.25),
                "few": draw([0.5, 1.5, -0.0, 0.0]),
                "any": lambda: _each(rng.random),
                "money": lambda: _each(lambda: round(rng.random() * 900, 2)),
                "whole": lambda: _each(lambda: float(rng.randrange(1000))),
                "extremes": draw(DOUBLES),
                "in order": lambda: (at / 8 for at in _in_order(rng, 0, 5)),
            }
        case "boolean":
            return {
                "yes": lambda: itertools.repeat(True),
                "no": lambda: itertools.repeat(False),
                "any": draw([True, False]),
                "runs": lambda: _runs(rng, lambda: rng.random() < 0.5),
            }
        case "time":
            return {
                "one": lambda: itertools.repeat(NOW_MS),
                "in order": lambda: _in_order(rng, NOW_MS, 3000),
                "near": lambda: _each(lambda: NOW_MS + rng.randrange(86_400_000)),
                "whole seconds": lambda: _each(lambda: NOW_MS + 1000 * rng.randrange(10**7)),
                "any": lambda: _each(lambda: rng.randrange(FIRST_MS, LAST_MS)),
                "extremes": draw(TIMES),
            }
    raise ValueError(kind)


class Values:
    """Makes the values of one leaf."""

    def __init__(self, kind, rng, told, path):
        self.rng = rng
        found = ways(kind, rng)
        names = [rng.choice([*found, "none"])]
        if names == ["none"] or rng.random() < 0.4:
            names.append(rng.choice([*found, *["none"] * 3]))
        nulls = itertools.repeat(None)
        self.later = [nulls if name == "none" else found[name]() for name in names]
        self.until = int(rng.paretovariate(0.4) % 30_000) if len(self.later) > 1 else None
        self.absent = rng.choice([0, 0, 0.02, 0.5, 0.98])
        self.made = 0
        told[path] = f"{' then '.join(names)}, {self.absent:.0%} null" + (f", from {self.until}" if self.until else "")

    def __call__(self):
        self.made += 1
        if self.until is not None and self.made > self.until:
            self.later, self.until = self.later[1:], None
        return None if self.absent and self.rng.random() < self.absent else next(self.later[0])


class Lists:
    """Makes the lengths of one list; None is an absent one."""

    WAYS = {
        "absent": lambda rng: None,
        "empty": lambda rng: 0,
        "one": lambda rng: 1,
        "absent or empty": lambda rng: rng.choice([None, 0]),
        "short": lambda rng: rng.randrange(4),
        "any": lambda rng: rng.choice([None, 0, 1, 2, 3, 9]),
        "seldom": lambda rng: rng.randrange(1, 4) if rng.random() < 0.02 else rng.choice([None, 0]),
        "seldom long": lambda rng: 60 if rng.random() < 0.01 else 1,
    }

    def __init__(self, rng, told, path):
        self.rng = rng
        name = rng.choice(list(self.WAYS))
        self.way = self.WAYS[name]
        # Without a null among them, and with.
        self.holes = rng.choice([0, 0, 0.1])
        told[path] = f"{name}, {self.holes:.0%} null elements"

    def __call__(self):
        return self.way(self.rng)

    def hole(self):
        return self.holes and self.rng.random() < self.holes


class Maker:
    """Makes documents of a schema. `told` says by path how values are made, for those who look for a fault."""

    def __init__(self, node, seed):
        self.rng = random.Random(seed)
        self.told = {}
        self.make = self._maker(node, "")
        self.node = node

    def _maker(self, node, path):
        match node.kind:
            case "record":
                return self._record(node, path)
            case "list":
                return self._list(node, path)
            case "map":
                values = self._maker(node.items, f"{path}{{}}")
                lengths = Lists(self.rng, self.told, f"{path}{{}} length")

                def make_map():
                    length = lengths()
                    return None if length is None else {FEW[at % 4] + str(at): values() for at in range(length)}

                return make_map
        return Values(node.kind, self.rng, self.told, path)

    def _record(self, node, path):
        fields = {name: self._maker(field, f"{path}.{name}") for name, field in node.fields.items()}
        absent = self.rng.choice([0, 0, 0.1, 0.9]) if path else 0
        self.told[path] = f"{absent:.0%} null"
        explicit = self.rng.random() < 0.3

        def make():
            if absent and self.rng.random() < absent:
                return None
            made = {name: field() for name, field in fields.items()}
            # A null and a missing field are the same.
            return made if explicit else {name: value for name, value in made.items() if value is not None}

        return make

    def _list(self, node, path):
        items = self._maker(node.items, f"{path}[]")
        lengths = Lists(self.rng, self.told, f"{path}[] length")

        def make():
            length = lengths()
            return None if length is None else [None if lengths.hole() else items() for _ in range(length)]

        return make

    def documents(self, count):
        """So many documents, numbered in `row`."""
        return [self.make() | {"row": row} for row in range(count)]


def line(document):
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
