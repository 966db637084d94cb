-- A funnel: sessions that came to each page of the way, in this order, at any time. DuckDB and Spark.
WITH visits AS (
    SELECT concat(tenantId, '-', userSessionId) AS session, startTime AS began, targetUrl AS url
    FROM user_actions
    WHERE sessionUserType = 'REAL_USER'
),
searched AS (
    SELECT session, min(began) AS began FROM visits
    WHERE url LIKE '%/search?%' GROUP BY session
),
looked AS (
    SELECT v.session, min(v.began) AS began FROM visits AS v JOIN searched AS s ON v.session = s.session
    WHERE v.url LIKE '%/journeys/detail?%' AND v.began > s.began GROUP BY v.session
),
booked AS (
    SELECT v.session, min(v.began) AS began FROM visits AS v JOIN looked AS l ON v.session = l.session
    WHERE v.url LIKE '%/booking?%' AND v.began > l.began GROUP BY v.session
),
paid AS (
    SELECT v.session, min(v.began) AS began FROM visits AS v JOIN booked AS b ON v.session = b.session
    WHERE v.url LIKE '%/booking/confirmed?%' AND v.began > b.began GROUP BY v.session
)
SELECT 1 AS step, 'search' AS page, count(*) AS sessions FROM searched
UNION ALL SELECT 2, 'journey', count(*) FROM looked
UNION ALL SELECT 3, 'booking', count(*) FROM booked
UNION ALL SELECT 4, 'confirmed', count(*) FROM paid
ORDER BY step;
