-- Share of sessions that reach a conversion goal, by device of the visitor. DuckDB and Spark.
-- A long session comes in parts, a row each: it converts if one of them does.
WITH sessions AS (
    SELECT
        max(applicationType) AS applicationType,
        max(clientType) AS clientType,
        max(matchingConversionGoalsCount) AS goals
    FROM user_sessions
    WHERE userType = 'REAL_USER'
    GROUP BY tenantId, coalesce(userSessionId, _ingest_id)
)
SELECT
    applicationType,
    clientType,
    count(*) AS sessions,
    round(100.0 * sum(CASE WHEN goals > 0 THEN 1 ELSE 0 END) / count(*), 2) AS conversion_percent
FROM sessions
GROUP BY applicationType, clientType
ORDER BY sessions DESC, clientType;
