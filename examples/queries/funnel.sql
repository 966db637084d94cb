-- A funnel: sessions that came to each page of the way, in this order, at any time. DuckDB.
WITH visits AS (
    SELECT session, action.startTime AS at, action.targetUrl AS url
    FROM (
        SELECT concat(tenantId, '-', userSessionId) AS session, unnest(userActions) AS action
        FROM user_sessions
        WHERE userType = 'REAL_USER'
    ) AS actions
),
searched AS (
    SELECT session, min(at) AS at FROM visits
    WHERE url LIKE '%/search?%' GROUP BY session
),
looked AS (
    SELECT v.session, min(v.at) AS at FROM visits AS v JOIN searched AS s ON v.session = s.session
    WHERE v.url LIKE '%/journeys/detail?%' AND v.at > s.at GROUP BY v.session
),
booked AS (
    SELECT v.session, min(v.at) AS at FROM visits AS v JOIN looked AS l ON v.session = l.session
    WHERE v.url LIKE '%/booking?%' AND v.at > l.at GROUP BY v.session
),
paid AS (
    SELECT v.session, min(v.at) AS at FROM visits AS v JOIN booked AS b ON v.session = b.session
    WHERE v.url LIKE '%/booking/confirmed?%' AND v.at > b.at GROUP BY v.session
)
SELECT 1 AS step, 'search' AS page, count(*) AS sessions FROM searched
UNION ALL SELECT 2, 'journey', count(*) FROM looked
UNION ALL SELECT 3, 'booking', count(*) FROM booked
UNION ALL SELECT 4, 'confirmed', count(*) FROM paid
ORDER BY step;
