-- DuckDB: the table as a view, under the name that the other files use.
-- In Spark: spark.read.option("mergeSchema", "true").parquet("data/lake/user_sessions").createOrReplaceTempView("user_sessions")
-- A session is a row, but for long ones, which come in parts: count sessions by tenantId and
-- userSessionId, as the other files do. Columns that came with a later version are null in older files
-- (union_by_name; in Spark the option mergeSchema).
-- Of a Delta table, SELECT * FROM delta_scan('data/lake/user_sessions') instead: files in its directory
-- that the log does not name are not in the table.
-- Times are shown, and hours and days begin, as in the lake: in UTC.
SET TimeZone = 'UTC';
CREATE OR REPLACE VIEW user_sessions AS
SELECT * FROM read_parquet('data/lake/user_sessions/**/*.parquet', hive_partitioning = true,
                           union_by_name = true);
