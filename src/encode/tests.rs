use std::collections::BTreeSet;
use std::fs::File;

use arrow::array::{AsArray as _, UInt32Array};
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::Int64Type;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::basic::Compression as Codec;
use parquet::basic::ZstdLevel;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::*;
use crate::decode::Decoder;
use crate::record::{Body, Form, Micros, Seq};

fn body(seq: u64, lines: String) -> Body {
    Body {
        seq: Seq(seq),
        received_at: Micros(1),
        table: "user_sessions".into(),
        form: Form::Ndjson,
        first_line: 1,
        bytes: lines.into(),
        stored: None,
    }
}

/// Sessions of which a column has several pages, a dictionary that is given up, and nothing.
fn batches(schema: &Arc<TableSchema>, rows: usize) -> Vec<RecordBatch> {
    let mut decoder = Decoder::new(Arc::clone(schema), "n".into());
    let part = |seq: usize| {
        let line = |n: usize| {
            let n = seq * rows + n;
            let actions = format!(r#"{{"name":"a{}","duration":{n},"startTime":{n}}},"#, n % 7);
            let actions = actions.repeat(n % 3);
            format!(
                "{{\"userSessionId\":\"{n:040}\",\"startTime\":{},\"bounce\":{},\
                 \"country\":\"c{}\",\"userActions\":[{}],\"stringTags\":{{\"t\":\"{n}\"}}}}\n",
                n * 1000,
                n.is_multiple_of(3),
                n % 5,
                actions.trim_end_matches(',')
            )
        };
        decoder.push(&body(seq as u64, (0..rows).map(line).collect()));
        decoder.finish().batch
    };
    (0..2).map(part).collect()
}

fn read(path: &Path, selection: Option<RowSelection>) -> RecordBatch {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let file = File::open(path).unwrap();
    let mut reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
    let schema = Arc::clone(reader.schema());
    if let Some(selection) = selection {
        reader = reader.with_row_selection(selection);
    }
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let read = concat_batches(&schema, &batches).unwrap();
    // The reader names the middle group of maps as the file does; the table has Arrow's name for it.
    let table = TableSchema::builtin("user_sessions").unwrap().arrow();
    let columns = read.columns().iter().zip(table.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()).unwrap());
    RecordBatch::try_new(Arc::clone(&table), columns.collect()).unwrap()
}

#[test]
fn what_is_written_is_read_back_with_every_codec_whole_and_by_its_index() {
    let staging = tempfile::tempdir().unwrap();
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let threads = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap());
    for (at, (compression, codec)) in [
        (Compression::Zstd(1), Codec::ZSTD(ZstdLevel::try_new(1).unwrap())),
        // The level is not in the file.
        (Compression::Zstd(9), Codec::ZSTD(ZstdLevel::try_new(1).unwrap())),
        (Compression::Snappy, Codec::SNAPPY),
        (Compression::Lz4, Codec::LZ4_RAW),
        (Compression::None, Codec::UNCOMPRESSED),
    ]
    .into_iter()
    .enumerate()
    {
        let layout = Layout::new(&schema, compression, &[]).unwrap();
        let layout = layout.with_threads(Arc::clone(&threads));
        for rows in [1, 30, 50_000] {
            let path = staging.path().join(format!("{at}-{rows}.parquet"));
            let written = batches(&schema, rows);
            let mut encoder = Encoder::create(&path, &layout).unwrap();
            encoder.row_group(&written).unwrap();
            encoder.row_group(&written[..1]).unwrap();
            let staged = encoder.finish().unwrap();
            assert_eq!(staged.rows as usize, rows * 3);
            let all =
                concat_batches(&layout.batches, [&written[0], &written[1], &written[0]]).unwrap();
            assert!(read(&path, None) == all, "{path:?}");

            // From the middle of pages, past others.
            let (skip, some) = (rows * 2 / 3, rows / 2);
            let picked = [(skip, some), (rows, rows / 3)];
            let selectors = picked
                .iter()
                .flat_map(|(skip, take)| [RowSelector::skip(*skip), RowSelector::select(*take)]);
            let part = read(&path, Some(selectors.collect::<Vec<_>>().into()));
            let parts = [all.slice(skip, some), all.slice(skip + some + rows, rows / 3)];
            assert!(part == concat_batches(&layout.batches, &parts).unwrap(), "{path:?}");

            let file = File::open(&path).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            let groups = reader.metadata().row_groups();
            assert_eq!(groups.len(), 2);
            for group in groups {
                let mut at = group.column(0).byte_range().0;
                for column in group.columns() {
                    let (start, length) = column.byte_range();
                    assert_eq!(start, at, "chunks follow on one another");
                    at += length;
                    let bare = column.compression() == Codec::UNCOMPRESSED;
                    assert!(bare || column.compression() == codec, "{column:?}");
                }
                let id =
                    group.columns().iter().find(|c| c.column_path().string() == "userSessionId");
                assert!(rows == 1 || id.unwrap().compression() == codec);
            }
        }
    }
}

#[test]
fn threads_may_write_the_same_columns_at_once() {
    let staging = tempfile::tempdir().unwrap();
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let layout = Layout::new(&schema, Compression::Zstd(1), &[]).unwrap();
    let written = batches(&schema, 40);
    let write = |path: &Path| {
        let mut encoder = Encoder::create(path, &layout).unwrap();
        encoder.row_group(&written).unwrap();
        encoder.finish().unwrap();
        std::fs::read(path).unwrap()
    };
    let alone = write(&staging.path().join("alone"));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (write, alone, staging) = (&write, &alone, staging.path());
            scope.spawn(move || {
                for n in 0..10 {
                    assert_eq!(write(&staging.join(format!("{thread}-{n}"))), *alone);
                }
            });
        }
    });
}

#[test]
fn the_form_of_files_is_as_their_readers_need_it() {
    let staging = tempfile::tempdir().unwrap();
    let schema = TableSchema::builtin("user_sessions").unwrap();
    let latest = FileForm::from(Compression::None);
    let write = |name: &str, form: FileForm| {
        let layout = Layout::new(&schema, form, &[]).unwrap();
        let path = staging.path().join(name);
        let mut encoder = Encoder::create(&path, &layout).unwrap();
        encoder.row_group(&batches(&schema, 400)).unwrap();
        encoder.finish().unwrap();
        let file = File::open(&path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let columns = reader.metadata().row_group(0).columns().to_vec();
        let paths: Vec<String> = columns.iter().map(|c| c.column_path().string()).collect();
        let encodings: BTreeSet<String> =
            columns.iter().flat_map(|c| c.encodings()).map(|e| e.to_string()).collect();
        (read(&path, None), paths, encodings)
    };
    let has = |paths: &[String], part: &str| paths.iter().any(|path| path.contains(part));
    let (rows, paths, encodings) = write("latest", latest);
    assert!(has(&paths, ".key_value.key") && !has(&paths, "entries"), "{paths:?}");
    assert!(has(&paths, "userActions.list.element.name"), "{paths:?}");
    assert!(encodings.contains("DELTA_BINARY_PACKED") && encodings.contains("DELTA_BYTE_ARRAY"));
    // As version 0.1.0 wrote it: a roll that it sealed is made again with the same bytes.
    let (same, paths, _) = write("earlier", FileForm { maps: MapGroup::Entries, ..latest });
    assert!(has(&paths, ".entries.key") && !has(&paths, "key_value"), "{paths:?}");
    assert!(same == rows);
    let (same, _, encodings) = write("plain", FileForm { encodings: Encodings::Plain, ..latest });
    assert!(same == rows);
    let known = ["PLAIN", "RLE", "RLE_DICTIONARY"].map(str::to_owned);
    assert_eq!(encodings, BTreeSet::from(known));
}

/// A flat table's rows: of each session as many as its number says, with its texts in each.
fn flat(rows: usize) -> (Arc<TableSchema>, RecordBatch) {
    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    let avsc = r#"{"type": "record", "name": "flat", "fields": [
        {"name": "id", "type": "string", "bloom": true}, {"name": "country", "type": ["null", "string"]},
        {"name": "long", "type": ["null", "string"]}, {"name": "none", "type": ["null", "string"]},
        {"name": "position", "type": "long"}, {"name": "name", "type": ["null", "string"]},
        {"name": "near", "type": ["null", "long"]}, {"name": "far", "type": ["null", "long"]},
        {"name": "rare", "type": ["null", "long"]}, {"name": "url", "type": ["null", "string"]},
        {"name": "most", "type": ["null", "long"]}, {"name": "times", "type": ["null", "double"]}]}"#;
    let schema = Arc::new(TableSchema::parse(avsc).unwrap());
    let session = |row: usize| row / 7;
    let long = "l".repeat(100);
    let texts = |of: &dyn Fn(usize) -> Option<String>| -> ArrayRef {
        Arc::new((0..rows).map(|row| of(session(row))).collect::<StringArray>())
    };
    let longs = |of: &dyn Fn(i64) -> Option<i64>| -> ArrayRef {
        Arc::new((0..rows as i64).map(of).collect::<Int64Array>())
    };
    let own = |of: &dyn Fn(usize) -> Option<String>| -> ArrayRef {
        Arc::new((0..rows).map(of).collect::<StringArray>())
    };
    let columns = vec![
        texts(&|session| Some(format!("id-{session}"))),
        texts(&|session| (session % 3 > 0).then(|| format!("c{}", session % 40))),
        texts(&|session| (session % 2 > 0).then(|| format!("{long}{}", session % 5))),
        texts(&|_| None),
        longs(&|row| Some(row % 7)),
        own(&|row| (row % 4 > 0).then(|| format!("name {}", row % 900 / 3))),
        longs(&|row| (row % 11 > 2).then_some(row * 7919 % 60_000 - 9)),
        longs(&|row| Some(row * 7919 % 500 * 1_000_000_007 - (1 << 40))),
        longs(&|row| (row % 9_000 == 17).then_some(i64::MIN + row)),
        own(&|row| Some(format!("https://a.test/{row:050}"))),
        longs(&|row| Some(row.wrapping_mul(i64::MAX / 1000))),
        Arc::new(
            (0..rows).map(|row| (row % 2 > 0).then_some(row as f64)).collect::<Float64Array>(),
        ),
        crate::columnar::builders::timestamps(vec![1; rows]),
        texts(&|session| Some(format!("n-1-{session}"))),
        texts(&|_| None),
    ];
    (Arc::clone(&schema), RecordBatch::try_new(schema.arrow(), columns).unwrap())
}

/// Folds a batch whose first `leading` columns, and lineage, are repeated in so many rows.
pub(super) fn folded(batch: &RecordBatch, leading: usize, times: usize) -> RecordBatch {
    use arrow::array::{ArrayRef, UInt32Array};
    use arrow::compute::take;
    let (schema, rows) = (batch.schema(), batch.num_rows());
    let first = UInt32Array::from_iter_values((0..rows as u32).step_by(times));
    let lineage = batch.num_columns() - 3;
    let is_folded = |at: &usize| *at < leading || (lineage..lineage + 2).contains(at);
    let (of, own): (Vec<usize>, Vec<usize>) = (0..batch.num_columns()).partition(is_folded);
    let of = of.into_iter().map(|at| take(batch.column(at), &first, None).unwrap()).collect();
    let schema = fold(&schema, leading);
    let times = (0..rows).step_by(times).map(|first| times.min(rows - first));
    let sessions = folded::column(&schema, of, times).unwrap();
    let own: Vec<ArrayRef> = own.into_iter().map(|at| Arc::clone(batch.column(at))).collect();
    RecordBatch::try_new(schema, [vec![sessions], own].concat()).unwrap()
}

#[test]
fn folded_columns_are_read_as_they_were_and_described_as_by_the_library() {
    let folder = tempfile::tempdir().unwrap();
    for (codec, rows) in
        [(Compression::Zstd(1), 45_000), (Compression::None, 30_000), (Compression::Snappy, 3_000)]
    {
        let (schema, batch) = flat(rows);
        let folded = folded(&batch, 4, 7);
        let write = |in_runs: bool, name: &str| {
            let path = folder.path().join(format!("{name}-{rows}"));
            let (batch, layout) = match in_runs {
                true => (&folded, Layout::flat(&schema, codec, &[], 4)),
                false => (&batch, Layout::new(&schema, codec, &[])),
            };
            let layout = layout.unwrap();
            let mut encoder = Encoder::create(&path, &layout).unwrap();
            // Runs go on in the next batch.
            let cut = rows / 2 + 3;
            let parts = [batch.slice(0, cut), batch.slice(cut, rows - cut)];
            encoder.row_group(&parts).unwrap();
            encoder.finish().unwrap()
        };
        let (runs, plain) = (write(true, "runs"), write(false, "plain"));
        let open = |file: &EncodedFile| {
            let options =
                ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
            let file = File::open(&file.path).unwrap();
            ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap()
        };
        let all = |file: &EncodedFile, selection: Option<RowSelection>| {
            let mut reader = open(file);
            if let Some(selection) = selection {
                reader = reader.with_row_selection(selection);
            }
            let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
            concat_batches(&batches[0].schema(), &batches).unwrap()
        };
        assert_eq!(all(&runs, None).columns(), batch.columns());
        let some = || {
            let (skip, take) = (RowSelector::skip(rows / 2 - 1), RowSelector::select(9));
            Some(RowSelection::from(vec![skip, take]))
        };
        assert_eq!(all(&runs, some()).columns(), batch.slice(rows / 2 - 1, 9).columns());
        for column in 0..4 {
            let of = |file: &EncodedFile| {
                let reader = open(file);
                let chunk = reader.metadata().row_group(0).column(column);
                (
                    chunk.num_values(),
                    chunk.statistics().cloned(),
                    chunk.bloom_filter_offset().is_some(),
                )
            };
            assert_eq!(of(&runs), of(&plain), "column {column}");
        }
        for column in 4..15 {
            let of = |file: &EncodedFile| {
                let chunk = open(file).metadata().row_group(0).column(column).clone();
                (chunk.num_values(), chunk.statistics().cloned())
            };
            assert_eq!(of(&runs), of(&plain), "column {column}");
        }
        let bytes = |file: &EncodedFile| file.bytes;
        assert!(bytes(&runs) <= bytes(&plain) + bytes(&plain) / 10, "{runs:?} {plain:?}");
    }
}

#[test]
fn random_folded_files_equal_the_librarys_and_their_page_bounds_hold() {
    let dir = tempfile::tempdir().unwrap();
    let (schema, pool) = flat(45_000);
    for seed in 0..12 {
        let mut dice = crate::search::Dice(seed);
        let long_runs = |dice: &mut crate::search::Dice| if dice.one_in(90) { 25_000 } else { 40 };
        let times: Vec<usize> = (0..1 + dice.below(900))
            .map(|_| {
                let most = long_runs(&mut dice);
                1 + dice.below(most) as usize
            })
            .collect();
        let rows: usize = times.iter().sum();
        let of: Vec<u32> = times.iter().map(|_| dice.below(45_000) as u32).collect();
        let wide = of.iter().zip(&times).flat_map(|(of, times)| std::iter::repeat_n(*of, *times));
        let wide = UInt32Array::from_iter_values(wide);
        let (spread, hole) = ([9, 900, 45_000][dice.below(3) as usize], dice.below(3) as usize);
        let own: UInt32Array = (0..rows)
            .map(|row| {
                let is_null = row / 20_000 == hole || dice.one_in(5);
                (!is_null).then(|| dice.below(spread) as u32)
            })
            .collect();
        let full: UInt32Array = own.iter().map(|of| Some(of.unwrap_or(0))).collect();
        let (mut all, mut members, mut rest) = (vec![], vec![], vec![]);
        for (at, field) in pool.schema().fields().iter().enumerate() {
            let by = |rows: &UInt32Array| take(pool.column(at), rows, None).unwrap();
            if let Place::Folded(_) = folded::place(at, pool.num_columns(), 4) {
                members.push(by(&UInt32Array::from(of.clone())));
                all.push(by(&wide));
            } else {
                let column = by(if field.is_nullable() { &own } else { &full });
                rest.push(Arc::clone(&column));
                all.push(column);
            }
        }
        let plain = RecordBatch::try_new(pool.schema(), all).unwrap();
        let schema_of_runs = fold(&pool.schema(), 4);
        let runs = folded::column(&schema_of_runs, members, times).unwrap();
        let runs = RecordBatch::try_new(schema_of_runs, [vec![runs], rest].concat()).unwrap();
        let (skip, cut) = (dice.below(rows as u64) as usize / 2, rows * 2 / 3);
        let write = |batch: &RecordBatch, layout: &Layout, name: &str| {
            let path = dir.path().join(format!("{seed}{name}"));
            let mut encoder = Encoder::create(&path, layout).unwrap();
            let parts = [batch.slice(skip, cut - skip), batch.slice(cut, rows - cut)];
            encoder.row_group(&parts).unwrap();
            let file = File::open(encoder.finish().unwrap().path).unwrap();
            let options =
                ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
            ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap()
        };
        let zstd = Compression::Zstd(1);
        let new = write(&runs, &Layout::flat(&schema, zstd, &[], 4).unwrap(), "new");
        let old = write(&plain, &Layout::new(&schema, zstd, &[]).unwrap(), "old");
        let written = plain.slice(skip, rows - skip);
        for at in 0..plain.num_columns() {
            let of =
                |metadata: &ParquetMetaData| metadata.row_group(0).column(at).statistics().cloned();
            assert_eq!(of(new.metadata()), of(old.metadata()), "seed {seed}, column {at}");
            check_pages(&new, at, written.column(at));
        }
        let read: Vec<_> = new.build().unwrap().map(Result::unwrap).collect();
        let read = concat_batches(&read[0].schema(), &read).unwrap();
        assert_eq!(read.columns(), written.columns(), "seed {seed}");
    }
}

/// Checks that the index has the nulls of each page of a column, bounds that hold, and that the filter of the
/// first column has every value.
fn check_pages(
    file: &ParquetRecordBatchReaderBuilder<File>,
    at: usize,
    column: &arrow::array::ArrayRef,
) {
    let metadata = file.metadata();
    let filter = file.get_row_group_column_bloom_filter(0, at).unwrap();
    // Of one page the footer says all.
    let Some(page_index) = metadata.page_index() else { return };
    let pages = page_index.offset_index(0, at).unwrap().page_locations();
    let index = page_index.column_index(0, at).unwrap();
    for (page, place) in pages.iter().enumerate() {
        let first = place.first_row_index as usize;
        let end = pages.get(page + 1).map_or(column.len(), |next| next.first_row_index as usize);
        let part = column.slice(first, end - first);
        if let Some(nulls) = index.null_count(page) {
            assert_eq!(nulls as usize, part.null_count());
        }
        let (texts, longs) = (part.as_string_opt::<i32>(), part.as_primitive_opt::<Int64Type>());
        if let (ColumnIndexMetaData::BYTE_ARRAY(index), Some(texts)) = (index, texts) {
            for text in texts.iter().flatten() {
                let (least, most) = (index.min_value(page), index.max_value(page));
                assert!(least.unwrap() <= text.as_bytes() && text.as_bytes() <= most.unwrap());
                assert!(filter.as_ref().is_none_or(|filter| filter.check(&text)));
            }
        }
        if let (ColumnIndexMetaData::INT64(index), Some(longs)) = (index, longs) {
            for long in longs.iter().flatten() {
                assert!(*index.min_value(page).unwrap() <= long);
                assert!(long <= *index.max_value(page).unwrap());
            }
        }
    }
}

/// A page of a list may have as many nulls as rows, and values besides.
#[test]
fn a_page_of_a_list_with_values_is_not_said_to_have_none() {
    let staging = tempfile::tempdir().unwrap();
    let schema = TableSchema::parse(
        r#"{"type":"record","name":"t","fields":[
            {"name":"a","type":{"type":"array","items":{"type":"record","name":"r","fields":[
                {"name":"b","type":["null","long"]}]}}}]}"#,
    );
    let schema = Arc::new(schema.unwrap());
    let mut decoder = Decoder::new(Arc::clone(&schema), "n".into());
    decoder.push(&body(1, "{\"a\":[{\"b\":7},{}]}\n".repeat(3)));
    let layout = Layout::new(&schema, Compression::Zstd(1), &[]).unwrap();
    let path = staging.path().join("a");
    let mut encoder = Encoder::create(&path, &layout).unwrap();
    encoder.row_group(&[decoder.finish().batch]).unwrap();
    encoder.finish().unwrap();
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let file = File::open(&path).unwrap();
    let file = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
    let pages = file.metadata().page_index();
    let index = pages.and_then(|pages| pages.column_index(0, 0));
    assert!(index.is_none_or(|index| !index.is_null_page(0)));
}
