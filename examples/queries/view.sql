-- DuckDB: the table as a view, under the name that the other files use.
-- In Spark: spark.read.parquet("data/lake/user_sessions").createOrReplaceTempView("user_sessions")
-- Times are shown, and hours and days begin, as in the lake: in UTC.
SET TimeZone = 'UTC';
CREATE OR REPLACE VIEW user_sessions AS
SELECT * FROM read_parquet('data/lake/user_sessions/**/*.parquet', hive_partitioning = true);
