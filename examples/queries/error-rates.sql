-- Sessions with an error, and errors a session, by day and kind of application. DuckDB and Spark.
-- A long session comes in parts, a row each: it is of the day of its first part, with the errors of
-- all.
WITH parts AS (
    -- A part that was exported again is counted once.
    SELECT
        tenantId,
        coalesce(userSessionId, _ingest_id) AS session,
        startTime,
        max(applicationType) AS applicationType,
        max(totalErrorCount) AS errors
    FROM user_sessions
    GROUP BY tenantId, coalesce(userSessionId, _ingest_id), partNumber, startTime
),
sessions AS (
    SELECT
        cast(min(startTime) AS date) AS day,
        max(applicationType) AS applicationType,
        sum(errors) AS errors
    FROM parts
    GROUP BY tenantId, session
)
SELECT
    day,
    applicationType,
    count(*) AS sessions,
    round(100.0 * sum(CASE WHEN errors > 0 THEN 1 ELSE 0 END) / count(*), 1) AS with_error_percent,
    round(avg(errors), 3) AS errors_a_session
FROM sessions
GROUP BY day, applicationType
ORDER BY day, sessions DESC, applicationType;
