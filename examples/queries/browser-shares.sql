-- Browsers of real users, by sessions. DuckDB and Spark.
SELECT
    browserFamily,
    count(*) AS sessions,
    round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS percent
FROM sessions
WHERE userType = 'REAL_USER' AND applicationType = 'WEB_APPLICATION'
GROUP BY browserFamily
ORDER BY sessions DESC, browserFamily;
