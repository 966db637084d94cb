-- How long sessions last, by country: what half and nine of ten stay below. DuckDB and Spark.
SELECT
    country,
    count(*) AS sessions,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY duration) / 1000, 1) AS median_s,
    round(percentile_cont(0.9) WITHIN GROUP (ORDER BY duration) / 1000, 1) AS p90_s
FROM sessions
WHERE userType = 'REAL_USER' AND userActionCount > 1
GROUP BY country
ORDER BY sessions DESC, country;
