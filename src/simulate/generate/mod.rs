//! Sessions that look real, from a seed.
//!
//! ```text
//!  seed ─▶ time (rhythm of the day) ─▶ place ─▶ user (comes back) ─▶ application ─▶ pages, actions
//!                                                                                     │
//!                                    document: current | classic | oldest ◀───────────┘
//! ```
//! Promises: the same [`Shape`] gives the same bytes; ids are unique in a run, and of two seeds with
//! overwhelming probability; nothing is allocated for a session but what its `Vec`s already hold.
//! Time goes once through the period and then begins again, so that sessions come in the order in
//! which they began, as from a live sender. No clock is read.

mod document;
mod drift;
mod random;
mod rhythm;
mod session;
pub(crate) mod shares;
#[cfg(test)]
mod tests;
mod user;

pub(crate) use random::Random;
use random::{LogNormal, mix};
use rhythm::Rhythm;
use session::{Action, PART_ACTIONS, Session, Type};
use shares::{Application, Sort};
use user::user;

/// The generation of the export format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The field names of today.
    Current,
    /// `geolocation…`, `osFamilyName`, tags as objects.
    Classic,
    /// `visitId`, `visitorId`, `visitType` and two times.
    Oldest,
    /// All three: 70, 25 and 5 of a hundred sessions.
    Mixed,
}

/// The sessions to generate. The same shape gives the same bytes.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Seed of the random numbers.
    pub seed: u64,
    /// Generation of the format.
    pub format: Format,
    /// Sessions of a million that have a field that no schema has or a value of the wrong type.
    pub drift_ppm: u32,
    /// Tenants; at least one.
    pub tenants: u32,
    /// First instant of the period, in milliseconds since the epoch.
    pub from_ms: i64,
    /// Length of the period in milliseconds; at least an hour.
    pub period_ms: i64,
    /// Sessions in which time goes through the period once; at least one.
    pub sessions: u64,
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Number of distinct users of each location.
const USERS: u32 = 1 << 12;
/// Sessions of a million that become too long and are split.
const LONG_PPM: u32 = 1_500;

/// The unique id of a session: it is in the document's fields, in an Elasticsearch
/// action's `_id`, and in the ledger: `tenantId-userSessionId-startTime`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Id(pub String);

/// Makes sessions, one after the other.
pub struct Generator {
    shape: Shape,
    random: Random,
    times: Times,
    rhythm: Rhythm,
    tenants: Vec<String>,
    /// Users that have come before: one bit a location and user.
    known: Vec<u64>,
    made: u64,
    session: Session,
    /// Actions of later parts of a session that is split.
    rest: Vec<Action>,
}

/// The distributions of times, in milliseconds.
struct Times {
    network: LogNormal,
    server: LogNormal,
    frontend: LogNormal,
    xhr_frontend: LogNormal,
    custom: LogNormal,
    think: LogNormal,
    long: LogNormal,
}

impl Generator {
    /// Creates a generator at its first session.
    #[must_use]
    pub fn new(shape: Shape) -> Generator {
        let shape = Shape {
            tenants: shape.tenants.max(1),
            period_ms: shape.period_ms.max(HOUR_MS),
            sessions: shape.sessions.max(1),
            ..shape
        };
        let mut random = Random::new(shape.seed);
        let tenants = (0..shape.tenants).map(|_| letters(random.bits(), 26, b'a', 8)).collect();
        Generator {
            times: Times {
                network: LogNormal::new(35.0, 0.8),
                server: LogNormal::new(90.0, 0.9),
                frontend: LogNormal::new(750.0, 0.8),
                xhr_frontend: LogNormal::new(120.0, 0.9),
                custom: LogNormal::new(180.0, 0.8),
                think: LogNormal::new(9_000.0, 1.1),
                long: LogNormal::new(300.0, 0.35),
            },
            rhythm: Rhythm::new(),
            tenants,
            known: vec![0; shares::PLACES.len() * USERS as usize / 64],
            made: 0,
            session: blank(),
            rest: Vec::new(),
            random,
            shape,
        }
    }

    /// Appends the next session to `out` as one line, with its line feed, and returns its id.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Id {
        if self.rest.is_empty() {
            self.begin()
        } else {
            self.go_on()
        }
        let format = match self.shape.format {
            Format::Mixed => match self.random.below(100) {
                0..70 => Format::Current,
                70..95 => Format::Classic,
                _ => Format::Oldest,
            },
            format => format,
        };
        let tenant = &self.tenants[self.session.tenant as usize];
        document::write(&self.session, format, tenant, out);
        out.push(b'\n');
        let tenant = if format == Format::Oldest { "" } else { tenant.as_str() };
        let id = std::str::from_utf8(&self.session.id).unwrap_or_default();
        Id(format!("{tenant}-{id}-0-{}", self.session.start))
    }

    /// Begins a new session.
    fn begin(&mut self) {
        let number = self.made;
        self.made += 1;
        let start = self.start(number);
        let random = &mut self.random;
        let sort = *random.pick(shares::SORTS);
        let place = self.rhythm.place(start, random);
        // The cube of a uniform draw: few users come often, many come once.
        let draw = u64::from(random.below(1 << 20));
        let cube = (((draw * draw) >> 20) * draw) >> 20;
        let rank = (cube * u64::from(USERS)) >> 20;
        let user = user(self.shape.seed, sort, place, rank);
        let bit = place * USERS as usize + rank as usize;
        let known = self.known[bit / 64] >> (bit % 64) & 1 == 1;
        self.known[bit / 64] |= 1 << (bit % 64);
        let session = &mut self.session;
        session.id = session_id(mix(number ^ mix(self.shape.seed)), random.bits());
        session.tenant = random.below(self.shape.tenants);
        session.application = match sort {
            Sort::Web | Sort::Monitor | Sort::Robot => random.pick(shares::WEB),
            Sort::App => &shares::APP,
            Sort::Kiosk => &shares::TERMINAL,
        };
        session.drift = random.chance(self.shape.drift_ppm).then(|| random.below(drift::KINDS));
        (session.sort, session.user, session.start) = (sort, user, start);
        session.new_user = !known && sort != Sort::Monitor;
        session.campaign = random.word(shares::CAMPAIGNS);
        session.bits = random.bits();
        session.part = None;
        session.more = false;
        self.walk();
        self.cut();
    }

    /// Makes the next part of a session that was split.
    fn go_on(&mut self) {
        let session = &mut self.session;
        std::mem::swap(&mut session.actions, &mut self.rest);
        self.rest.clear();
        session.start = session.actions[0].start;
        session.part = session.part.map(|part| part + 1);
        session.new_user = false;
        self.cut();
    }

    /// Keeps the rest of a session that has become too long, and sets its end.
    fn cut(&mut self) {
        let session = &mut self.session;
        session.more = session.actions.len() > PART_ACTIONS;
        if session.more {
            self.rest.extend(session.actions.drain(PART_ACTIONS..));
            session.part = session.part.or(Some(1));
        }
        let last = session.actions.iter().map(Action::end).max();
        session.end = last.unwrap_or(session.start);
    }

    /// Returns the start of session `number`.
    fn start(&mut self, number: u64) -> i64 {
        let Shape { from_ms, period_ms, sessions, .. } = self.shape;
        let (first, last) =
            (self.rhythm.happened(from_ms), self.rhythm.happened(from_ms + period_ms));
        let part = (last - first) * i128::from(number % sessions) / i128::from(sessions);
        // A little out of order, as sessions of many users are.
        self.rhythm.when(first + part) + i64::from(self.random.below(60_000))
    }

    /// Goes through the application, page by page.
    fn walk(&mut self) {
        let Generator { random, session, times, .. } = self;
        session.actions.clear();
        let long = matches!(session.sort, Sort::Web | Sort::App) && random.chance(LONG_PPM);
        let most = match session.sort {
            _ if long => times.long.draw(random).clamp(PART_ACTIONS as u32 + 1, 700),
            Sort::Monitor => random.between(3, 14),
            Sort::Robot => random.between(1, 4),
            _ => PART_ACTIONS as u32,
        };
        let application = session.application;
        let mut page = *random.pick(application.entry);
        let mut at = session.start;
        let mut from = page;
        loop {
            let first = session.actions.is_empty();
            let kind = match session.sort {
                Sort::App | Sort::Kiosk => Type::Custom,
                _ if first || random.below(100) < 38 => Type::Load,
                _ => Type::Xhr,
            };
            let action = action(random, times, session.sort, application, kind, (page, from), at);
            let pause = match session.sort {
                Sort::Monitor | Sort::Robot => 300 + i64::from(random.below(1_500)),
                _ => 400 + i64::from(times.think.draw(random)),
            };
            at = action.end() + pause;
            let crash = action.crash;
            session.actions.push(action);
            let made = session.actions.len() as u32;
            // Some look at a page and are gone, on whatever page it was.
            let bounces = made == 1 && !long && random.below(100) < 24;
            if made >= most || crash || bounces {
                break;
            }
            from = page;
            // Requests of the page itself, without going anywhere.
            if random.below(100) < 45 {
                continue;
            }
            match next(random, application, page) {
                Some(next) => page = next,
                None if long || session.sort == Sort::Monitor => {
                    page = *random.pick(application.entry);
                }
                None => break,
            }
        }
    }
}

fn next(random: &mut Random, application: &Application, page: u8) -> Option<u8> {
    let mut left = random.below(100);
    for (share, next) in application.pages.get(usize::from(page))?.next {
        if left < *share {
            return Some(*next);
        }
        left -= share;
    }
    None
}

fn action(
    random: &mut Random,
    times: &Times,
    sort: Sort,
    application: &Application,
    kind: Type,
    (page, from): (u8, u8),
    start: i64,
) -> Action {
    let (network, server, frontend) = match kind {
        Type::Load => (&times.network, &times.server, &times.frontend),
        Type::Xhr => (&times.network, &times.server, &times.xhr_frontend),
        Type::Custom => (&times.network, &times.server, &times.custom),
    };
    let (mut network, mut server, mut frontend) =
        (network.draw(random), server.draw(random), frontend.draw(random));
    if random.chance(12_000) {
        // A bad moment of the server.
        server *= 12;
    }
    if kind == Type::Custom && random.below(100) < 30 {
        (network, server) = (0, 0);
        frontend = frontend.max(1);
    }
    let bits = random.bits();
    let few = |random: &mut Random, per_million: u32| {
        if random.chance(per_million) { 1 + u32::from(random.chance(250_000)) } else { 0 }
    };
    let web = kind != Type::Custom;
    Action {
        kind,
        page,
        from,
        start,
        network,
        server,
        frontend,
        script_errors: if web { few(random, 11_000) } else { 0 },
        request_errors: few(random, 14_000),
        custom_errors: few(random, 2_000),
        crash: sort == Sort::App && random.chance(2_500),
        rage: matches!(sort, Sort::Web | Sort::App) && random.chance(4_000),
        goal: page == application.goal.0 && page != from,
        property: bits & 7 == 0,
        bits,
    }
}

/// Returns the 32 capitals of a session's id: 14 of a number that no other session has, 18 random.
fn session_id(unique: u64, chance: u64) -> [u8; 32] {
    let mut id = [b'A'; 32];
    let (front, back) = id.split_at_mut(14);
    for (half, mut bits) in [(front, unique), (back, chance)] {
        for letter in half {
            *letter = b'A' + (bits % 26) as u8;
            bits /= 26;
        }
    }
    id
}

fn letters(mut bits: u64, base: u64, first: u8, count: usize) -> String {
    let mut text = String::with_capacity(count);
    for _ in 0..count {
        text.push(char::from(first + (bits % base) as u8));
        bits /= base;
    }
    text
}

fn blank() -> Session {
    Session {
        id: [b'A'; 32],
        tenant: 0,
        sort: Sort::Web,
        user: user(0, Sort::Web, 0, 0),
        application: &shares::APP,
        start: 0,
        end: 0,
        part: None,
        more: false,
        new_user: false,
        campaign: "",
        bits: 0,
        actions: Vec::new(),
        drift: None,
    }
}
