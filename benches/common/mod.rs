//! Shared by the benches: sessions like the exporter's, and processor time.

#![allow(dead_code, reason = "each bench takes what it needs")]

pub(crate) mod slow;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use bytes::Bytes;
use sessionlake::decode::Decoder;
use sessionlake::record::{Body, Form, Micros, Seq};

/// The size at which the exporter sends a bulk, about.
const BODY_BYTES: usize = 896_000;
const RUNS: usize = 5;

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Returns the seconds of this thread on a processor, where the system tells them; else those of
/// the clock, which mean little on a machine that others use as well.
struct Stopwatch(Instant, Option<f64>);

impl Stopwatch {
    fn start() -> Stopwatch {
        Stopwatch(Instant::now(), on_processor())
    }

    fn seconds(&self) -> f64 {
        match (self.1, on_processor()) {
            (Some(start), Some(now)) => now - start,
            _ => self.0.elapsed().as_secs_f64(),
        }
    }
}

fn on_processor() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}

/// Returns the seconds of the median run.
pub(crate) fn median(run: impl FnMut() -> Outcome<usize>) -> Outcome<(f64, usize)> {
    median_of(RUNS, run)
}

/// Returns the seconds of the median of `runs` runs.
pub(crate) fn median_of(
    runs: usize,
    mut run: impl FnMut() -> Outcome<usize>,
) -> Outcome<(f64, usize)> {
    let mut seconds = Vec::new();
    let mut rows = 0;
    for _ in 0..runs {
        let watch = Stopwatch::start();
        rows = run()?;
        seconds.push(watch.seconds());
    }
    seconds.sort_by(f64::total_cmp);
    Ok((seconds[runs / 2], rows))
}

pub(crate) fn decode(
    decoder: &mut Decoder,
    bodies: &[Body],
    bodies_per_batch: usize,
    mut each: impl FnMut(RecordBatch) -> Outcome<()>,
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

pub(crate) fn bodies(bytes: usize) -> Vec<Body> {
    let mut random = Random(42);
    let mut bodies = Vec::new();
    let mut made = 0;
    while made < bytes {
        let mut text = String::with_capacity(BODY_BYTES + 20_000);
        while text.len() < BODY_BYTES && made + text.len() < bytes {
            session(&mut text, &mut random);
        }
        made += text.len();
        bodies.push(body(bodies.len() as u64 + 1, Bytes::from(text)));
    }
    bodies
}

/// Reads the lines of a file into bodies.
pub(crate) fn bodies_of(file: &str) -> Outcome<Vec<Body>> {
    let mut rest = Bytes::from(std::fs::read(file)?);
    let mut bodies = Vec::new();
    while !rest.is_empty() {
        let least = BODY_BYTES.min(rest.len());
        let end =
            rest[least..].iter().position(|b| *b == b'\n').map_or(rest.len(), |n| least + n + 1);
        bodies.push(body(bodies.len() as u64 + 1, rest.split_to(end)));
    }
    Ok(bodies)
}

/// Returns a body of NDJSON.
pub(crate) fn body(seq: u64, bytes: Bytes) -> Body {
    Body {
        seq: Seq(seq),
        received_at: Micros(1_700_000_000_000_000 + seq as i64),
        table: Arc::from("user_sessions"),
        form: Form::Ndjson,
        first_line: 1,
        bytes,
        stored: None,
    }
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

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

    /// Returns an integer below `limit`, or null in `nulls` of 100 cases.
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

/// Returns one session as the exporter writes it: no white space, fields in its order.
pub(crate) fn session(out: &mut String, random: &mut Random) {
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
