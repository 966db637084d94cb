-- The slowest user actions, by the time that nine of ten stay below, and where it goes. DuckDB.
SELECT
    action.name AS name,
    count(*) AS times,
    round(percentile_cont(0.9) WITHIN GROUP (ORDER BY action.duration)) AS p90_ms,
    round(avg(action.networkTime)) AS network_ms,
    round(avg(action.serverTime)) AS server_ms,
    round(avg(action.frontendTime)) AS frontend_ms
FROM (SELECT unnest(userActions) AS action FROM user_sessions)
GROUP BY action.name
HAVING count(*) >= 20
ORDER BY p90_ms DESC, name
LIMIT 20;
