-- Sessions that began in each hour (UTC) in the countries. DuckDB and Spark.
-- A long session comes in parts, a row each: they are one session, of the hour of the first.
WITH sessions AS (
    SELECT date_trunc('hour', min(startTime)) AS hour, max(country) AS country
    FROM user_sessions
    WHERE userType = 'REAL_USER'
    GROUP BY tenantId, coalesce(userSessionId, _ingest_id)
)
SELECT hour, country, count(*) AS sessions
FROM sessions
GROUP BY hour, country
ORDER BY hour, sessions DESC, country;
