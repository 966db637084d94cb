"""Metrics and traces at an OpenTelemetry collector, read with the official classes.

The program needs the feature `otlp`: only `tests/run otlp` runs this.
"""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness.documents import body
from harness.process import wait_until

pytestmark = pytest.mark.otlp

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector:
    """Takes exports and keeps them, decoded."""

    def __init__(self, port=0):
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        kinds = {"/v1/metrics": ExportMetricsServiceRequest, "/v1/traces": ExportTraceServiceRequest}
        self.got = {path: [] for path in kinds}
        self.raw = []
        got, raw = self.got, self.raw

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                sent = self.rfile.read(int(self.headers["content-length"]))
                assert self.headers["content-type"] == "application/x-protobuf"
                raw.append(sent)
                got[self.path].append(kinds[self.path].FromString(sent))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def metrics(self):
        """The last export: {name: metric}, and the attributes of its resource."""
        [of] = self.got["/v1/metrics"][-1].resource_metrics
        [scope] = of.scope_metrics
        metrics = {metric.name: metric for metric in scope.metrics}
        assert len(metrics) == len(scope.metrics)
        return metrics, attributes(of.resource)

    def spans(self):
        return [
            span
            for export in self.got["/v1/traces"]
            for of in export.resource_spans
            for scope in of.scope_spans
            for span in scope.spans
        ]


def attributes(of):
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


def exporting(port, **more):
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_METRIC_EXPORT_INTERVAL": "200", **more}


def test_a_collector_gets_what_metrics_shows_and_a_trace_of_each_roll(make_server, local_lake):
    collector = Collector()
    env = exporting(collector.port, OTEL_SERVICE_NAME="lake", OTEL_EXPORTER_OTLP_HEADERS="x-key=abc")
    server = make_server(local_lake, "--roll-age", "1h", "--node", "n1", env=env).start()
    assert server.put(body("SECRET-a", "b"), traceparent=TRACEPARENT).status == 200
    assert server.put(b"no document\n").status == 200
    assert server.get("/health/live").status == 200
    assert server.get("/SECRET").status == 404
    wait_until(lambda: collector.got["/v1/metrics"], 10, "no export of metrics")
    shown = server.get("/metrics").text
    began = time.monotonic()
    server.drain()
    assert time.monotonic() - began < 20
    collector.close()

    metrics, resource = collector.metrics()
    assert resource["service.name"] == "lake" and resource["service.instance.id"].startswith("n1")
    names = {line.split()[2] for line in shown.splitlines() if line.startswith("# TYPE")}
    assert names <= set(metrics), names - set(metrics)
    landed = metrics["sessionlake_landed_rows_total"].sum
    assert landed.is_monotonic and landed.aggregation_temporality == 2
    assert sum(point.as_int for point in landed.data_points) == 2
    assert all(0 < point.start_time_unix_nano < point.time_unix_nano for point in landed.data_points)
    acks = metrics["sessionlake_ack_duration_seconds"]
    assert acks.unit == "s"
    for point in acks.histogram.data_points:
        assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
        assert sum(point.bucket_counts) == point.count
    durations = metrics["http.server.request.duration"].histogram.data_points
    counted = {}
    for point in durations:
        of = attributes(point)
        counted[of.get("http.route"), of.get("http.response.status_code")] = point.count
    assert counted["/export/events", 200] == 2
    assert counted[None, 404] == 1 and counted["/health/live", 200] >= 1
    active = metrics["http.server.active_requests"].sum
    assert not active.is_monotonic and [point.as_int for point in active.data_points if point.as_int] == []

    spans = collector.spans()
    requests = [span for span in spans if span.name == "PUT /export/events"]
    assert len(requests) == 2 and all(span.kind == 2 for span in requests)
    child = [span for span in requests if span.parent_span_id.hex() == "00f067aa0ba902b7"]
    assert [span.trace_id.hex() for span in child] == ["4bf92f3577b34da6a3ce929d0e0e4736"]
    [roll] = [span for span in spans if span.name == "roll"]
    of = attributes(roll)
    assert of["sessionlake.node"] == resource["service.instance.id"]
    assert (of["sessionlake.roll.rows"], of["sessionlake.roll.rejects"]) == (2, 1)
    stages = {span.name: span for span in spans if span.parent_span_id == roll.span_id}
    assert set(stages) == {"encode", "upload", "commit"}
    for span in stages.values():
        assert roll.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= roll.end_time_unix_nano and span.trace_id == roll.trace_id
    assert not any("health" in span.name for span in spans)
    assert not any(b"SECRET" in sent for sent in collector.raw)


def test_a_collector_that_is_away_is_one_line_and_holds_nobody_up(make_server, local_lake):
    collector = Collector()
    collector.close()
    env = exporting(collector.port, OTEL_BSP_SCHEDULE_DELAY="50", OTEL_BSP_MAX_QUEUE_SIZE="2")
    server = make_server(local_lake, "--roll-age", "1h", env=env).start()
    for number in range(20):
        assert server.put(body(f"a{number}")).status == 200
    wait_until(lambda: server.metrics()["sessionlake_otlp_dropped_spans_total"] > 5, 10, "nothing was dropped")
    failed = 'sessionlake_otlp_exports_total{signal="metrics",result="failed"}'
    wait_until(lambda: server.metrics()[failed] > 3, 10, "no export failed")
    assert server.metrics()['sessionlake_trouble{part="otlp"}'] == 1
    assert server.get("/health/ready").status == 200
    # It comes back.
    collector = Collector(collector.port)
    wait_until(lambda: server.metrics()['sessionlake_trouble{part="otlp"}'] == 0, 30, "it is still away")
    began = time.monotonic()
    server.drain()
    assert time.monotonic() - began < 20
    collector.close()
    log = server.process.output()
    assert log.count("cannot export") == 1 and "OTEL_EXPORTER_OTLP_ENDPOINT" in log, log
    assert log.count("the collector takes exports again") == 1, log


def test_what_cannot_be_exported_is_said_and_nothing_else_changes(make_server, local_lake):
    env = exporting(1, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    server = make_server(local_lake, env=env).start()
    assert server.put(body("a")).status == 200
    assert "sessionlake_otlp_dropped_spans_total" not in server.metrics()
    server.drain()
    assert "OTEL_EXPORTER_OTLP_PROTOCOL is not http/protobuf" in server.process.output()
