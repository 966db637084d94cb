//! What the engines say in their own ways.

use super::Place;
use crate::schema::Kind;
use crate::schema::render::{duckdb_type, literal, quoted, spark_literal, spark_type, trino_type};
use crate::table::Spec;

/// The engine that statements are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// DuckDB 1.3 and later.
    Duckdb,
    /// Spark SQL 4.0 and later.
    Spark,
    /// Trino.
    Trino,
}

/// What statements are written of.
#[derive(Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) dialect: Dialect,
    pub(super) table: &'a Spec,
    pub(super) place: Place<'a>,
}

impl Writer<'_> {
    /// Quotes a name.
    pub(super) fn name(&self, name: &str) -> String {
        match self.dialect {
            Dialect::Duckdb | Dialect::Trino => quoted(name),
            Dialect::Spark => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// Writes a text as a literal.
    pub(super) fn text(&self, text: &str) -> String {
        match self.dialect {
            Dialect::Duckdb | Dialect::Trino => literal(text),
            Dialect::Spark => spark_literal(text),
        }
    }

    /// Begins the statement that creates a view.
    pub(super) fn create(&self, name: &str) -> String {
        let kind = match self.dialect {
            Dialect::Duckdb | Dialect::Trino => "VIEW",
            Dialect::Spark => "TEMPORARY VIEW",
        };
        format!("CREATE OR REPLACE {kind} {} AS", self.name(name))
    }

    /// Writes the name of a type.
    pub(super) fn kind(&self, kind: &Kind) -> String {
        match self.dialect {
            Dialect::Duckdb => duckdb_type(kind, 1),
            Dialect::Spark => spark_type(kind, 1),
            Dialect::Trino => trino_type(kind, 1),
        }
    }

    /// Writes a null of a type.
    pub(super) fn null(&self, kind: &Kind) -> String {
        format!("CAST(NULL AS {})", self.kind(kind))
    }

    /// Writes the milliseconds of a time since the epoch.
    pub(super) fn millis(&self, time: &str) -> String {
        match self.dialect {
            Dialect::Duckdb => format!("epoch_ms({time})"),
            Dialect::Spark => format!("unix_millis({time})"),
            Dialect::Trino => format!("CAST(to_unixtime({time}) * 1000 AS BIGINT)"),
        }
    }

    /// Writes the body's number and the line's, which `_ingest_id` ends in: as text, 9 comes after 12.
    pub(super) fn place(&self, id: &str) -> [String; 2] {
        let cast = match self.dialect {
            Dialect::Duckdb | Dialect::Trino => "TRY_CAST",
            Dialect::Spark => "try_cast",
        };
        ["-([0-9]+)-[0-9]+$", "-([0-9]+)$"].map(|pattern| {
            let pattern = self.text(pattern);
            format!("coalesce({cast}(regexp_extract({id}, {pattern}, 1) AS BIGINT), -1)")
        })
    }

    /// Writes a value with members that can be compared, in their order.
    pub(super) fn row(&self, members: &[String]) -> String {
        let function = match self.dialect {
            Dialect::Duckdb | Dialect::Trino => "ROW",
            Dialect::Spark => "struct",
        };
        format!("{function}({})", members.join(", "))
    }

    /// Writes an aggregate: the value of `what` where `order` is the greatest, of those rows of which
    /// `what` is not null.
    pub(super) fn last(&self, what: &str, order: &str) -> String {
        match self.dialect {
            // It leaves out nulls by itself.
            Dialect::Duckdb => format!("arg_max({what}, {order})"),
            Dialect::Spark | Dialect::Trino => {
                format!("max_by({what}, {order}) FILTER (WHERE {what} IS NOT NULL)")
            }
        }
    }

    /// Writes an aggregate: the sum of integers, null if it is too large for one.
    pub(super) fn sum(&self, what: &str) -> String {
        match self.dialect {
            Dialect::Duckdb => format!("TRY_CAST(sum({what}) AS BIGINT)"),
            Dialect::Spark => format!("try_sum({what})"),
            Dialect::Trino => {
                format!("TRY_CAST(sum(CAST({what} AS DECIMAL(38, 0))) AS BIGINT)")
            }
        }
    }

    /// Writes an aggregate: the list of the values that are not null, in order; null if there are none.
    fn list(&self, what: &str, order: &str) -> String {
        match self.dialect {
            Dialect::Duckdb => {
                format!("list({what} ORDER BY {order}) FILTER (WHERE {what} IS NOT NULL)")
            }
            Dialect::Trino => {
                format!("array_agg({what} ORDER BY {order}) FILTER (WHERE {what} IS NOT NULL)")
            }
            // Maps cannot be compared, so neither can what has one.
            Dialect::Spark => format!(
                "transform(array_sort(collect_list(struct({order} AS o, {what} AS v)) \
                 FILTER (WHERE {what} IS NOT NULL), \
                 (a, b) -> CASE WHEN a.o < b.o THEN -1 WHEN a.o > b.o THEN 1 ELSE 0 END), x -> x.v)"
            ),
        }
    }

    /// Writes an aggregate: the lists one after the other, in order; null if all are.
    pub(super) fn concatenated(&self, what: &str, order: &str) -> String {
        let list = self.list(what, order);
        match self.dialect {
            Dialect::Duckdb | Dialect::Trino => format!("flatten({list})"),
            Dialect::Spark => format!("CASE WHEN count({what}) > 0 THEN flatten({list}) END"),
        }
    }

    /// Writes an aggregate: the values in order, as a list; null if all are null.
    pub(super) fn gathered(&self, what: &str, order: &str) -> String {
        let list = self.list(what, order);
        match self.dialect {
            Dialect::Duckdb | Dialect::Trino => list,
            Dialect::Spark => format!("CASE WHEN count({what}) > 0 THEN {list} END"),
        }
    }

    /// Writes an aggregate: all entries of maps; of equal keys the last in order. Null if all are.
    pub(super) fn merged(&self, what: &str, order: &str, kind: &Kind) -> String {
        let list = self.list(what, order);
        match self.dialect {
            Dialect::Duckdb => format!("list_reduce({list}, lambda a, b: map_concat(a, b))"),
            Dialect::Trino => format!(
                "reduce({list}, CAST(MAP() AS {}), (a, b) -> map_concat(a, b), a -> a)",
                self.kind(kind)
            ),
            // Its map_concat refuses equal keys.
            Dialect::Spark => format!(
                "CASE WHEN count({what}) > 0 THEN aggregate({list}, CAST(map() AS {}), (a, b) -> \
                 map_concat(map_filter(a, (k, v) -> NOT map_contains_key(b, k)), b)) END",
                self.kind(kind)
            ),
        }
    }

    /// Writes whether a text has another within it.
    pub(super) fn contains(&self, text: &str, part: &str) -> String {
        match self.dialect {
            Dialect::Duckdb | Dialect::Spark => format!("contains({text}, {part})"),
            Dialect::Trino => format!("strpos({text}, {part}) > 0"),
        }
    }

    /// Writes the members of the JSON object `extra` below a pointer, which `prefix` gives with its last
    /// slash: keyed by what follows the pointer. Null if there are none. Of equal keys, which a document
    /// may have, DuckDB gives all and Spark the last.
    pub(super) fn extra_below(&self, extra: &str, prefix: &str) -> String {
        let object = match self.dialect {
            // As texts, since equal keys are none of a map's.
            Dialect::Duckdb => format!(
                "'{{' || array_to_string(list_transform(list_filter(list_zip(json_keys({extra}), \
                 json_extract({extra}, '$.*')), lambda x: starts_with(x[1], {prefix})), lambda x: \
                 CAST(to_json(substr(x[1], length({prefix}))) AS VARCHAR) || ':' || \
                 CAST(x[2] AS VARCHAR)), ',') || '}}'"
            ),
            Dialect::Spark => {
                let all = format!(
                    "map_entries(map_filter(from_json({extra}, 'MAP<STRING, VARIANT>'), \
                     (k, v) -> startswith(k, {prefix})))"
                );
                format!(
                    "to_json(map_from_entries(transform(filter({all}, (x, i) -> NOT \
                     exists(slice({all}, i + 2, size({all})), y -> y.key = x.key)), \
                     x -> struct(substr(x.key, length({prefix})), x.value))))"
                )
            }
            // Null where it has equal keys, of which it makes no map.
            Dialect::Trino => format!(
                "json_format(CAST(transform_keys(map_filter(TRY(CAST(json_parse({extra}) AS MAP(VARCHAR, \
                 JSON))), (k, v) -> starts_with(k, {prefix})), \
                 (k, v) -> substr(k, length({prefix}))) AS JSON))"
            ),
        };
        format!("nullif({object}, '{{}}')")
    }
}
