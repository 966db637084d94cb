-- The user actions that happen most. Spark.
SELECT action.application AS application, action.name AS name, count(*) AS times
FROM (SELECT explode(userActions) AS action FROM user_sessions)
GROUP BY action.application, action.name
ORDER BY times DESC, application, name
LIMIT 20;
