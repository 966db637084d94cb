"""The Grafana dashboard of examples/grafana, read as Grafana reads it."""

import json
import re

from . import place

PATH = place.ROOT / "examples/grafana/sessionlake.json"
MACROS = {"$__rate_interval": "10s", "$job": ".*", "$instance": ".*", "$endpoint": ".*", "$table": ".*"}
LABEL_VALUES = re.compile(r"label_values\((.*), (\w+)\)")


def load():
    return json.loads(PATH.read_text())


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def filled(expression):
    """A query with the values that Grafana gives to its variables."""
    for name, value in MACROS.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def queries(dashboard):
    """(title, query) of each panel and annotation."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for one in dashboard["annotations"]["list"]:
        yield one["name"], one["expr"]


def variables(dashboard):
    """(name, series, label) of each variable that is made by a query."""
    for one in dashboard["templating"]["list"]:
        if one["type"] == "query":
            found = LABEL_VALUES.fullmatch(one["query"]["query"])
            yield one["name"], found[1], found[2]


def overlaps(dashboard):
    """Pairs of panels that lie on each other."""
    taken, found = {}, []
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert 0 <= at["x"] and at["x"] + at["w"] <= 24, panel["title"]
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            if cell in taken:
                found.append((taken[cell], panel["title"]))
            taken[cell] = panel["title"]
    return found
