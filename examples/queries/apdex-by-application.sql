-- Apdex of each application: satisfied actions, and half of the tolerating ones, of all. DuckDB.
SELECT
    action.application AS application,
    count(*) AS actions,
    round((count(*) FILTER (action.apdexCategory = 'SATISFIED')
        + count(*) FILTER (action.apdexCategory = 'TOLERATING') / 2) / count(*), 3) AS apdex
FROM (SELECT unnest(userActions) AS action FROM user_sessions)
WHERE action.apdexCategory IN ('SATISFIED', 'TOLERATING', 'FRUSTRATED')
GROUP BY action.application
ORDER BY apdex, application;
