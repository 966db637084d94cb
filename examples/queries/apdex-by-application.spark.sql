-- Apdex of each application: satisfied actions, and half of the tolerating ones, of all. Spark.
SELECT
    action.application AS application,
    count(*) AS actions,
    round((count_if(action.apdexCategory = 'SATISFIED')
        + count_if(action.apdexCategory = 'TOLERATING') / 2) / count(*), 3) AS apdex
FROM (SELECT explode(userActions) AS action FROM user_sessions)
WHERE action.apdexCategory IN ('SATISFIED', 'TOLERATING', 'FRUSTRATED')
GROUP BY action.application
ORDER BY apdex, application;
