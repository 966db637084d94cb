use std::sync::Arc;

use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field as ArrowField, Schema, TimeUnit};

use super::*;
use crate::record::{Micros, Seq};
use crate::schema::{Field, Kind, TableSchema};
use crate::table::TemplateError;
use crate::table::hive_path::{NULL_PARTITION, values_of_path};

fn schema() -> TableSchema {
    let field = |name: &str, kind| Field::new(name, kind);
    TableSchema {
        name: "t".into(),
        doc: String::new(),
        fields: vec![
            field("startTime", Kind::TimestampMillis),
            field("tenantId", Kind::String),
            field("n", Kind::Long),
        ],
        fingerprint: "0".repeat(16),
        avsc: String::new(),
    }
}

fn batch(rows: &[(Option<i64>, Option<&str>)]) -> RecordBatch {
    let times: TimestampMicrosecondArray = rows.iter().map(|r| r.0).collect();
    let texts: StringArray = rows.iter().map(|r| r.1).collect();
    let numbers: Int64Array = (0..rows.len() as i64).map(Some).collect();
    let schema = Schema::new(vec![
        ArrowField::new(
            "startTime",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
        ArrowField::new("tenantId", DataType::Utf8, true),
        ArrowField::new("n", DataType::Int64, true),
    ]);
    RecordBatch::try_new(
        Arc::new(schema),
        vec![Arc::new(times.with_timezone("UTC")), Arc::new(texts), Arc::new(numbers)],
    )
    .unwrap()
}

/// One body with all rows of a batch of `rows`, which was received at the epoch.
fn body(rows: usize) -> [BodyRows; 1] {
    [BodyRows { seq: Seq(1), received_at: Micros(0), bytes: 100, rows }]
}

/// The rules of the revision before partitions were bounded by body.
fn third() -> PathRules {
    PathRules { revision: Revision::Third, ..PathRules::default() }
}

fn partitions(template: &str, rows: &[(Option<i64>, Option<&str>)]) -> Vec<(String, Vec<i64>)> {
    let template = Template::parse(template, &schema()).unwrap();
    let routed = Router::new(template).route(&batch(rows), &body(rows.len())).unwrap();
    routed
        .into_iter()
        .map(|r| (r.partition, r.rows.into_iter().flatten().map(|row| row as i64).collect()))
        .collect()
}

fn refused(template: &str) -> String {
    let error: TemplateError = Template::parse(template, &schema()).unwrap_err();
    error.to_string()
}

const DAY: i64 = 86_400_000_000;

#[test]
fn rows_go_to_their_date_in_the_order_they_came() {
    let rows = [(Some(0), None), (Some(DAY), None), (Some(DAY - 1), None), (None, None)];
    assert_eq!(
        partitions("date={startTime:%Y-%m-%d}", &rows),
        [
            ("date=1970-01-01".to_owned(), vec![0, 2]),
            ("date=1970-01-02".to_owned(), vec![1]),
            (format!("date={NULL_PARTITION}"), vec![3]),
        ]
    );
}

#[test]
fn times_before_the_epoch_belong_to_their_own_day() {
    let rows = [(Some(-1), None), (Some(0), None)];
    let got = partitions("date={startTime:%Y-%m-%d}", &rows);
    assert_eq!(got[0].0, "date=1969-12-31");
    assert_eq!(got[1].0, "date=1970-01-01");
}

#[test]
fn hours_and_minutes_are_not_cached_as_days() {
    let rows = [(Some(0), None), (Some(3_600_000_000), None), (Some(3_660_000_000), None)];
    let got = partitions("at={startTime:%d-%H%M}", &rows);
    assert_eq!(
        got.iter().map(|g| g.0.as_str()).collect::<Vec<_>>(),
        ["at=01-0000", "at=01-0100", "at=01-0101"]
    );
}

#[test]
fn several_segments_and_literals() {
    let rows = [(Some(0), Some("acme")), (Some(1), Some("bolt")), (Some(2), Some("acme"))];
    assert_eq!(
        partitions("tenant=t-{tenantId}/date={startTime:%Y-%m-%d}/hour={startTime:%H}", &rows),
        [
            ("tenant=t-acme/date=1970-01-01/hour=00".to_owned(), vec![0, 2]),
            ("tenant=t-bolt/date=1970-01-01/hour=00".to_owned(), vec![1]),
        ]
    );
}

#[test]
fn no_value_leaves_its_directory() {
    let long = "ü%/".repeat(400);
    let values = ["..", "../../etc", ".", "a/b", "a\0b", "a=b", "", "%2e%2e", "C:\\x", &long];
    let rows: Vec<_> = values.iter().map(|v| (Some(0), Some(*v))).collect();
    let got = partitions("tenant={tenantId}", &rows);
    assert_eq!(got.len(), values.len(), "each value is a partition of its own");
    for (path, _) in &got {
        let value = path.strip_prefix("tenant=").unwrap();
        assert!(!value.contains('/') && !value.chars().any(char::is_control), "{path}");
        assert!(path.len() <= 255 && !value.is_empty(), "{path}");
        // A `%` is always the start of an escape.
        for (at, _) in value.match_indices('%') {
            assert!(u8::from_str_radix(&value[at + 1..at + 3], 16).is_ok(), "{path}");
        }
    }
    assert_eq!(got[0].0, "tenant=..");
    assert_eq!(got[3].0, "tenant=a%2Fb");
    assert_eq!(got[6].0, format!("tenant={NULL_PARTITION}"));
}

#[test]
fn long_values_that_differ_at_their_end_stay_apart() {
    let (a, b) = ("x".repeat(300) + "a", "x".repeat(300) + "b");
    let got = partitions("tenant={tenantId}", &[(None, Some(&a)), (None, Some(&b))]);
    assert_ne!(got[0].0, got[1].0);
}

#[test]
fn an_empty_template_is_one_partition() {
    assert_eq!(partitions("", &[(None, None)]), [(String::new(), vec![0])]);
}

#[test]
fn refusals_say_what_to_write() {
    assert!(refused("{startTime:%Y}").contains("no `name=value`"));
    assert!(refused("date={start:%Y}").contains("no column `start`"));
    assert!(refused("date={startTime}").contains("needs a format"));
    assert!(refused("date={startTime:%Q}").contains("no strftime format"));
    assert!(refused("x={n}").contains("neither a string nor a time"));
    assert!(refused("tenantid={tenantId}").contains("is a column"));
    assert!(refused("_x={tenantId}").contains("no partition name"));
    assert!(refused("a=b").contains("holds no"));
    assert!(refused("a={tenantId").contains("never closed"));
    assert!(refused("a={tenantId}/a={tenantId}").contains("twice"));
    assert!(refused("a={tenantId:%Y}").contains("holds text"));
    assert!(refused("a={tenantId}/").contains("no `name=value`"));
}

#[test]
fn by_earlier_rules_partitions_past_the_most_are_that_of_nulls_however_rows_are_batched() {
    let template = Template::parse("day={startTime:%Y-%m-%d}/t={tenantId}", &schema()).unwrap();
    let day = 86_400_000_000;
    let rows: Vec<_> = [0, 1, 2, 1, 3, 0, 4].map(|n| (Some(n * day), Some("a"))).to_vec();
    let mut seen = Vec::new();
    for size in [1, 2, 7] {
        let mut router = Router::new(template.clone()).by_rules(third());
        router.max_partitions = 3;
        let mut found: Vec<(String, usize)> = Vec::new();
        for rows in rows.chunks(size) {
            for PartitionRows { partition, rows } in
                router.route(&batch(rows), &body(rows.len())).unwrap()
            {
                let count = rows.iter().map(Range::len).sum::<usize>();
                match found.iter_mut().find(|(name, _)| *name == partition) {
                    Some((_, n)) => *n += count,
                    None => found.push((partition, count)),
                }
            }
        }
        seen.push(found);
        let nulls = format!("day={NULL_PARTITION}/t={NULL_PARTITION}");
        assert!(router.overflows(&nulls) && !router.overflows("day=1970-01-01/t=a"));
        assert_eq!(router.values(&nulls).unwrap()[..], [None, None]);
        router.begin();
        assert!(!router.overflows(&nulls));
        let again = router.route(&batch(&rows[6..]), &body(1)).unwrap();
        assert_eq!(again[0].partition, "day=1970-01-05/t=a");
    }
    let nulls = format!("day={NULL_PARTITION}/t={NULL_PARTITION}");
    let wanted: Vec<(String, usize)> = vec![
        ("day=1970-01-01/t=a".into(), 2),
        ("day=1970-01-02/t=a".into(), 2),
        ("day=1970-01-03/t=a".into(), 1),
        (nulls, 2),
    ];
    assert!(seen.iter().all(|found| *found == wanted), "{seen:?}");
}

#[test]
fn rows_of_a_partition_are_in_order_whatever_they_were_grouped_by() {
    let template = Template::parse("day={startTime:%Y-%m-%d}/t={tenantId}", &schema()).unwrap();
    let mut router = Router::new(template).by_rules(third());
    router.max_partitions = 1;
    let rows = [0, 1, 2, 1, 2, 0].map(|n| (Some(n * 86_400_000_000), Some("a")));
    let routed = router.route(&batch(&rows), &body(rows.len())).unwrap();
    let found: Vec<Vec<usize>> =
        routed.into_iter().map(|routed| routed.rows.into_iter().flatten().collect()).collect();
    assert_eq!(found, [vec![0, 5], vec![1, 2, 3, 4]]);
}

#[test]
fn a_path_of_many_long_values_fits_the_key_of_an_object() {
    let segments: Vec<String> = (0..6).map(|n| format!("p{n}={{tenantId}}")).collect();
    let template = Template::parse(&segments.join("/"), &schema()).unwrap();
    let routed = Router::new(template)
        .route(&batch(&[(None, Some(&"x".repeat(400))), (None, Some(&"x".repeat(401)))]), &body(2))
        .unwrap();
    assert_eq!(routed.len(), 2);
    assert_ne!(routed[0].partition, routed[1].partition);
    assert!(routed.iter().all(|r| r.partition.len() < 600), "{}", routed[0].partition.len());
}

#[test]
fn the_values_of_a_partition_are_whole_and_are_read_back_from_its_path() {
    let template = Template::parse("t=x{tenantId}/day={startTime:%Y-%m-%d}", &schema()).unwrap();
    let long = "ä/".repeat(200);
    let texts = [Some("a/b=c%"), Some("\u{1}"), None, Some(""), Some(NULL_PARTITION), Some(&long)];
    let mut router = Router::new(template.clone());
    for text in texts {
        for time in [Some(0), None] {
            let routed = router.route(&batch(&[(time, text)]), &body(1)).unwrap();
            let [PartitionRows { partition, .. }] = &routed[..] else { panic!("{routed:?}") };
            let day = time.map(|_| "1970-01-01".to_owned());
            let expected = [text.map(|text| format!("x{text}")), day];
            let values = router.values(partition).unwrap();
            assert_eq!(values[..], expected);
            assert!(!router.overflows(partition));
            let read = values_of_path(&template, partition).unwrap();
            // A value that is cut in the path has a hash at its end.
            match text {
                Some(text) if text == long => {
                    assert!(read[0].as_ref().is_some_and(|read| read.starts_with("xä/ä/")));
                }
                _ => assert_eq!(read, values, "{partition}"),
            }
        }
    }
    for other in ["t=x", "day=1/t=2", "t=x1/day=2/more=3", ""] {
        assert!(values_of_path(&template, other).is_none(), "{other}");
    }
    let plain = Template::parse("t={tenantId}", &schema()).unwrap();
    let mut router = Router::new(plain);
    for text in [None, Some(""), Some(NULL_PARTITION)] {
        let routed = router.route(&batch(&[(None, text)]), &body(1)).unwrap();
        assert_eq!(router.values(&routed[0].partition).unwrap()[..], [None], "{text:?}");
    }
}

/// DuckDB's own names were taken from `COPY … (PARTITION_BY (c))` of version 1.5.5, for each character
/// of ASCII: it leaves letters, digits, `-`, `.`, `_` and `~` as they are.
#[test]
fn characters_are_escaped_as_duckdb_escapes_them() {
    for code in 1..=127_u8 {
        let c = char::from(code);
        let plain = c.is_ascii_alphanumeric() || "-._~".contains(c);
        let written = if plain { c.to_string() } else { format!("%{code:02X}") };
        let found = partitions("c={tenantId}", &[(None, Some(&format!("x{c}y")))]);
        assert_eq!(found, [(format!("c=x{written}y"), vec![0])]);
    }
    // Spark reads each `%XX` as one character, so letters beyond ASCII stay as they are.
    let found = partitions("c={tenantId}", &[(None, Some("São Tomé"))]);
    assert_eq!(found[0].0, "c=São%20Tomé");
}

#[test]
fn case_03_an_ampersand_in_a_partition_is_escaped() {
    let template = Template::parse("c={tenantId}", &schema()).unwrap();
    let found =
        partitions("c={tenantId}", &[(None, Some("Trinidad & Tobago")), (None, Some("Austria"))]);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["c=Trinidad%20%26%20Tobago", "c=Austria"]);
    // A lake may have partitions of both builds.
    for path in [names[0], "c=Trinidad & Tobago"] {
        let values = values_of_path(&template, path).unwrap();
        assert_eq!(values[..], [Some("Trinidad & Tobago".to_owned())]);
    }
}

#[test]
fn a_long_value_of_escaped_characters_is_cut_between_escapes() {
    for (text, unit) in [("&".repeat(100), 3), ("x &".repeat(80), 1), ("+,".repeat(90), 3)] {
        let found = partitions("c={tenantId}", &[(None, Some(&text))]);
        let (kept, hash) = found[0].0["c=".len()..].rsplit_once('~').unwrap();
        assert!(hash.len() == 16 && kept.len() > 150 && kept.len() <= 163, "{kept}");
        assert_eq!(kept.len() % unit, 0);
        let read = percent_encoding::percent_decode_str(kept).decode_utf8().unwrap();
        assert!(text.starts_with(&*read), "{kept}");
    }
}

/// A row of a body: the number of the body, and a day and a text to choose from.
type Choice = (usize, i64, usize);

/// Routes rows of bodies of these sizes in batches that end at `cuts`. Returns the partition of each
/// row, and the partitions that are open.
fn routed(
    template: &Template,
    sizes: &[u64],
    choices: &[Choice],
    cuts: &[usize],
) -> (Vec<String>, usize) {
    let texts = ["a", "b", "c"];
    let rows: Vec<(Option<i64>, Option<&str>)> =
        choices.iter().map(|(_, day, text)| (Some(day * DAY), texts.get(*text).copied())).collect();
    let mut router = Router::new(template.clone());
    let mut found = vec![String::new(); rows.len()];
    let mut begin = 0;
    for end in cuts.iter().copied().chain([rows.len()]) {
        let mut bodies: Vec<BodyRows> = Vec::new();
        for (number, ..) in &choices[begin..end] {
            match bodies.last_mut() {
                Some(last) if last.seq.0 == *number as u64 => last.rows += 1,
                _ => bodies.push(BodyRows {
                    seq: Seq(*number as u64),
                    received_at: Micros(0),
                    bytes: sizes[*number],
                    rows: 1,
                }),
            }
        }
        for PartitionRows { partition, rows } in
            router.route(&batch(&rows[begin..end]), &bodies).unwrap()
        {
            for row in rows.into_iter().flatten() {
                assert_eq!(found[begin + row], "", "a row is in two partitions");
                found[begin + row].clone_from(&partition);
            }
        }
        begin = end;
    }
    (found, router.open.len())
}

proptest::proptest! {
    #[test]
    fn partitions_are_the_same_however_rows_are_batched(
        sizes in proptest::collection::vec(0_u64..200_000, 6),
        choices in proptest::collection::vec((0_usize..6, -60_i64..60, 0_usize..4), 1..200),
        cuts in proptest::collection::vec(0_usize..200, 0..12),
        templates in proptest::sample::subsequence(vec![0_usize, 1, 2], 1),
    ) {
        let texts = ["day={startTime:%Y-%m-%d}", "t={tenantId}/day={startTime:%Y-%m-%d}", "m={startTime:%Y-%m}"];
        let template = Template::parse(texts[templates[0]], &schema()).unwrap();
        let mut choices = choices;
        choices.sort_by_key(|choice| choice.0);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(choices.len())).collect();
        cuts.sort_unstable();
        let (whole, open) = routed(&template, &sizes, &choices, &[]);
        let (parts, again) = routed(&template, &sizes, &choices, &cuts);
        proptest::prop_assert_eq!(&whole, &parts);
        proptest::prop_assert_eq!(open, again);
        // Nobody is displaced from a partition that is open.
        let mut opened = std::collections::BTreeSet::new();
        let own = |choice: &Choice| {
            let text = ["a", "b", "c"].get(choice.2).copied();
            partitions(texts[templates[0]], &[(Some(choice.1 * DAY), text)]).remove(0).0
        };
        for (choice, partition) in choices.iter().zip(&whole) {
            let own = own(choice);
            proptest::prop_assert!(*partition == own || !opened.contains(&own), "{}", own);
            opened.insert(partition.clone());
            // Late data without text is never displaced.
            let late = (-30..=1).contains(&choice.1) && templates[0] != 1;
            proptest::prop_assert!(!late || *partition == own, "{}", own);
        }
    }
}

#[test]
fn rows_of_other_bodies_than_those_of_the_batch_are_an_error() {
    let template = Template::parse("t={tenantId}", &schema()).unwrap();
    let error = Router::new(template).route(&batch(&[(None, None); 3]), &body(2)).unwrap_err();
    assert!(error.to_string().contains("other rows"), "{error}");
}
