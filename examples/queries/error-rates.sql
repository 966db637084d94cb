-- Sessions with an error, and errors a session, by day and kind of application. DuckDB and Spark.
-- A session is of the day of its first part, with the errors of all.
SELECT
    cast(startTime AS date) AS day,
    applicationType,
    count(*) AS sessions,
    round(100.0 * sum(CASE WHEN totalErrorCount > 0 THEN 1 ELSE 0 END) / count(*), 1) AS with_error_percent,
    round(avg(totalErrorCount), 3) AS errors_a_session
FROM sessions
GROUP BY cast(startTime AS date), applicationType
ORDER BY day, sessions DESC, applicationType;
