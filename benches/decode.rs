//! How fast documents become columns, and columns Parquet, on one core.
//!
//! `cargo bench --bench decode [-- MB [OUT]]` makes about MB (100) megabytes of sessions of the
//! current format, some 16 kB and 12 user actions each, in bodies of the exporter's size, and
//! prints the median of five runs for batches of several sizes. With OUT it writes the documents
//! to that file and stops.

#![allow(clippy::print_stdout, reason = "it prints what it measured")]

use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use sessionlake::decode::Decoder;
use sessionlake::record::{Body, Form, Micros, Seq};
use sessionlake::schema::TableSchema;

/// The exporter sends a bulk at about this size.
const BODY_BYTES: usize = 896_000;
const RUNS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let megabytes = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let bodies = bodies(megabytes * 1_000_000);
    if let Some(out) = arguments.next() {
        let all: Vec<&[u8]> = bodies.iter().map(|body| body.bytes.as_ref()).collect();
        std::fs::write(out, all.concat())?;
        return Ok(());
    }
    let total: usize = bodies.iter().map(|body| body.bytes.len()).sum();
    println!("{:.1} MB of JSON in {} bodies", total as f64 / 1e6, bodies.len());
    let schema = TableSchema::builtin("user_sessions").ok_or("no such schema")?;
    for bodies_per_batch in [1, 4, 16, 64, 128] {
        let mut decoder = Decoder::new(schema.clone(), Arc::from("bench"));
        let (decode, rows) =
            median(|| decode(&mut decoder, &bodies, bodies_per_batch, |_| Ok(())))?;
        println!(
            "decode, {bodies_per_batch:3} bodies a batch: {:7.1} MB/s ({rows} rows)",
            total as f64 / decode / 1e6
        );
    }
    for bodies_per_batch in [16, 64] {
        let mut decoder = Decoder::new(schema.clone(), Arc::from("bench"));
        let mut parquet_bytes = 0;
        let (both, _) = median(|| {
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
                .build();
            let mut writer = ArrowWriter::try_new(Vec::new(), schema.arrow(), Some(properties))?;
            let rows =
                decode(&mut decoder, &bodies, bodies_per_batch, |batch| Ok(writer.write(&batch)?))?;
            parquet_bytes = writer.into_inner()?.len();
            Ok(rows)
        })?;
        println!(
            "decode and Parquet zstd(1), {bodies_per_batch} bodies a batch: {:.1} MB/s ({:.1} MB)",
            total as f64 / both / 1e6,
            parquet_bytes as f64 / 1e6
        );
    }
    Ok(())
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Seconds of the middle one of the runs.
fn median(mut run: impl FnMut() -> Outcome<usize>) -> Outcome<(f64, usize)> {
    let mut seconds = Vec::new();
    let mut rows = 0;
    for _ in 0..RUNS {
        let start = Instant::now();
        rows = run()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok((seconds[RUNS / 2], rows))
}

fn decode(
    decoder: &mut Decoder,
    bodies: &[Body],
    bodies_per_batch: usize,
    mut each: impl FnMut(arrow::array::RecordBatch) -> Outcome<()>,
) -> Outcome<usize> {
    let mut rows = 0;
    for bodies in bodies.chunks(bodies_per_batch) {
        for body in bodies {
            decoder.push(body);
        }
        let decoded = decoder.finish();
        if !decoded.rejects.is_empty() {
            return Err(decoded.rejects[0].reason.clone().into());
        }
        rows += decoded.batch.num_rows();
        each(decoded.batch)?;
    }
    Ok(rows)
}

fn bodies(bytes: usize) -> Vec<Body> {
    let mut random = Random(42);
    let mut bodies = Vec::new();
    let mut made = 0;
    while made < bytes {
        let mut text = String::with_capacity(BODY_BYTES + 20_000);
        while text.len() < BODY_BYTES && made + text.len() < bytes {
            session(&mut text, &mut random);
        }
        made += text.len();
        let seq = Seq(bodies.len() as u64 + 1);
        bodies.push(Body {
            seq,
            received_at: Micros(1_700_000_000_000_000 + seq.0 as i64),
            table: Arc::from("user_sessions"),
            form: Form::Ndjson,
            first_line: 1,
            bytes: Bytes::from(text),
        });
    }
    bodies
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }

    /// An integer below `limit`, or null in `nulls` of 100 cases.
    fn maybe(&mut self, nulls: u64, limit: u64) -> String {
        if self.below(100) < nulls { "null".into() } else { self.below(limit).to_string() }
    }
}

const CITIES: [(&str, &str, &str); 6] = [
    ("Europe", "Poland", "Bydgoszcz"),
    ("Europe", "Austria", "Linz"),
    ("North America", "United States", "Delray Beach"),
    ("Europe", "Germany", "München"),
    ("South America", "Brazil", "São Paulo"),
    ("Asia", "Japan", "東京"),
];

/// One session, as the exporter writes it: no white space, fields in its order.
fn session(out: &mut String, random: &mut Random) {
    let id = random.next();
    let start = 1_622_107_543_233 + random.below(86_400_000);
    let actions = 8 + random.below(9);
    let (continent, country, city) = CITIES[random.below(6) as usize];
    let _ = write!(
        out,
        r#"{{"tenantId":"umsaywsjuo","userSessionId":"{id}","startTime":{start},"endTime":{},"duration":{},"internalUserId":"{}","userType":"{}","applicationType":"WEB_APPLICATION","bounce":{},"newUser":{},"userActionCount":{actions},"totalErrorCount":{},"totalLicenseCreditCount":{},"matchingConversionGoalsCount":0,"matchingConversionGoals":[],"ip":"157.25.{}.{}","continent":"{continent}","country":"{country}","region":"{}","city":"{city}","browserType":"Desktop Browser","browserFamily":"{}","browserMajorVersion":"Chrome {}","osFamily":"{}","osVersion":"{}","#,
        start + random.below(600_000),
        random.below(600_000),
        random.next() % 1_000_000_000,
        random.pick(&["REAL_USER", "SYNTHETIC", "ROBOT"]),
        random.below(4) == 0,
        random.below(2) == 0,
        random.below(9),
        random.below(2),
        random.below(256),
        random.below(256),
        random.pick(&["synthetic", "Florida", "Bayern", "Oberösterreich"]),
        random.pick(&["Chrome", "Firefox", "Safari", "Synthetic monitor"]),
        80 + random.below(30),
        random.pick(&["Linux", "Windows", "macOS", "Android"]),
        random.pick(&["Windows 10", "Windows 11", "Linux", "14.4.1"]),
    );
    if random.below(2) == 0 {
        let _ = write!(out, r#""userId":"user{}@example.com","#, random.below(100_000));
    }
    let _ = write!(
        out,
        r#""screenHeight":{},"screenWidth":{},"screenOrientation":"LANDSCAPE","displayResolution":"FHD","hasSessionReplay":false,"isp":"{}","clientType":"Desktop Browser","stringProperties":[{{"key":"plan","value":"{}"}}],"longProperties":[{{"key":"items","value":{}}}],"doubleProperties":[],"dateProperties":[],"userActions":["#,
        720 + random.below(1000),
        1280 + random.below(1000),
        random.pick(&["T-Mobile Czech Republic", "SWCP-AS - Southwest Cyberport", "A1 Telekom"]),
        random.pick(&["gold", "silver", "free"]),
        random.below(50),
    );
    for i in 0..actions {
        if i > 0 {
            out.push(',');
        }
        action(out, random, start + i * 1000);
    }
    let _ = write!(
        out,
        r#"],"events":[{{"type":"PageChange","name":"/checkout/{}","startTime":{start},"application":"shop","internalApplicationId":"APPLICATION-A8894472DACEDA0E"}}],"errors":[],"syntheticEvents":[]}}"#,
        random.below(1000)
    );
    out.push('\n');
}

fn action(out: &mut String, random: &mut Random, start: u64) {
    let load = random.below(3) == 0;
    let nulls = if load { 5 } else { 95 };
    let _ = write!(
        out,
        r#"{{"name":"/rest/{}/validate/%2f{}?input=<masked>&key=<masked>","domain":"mySampleEnv.example.com","targetUrl":"https://mySampleEnv.example.com/#monitoranalysis;id=TEST-{:016X};actionType=Load;splitting=event","type":"{}","startTime":{start},"endTime":{},"duration":{},"application":"mySampleEnv.example.com - browser monitor - {}","internalApplicationId":"APPLICATION-A8894472DACEDA0E","speedIndex":{},"apdexCategory":"{}","matchingConversionGoals":[],"networkTime":{},"serverTime":{},"frontendTime":{},"documentInteractiveTime":{},"thirdPartyResources":{},"thirdPartyBusyTime":{},"cdnResources":0,"cdnBusyTime":{},"firstPartyResources":{},"firstPartyBusyTime":{},"domCompleteTime":{},"domContentLoadedTime":{},"loadEventStart":{},"loadEventEnd":{},"navigationStart":{},"requestStart":{},"responseStart":{},"responseEnd":{},"visuallyCompleteTime":{},"#,
        random.pick(&["cart", "cvalidation", "orders", "search"]),
        random.below(100_000),
        random.next(),
        if load { "Load" } else { "Xhr" },
        start + random.below(5000),
        random.below(5000),
        random.below(20),
        random.maybe(nulls, 5000),
        random.pick(&["SATISFIED", "TOLERATING", "FRUSTRATED"]),
        random.maybe(5, 500),
        random.maybe(5, 500),
        random.maybe(5, 5000),
        random.maybe(nulls, 5000),
        random.below(10),
        random.maybe(50, 5000),
        random.maybe(80, 500),
        random.below(100),
        random.maybe(20, 5000),
        random.maybe(nulls, 5000),
        random.maybe(nulls, 5000),
        random.maybe(nulls, 5000),
        random.maybe(nulls, 5000),
        start + random.below(100),
        random.maybe(10, 100),
        random.maybe(10, 500),
        random.maybe(10, 500),
        random.maybe(nulls, 5000),
    );
    if random.below(8) == 0 {
        out.push_str(r#""syntheticEvent":"click on \"Analyze performance\"","#);
    }
    let properties = if random.below(4) == 0 {
        format!(r#"{{"key":"query","value":"blue shoes {}"}}"#, random.below(1000))
    } else {
        String::new()
    };
    let shift = if load { format!("0.{:04}", random.below(10_000)) } else { "null".into() };
    let _ = write!(
        out,
        r#""keyUserAction":{},"stringProperties":[{properties}],"longProperties":[],"doubleProperties":[],"dateProperties":[],"userActionPropertyCount":{},"customErrorCount":0,"javascriptErrorCount":{},"requestErrorCount":{},"largestContentfulPaint":{},"firstInputDelay":{},"totalBlockingTime":{},"cumulativeLayoutShift":{shift}}}"#,
        random.below(4) == 0,
        u64::from(!properties.is_empty()),
        random.below(3),
        random.below(3),
        random.maybe(nulls, 5000),
        random.maybe(nulls, 300),
        random.maybe(nulls, 900),
    );
}
