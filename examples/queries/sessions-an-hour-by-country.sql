-- Sessions that began in each hour (UTC) in the countries. DuckDB and Spark.
SELECT date_trunc('hour', startTime) AS hour, country, count(*) AS sessions
FROM sessions
WHERE userType = 'REAL_USER'
GROUP BY date_trunc('hour', startTime), country
ORDER BY hour, sessions DESC, country;
