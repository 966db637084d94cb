"""Small bodies for tests that look at single lines."""

import json

FIRST_MS = 1_793_534_400_000  # 2026-11-01T12:00:00Z


def document(session, start_ms=FIRST_MS, **more):
    """One small session as a line without line feed."""
    fields = {"userSessionId": session, "startTime": start_ms, "endTime": start_ms + 1000, **more}
    return json.dumps(fields, separators=(",", ":")).encode()


def body(*sessions):
    """Small sessions as NDJSON."""
    return b"".join(document(session) + b"\n" for session in sessions)
