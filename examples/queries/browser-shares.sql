-- Browsers of real users, by sessions. DuckDB and Spark.
-- A long session comes in parts, a row each: they are one session.
WITH sessions AS (
    SELECT max(browserFamily) AS browserFamily
    FROM user_sessions
    WHERE userType = 'REAL_USER' AND applicationType = 'WEB_APPLICATION'
    GROUP BY tenantId, coalesce(userSessionId, _ingest_id)
)
SELECT
    browserFamily,
    count(*) AS sessions,
    round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS percent
FROM sessions
GROUP BY browserFamily
ORDER BY sessions DESC, browserFamily;
