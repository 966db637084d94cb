-- Share of sessions that reach a conversion goal, by device of the visitor. DuckDB and Spark.
SELECT
    applicationType,
    clientType,
    count(*) AS sessions,
    round(100.0 * sum(CASE WHEN matchingConversionGoalsCount > 0 THEN 1 ELSE 0 END) / count(*), 2)
        AS conversion_percent
FROM sessions
WHERE userType = 'REAL_USER'
GROUP BY applicationType, clientType
ORDER BY sessions DESC, clientType;
