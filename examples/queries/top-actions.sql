-- The user actions that happen most. DuckDB and Spark.
SELECT application, name, count(*) AS times
FROM user_actions
GROUP BY application, name
ORDER BY times DESC, application, name
LIMIT 20;
