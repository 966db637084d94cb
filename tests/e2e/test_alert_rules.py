"""The alert rules and the dashboard as files: sound, tested by promtool, documented. test_alerts.py has them at work."""

import re

from conftest import need
from harness import dashboard, place, prometheus
from harness.prometheus import ALERT, FACTOR, RULES, promtool


def test_rules_are_sound_and_tested(folder):
    need("prometheus")
    code, said = promtool("check", "rules", RULES)
    assert code == 0, said
    tests = RULES.with_name("sessionlake.rules_test.yml")
    code, said = promtool("test", "rules", tests)
    assert code == 0, said
    alerts = ALERT.findall(RULES.read_text())
    assert len(set(alerts)) == len(alerts) > 20
    for block in re.split(r"^ +- alert: ", RULES.read_text(), flags=re.MULTILINE)[1:]:
        keys = re.findall(r"^ +(expr|for|labels|severity|summary|description|runbook_url):", block, re.MULTILINE)
        assert keys == ["expr", "for", "labels", "summary", "description", "runbook_url"], block
    untested = [alert for alert in alerts if f'alertname="{alert}"' not in tests.read_text()]
    assert not untested
    # The configuration finds its rules, and they stay sound when they are hastened.
    code, said = promtool("check", "config", RULES.with_name("prometheus.yml"))
    assert code == 0, said
    (folder / "hastened.yml").write_text(prometheus.hastened(RULES.read_text(), FACTOR))
    code, said = promtool("check", "rules", folder / "hastened.yml")
    assert code == 0, said


def test_each_alert_has_its_section(folder):
    """A heading of docs/alerts.md, which the rule's runbook_url leads to."""
    page = (place.ROOT / "docs/alerts.md").read_text()
    headings = re.findall(r"^### (Sessionlake\w+)$", page, re.MULTILINE)
    alerts = ALERT.findall(RULES.read_text())
    assert headings == alerts
    links = re.findall(r"^ +runbook_url: docs/alerts\.md#(\w+)$", RULES.read_text(), re.MULTILINE)
    assert links == [alert.lower() for alert in alerts]


def test_names_of_metrics_and_labels_are_documented():
    """Every name in a rule or a query of the dashboard is one of docs/metrics.md, with such labels."""
    rows = re.findall(r"^\| `((?:sessionlake|process)_\w+)` \| (\w+)[^|]*\|(.*)\|$", (place.ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    known = {name + end for name, kind, _ in rows for end in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))}
    labels = {"job", "instance", "le", "alertname"}.union(*(re.findall(r"`(\w+)`", rest) for _, _, rest in rows))
    texts = [RULES.read_text(), RULES.with_name("sessionlake.rules_test.yml").read_text()]
    board = dashboard.load()
    texts += [query for _, query in dashboard.queries(board)] + [series for _, series, _ in dashboard.variables(board)]
    for text in texts:
        names = set(re.findall(r"\b(?:sessionlake|process)_\w+", text))
        names -= {"sessionlake_rules"}
        assert names <= known, names - known
        for used in re.findall(r"\b(?:sessionlake|process)_\w+\{([^}]*)\}", text):
            found = set(re.findall(r"(\w+)(?:=|!)", used))
            assert found <= labels, found - labels


def test_the_dashboard_is_one_of_grafana():
    board = dashboard.load()
    assert board["schemaVersion"] == 39 and board["uid"] == "sessionlake"
    names = [one["name"] for one in board["templating"]["list"]]
    assert names == ["datasource", "job", "instance", "endpoint", "table"]
    panels = dashboard.panels(board)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids) and not dashboard.overlaps(board)
    titles = [panel["title"] for panel in panels]
    assert len(set(titles)) == len(titles), "two panels of one title"
    queries = [query for _, query in dashboard.queries(board)]
    assert len(set(queries)) == len(queries), "two panels with the same"
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert len(rows) == 7 and board["panels"][0]["type"] == "row"
    for panel in panels:
        assert panel["type"] in ("stat", "timeseries") and panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(one == {"type": "prometheus", "uid": "${datasource}"} for one in sources), panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
