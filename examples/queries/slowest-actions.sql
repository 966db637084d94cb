-- The slowest user actions, by the time that nine of ten stay below, and where it goes. DuckDB and Spark.
SELECT
    name,
    count(*) AS times,
    round(percentile_cont(0.9) WITHIN GROUP (ORDER BY duration)) AS p90_ms,
    round(avg(networkTime)) AS network_ms,
    round(avg(serverTime)) AS server_ms,
    round(avg(frontendTime)) AS frontend_ms
FROM user_actions
GROUP BY name
HAVING count(*) >= 20
ORDER BY p90_ms DESC, name
LIMIT 20;
