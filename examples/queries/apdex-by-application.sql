-- Apdex of each application: satisfied actions, and half of the tolerating ones, of all. DuckDB and Spark.
SELECT
    application,
    count(*) AS actions,
    round((sum(CASE WHEN apdexCategory = 'SATISFIED' THEN 1 ELSE 0 END)
        + sum(CASE WHEN apdexCategory = 'TOLERATING' THEN 1 ELSE 0 END) / 2) / count(*), 3) AS apdex
FROM user_actions
WHERE apdexCategory IN ('SATISFIED', 'TOLERATING', 'FRUSTRATED')
GROUP BY application
ORDER BY apdex, application;
