-- How long sessions last, by country: what half and nine of ten stay below. Spark.
-- A long session comes in parts, a row each: it lasts from the first's start to the last's end.
WITH parts AS (
    -- A part that was exported again is counted once.
    SELECT
        tenantId,
        coalesce(userSessionId, _ingest_id) AS session,
        startTime,
        max(country) AS country,
        max(endTime) AS endTime,
        max(userActionCount) AS actions
    FROM user_sessions
    WHERE userType = 'REAL_USER'
    GROUP BY tenantId, coalesce(userSessionId, _ingest_id), partNumber, startTime
),
sessions AS (
    SELECT
        max(country) AS country,
        timestampdiff(MILLISECOND, min(startTime), max(endTime)) AS duration
    FROM parts
    GROUP BY tenantId, session
    HAVING sum(actions) > 1
)
SELECT
    country,
    count(*) AS sessions,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY duration) / 1000, 1) AS median_s,
    round(percentile_cont(0.9) WITHIN GROUP (ORDER BY duration) / 1000, 1) AS p90_s
FROM sessions
GROUP BY country
ORDER BY sessions DESC, country;
