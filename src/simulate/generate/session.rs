//! One session as numbers and places in tables, before it is written in any of the forms.
//!
//! Invariants of every session, which are tested:
//! ```text
//!  startTime ≤ every action's startTime        duration  = endTime − startTime
//!  endTime   = the last action's endTime       action    : network + server + frontend = duration
//!  totalErrorCount = entries of errors          bounce    = one action
//! ```

use super::shares::{self, Application, Device, Location, Sort};

/// Most user actions of one session; actions past them are in the next part.
pub(crate) const PART_ACTIONS: usize = 200;

/// A user action's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Load,
    Xhr,
    Custom,
}

/// One user action. Times in milliseconds; `start` since the epoch.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    pub(crate) kind: Type,
    /// Number of the page it leads to, and of the one it came from.
    pub(crate) page: u8,
    pub(crate) from: u8,
    pub(crate) start: i64,
    pub(crate) network: u32,
    pub(crate) server: u32,
    pub(crate) frontend: u32,
    pub(crate) script_errors: u32,
    pub(crate) request_errors: u32,
    pub(crate) custom_errors: u32,
    pub(crate) crash: bool,
    pub(crate) rage: bool,
    pub(crate) goal: bool,
    /// True for an action that has an action property.
    pub(crate) property: bool,
    /// Random bits for values that depend on nothing else.
    pub(crate) bits: u64,
}

impl Action {
    pub(crate) fn duration(&self) -> i64 {
        i64::from(self.network) + i64::from(self.server) + i64::from(self.frontend)
    }

    pub(crate) fn end(&self) -> i64 {
        self.start + self.duration()
    }

    pub(crate) fn errors(&self) -> u32 {
        self.script_errors + self.request_errors + self.custom_errors
    }

    /// Returns the Apdex rating: by thresholds of 3 s and 12 s for a page, a quarter less for an
    /// action on it; frustrated with an error; unknown without a request.
    pub(crate) fn apdex(&self) -> &'static str {
        let satisfied = if self.kind == Type::Load { 3_000 } else { 2_250 };
        match self.duration() {
            _ if self.network + self.server == 0 && !self.crash => "UNKNOWN",
            _ if self.errors() > 0 || self.crash => "FRUSTRATED",
            duration if duration <= satisfied => "SATISFIED",
            duration if duration <= 4 * satisfied => "TOLERATING",
            _ => "FRUSTRATED",
        }
    }
}

/// The user of a session: the same user comes back with the same of all this.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) id: u64,
    pub(crate) place: &'static Location,
    pub(crate) device: &'static Device,
    pub(crate) provider: &'static str,
    pub(crate) carrier: &'static str,
    pub(crate) wifi: bool,
    /// The name that the user signs in with, and its number; none for a user who does not sign in.
    pub(crate) name: Option<(&'static str, u32)>,
    pub(crate) plan: &'static str,
    pub(crate) ip: Ip,
}

/// An address as it is written.
#[derive(Clone, Copy)]
pub(crate) enum Ip {
    V4([u8; 4]),
    V6([u16; 8]),
}

/// One session, or a part of one.
#[derive(Clone)]
pub(crate) struct Session {
    /// Letters of `userSessionId`; unique in a run.
    pub(crate) id: [u8; 32],
    /// Number of the tenant.
    pub(crate) tenant: u32,
    pub(crate) sort: Sort,
    pub(crate) user: User,
    pub(crate) application: &'static Application,
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Number of the part of a session that was split, from 1; none for a whole session.
    pub(crate) part: Option<u32>,
    /// True when more parts follow.
    pub(crate) more: bool,
    pub(crate) new_user: bool,
    pub(crate) campaign: &'static str,
    pub(crate) bits: u64,
    pub(crate) actions: Vec<Action>,
    /// The drift of the documents of this session, if any.
    pub(crate) drift: Option<u32>,
}

impl Session {
    pub(crate) fn errors(&self) -> u32 {
        self.actions.iter().map(|action| action.errors() + u32::from(action.crash)).sum()
    }

    pub(crate) fn crashed(&self) -> bool {
        self.actions.iter().any(|action| action.crash)
    }

    pub(crate) fn rages(&self) -> u32 {
        self.actions.iter().filter(|action| action.rage).count() as u32
    }

    pub(crate) fn goal(&self) -> bool {
        self.actions.iter().any(|action| action.goal)
    }

    pub(crate) fn bounce(&self) -> bool {
        self.actions.len() == 1 && self.part.is_none()
    }

    pub(crate) fn user_type(&self) -> &'static str {
        match self.sort {
            Sort::Monitor => "SYNTHETIC",
            Sort::Robot => "ROBOT",
            _ => "REAL_USER",
        }
    }

    pub(crate) fn application_type(&self) -> &'static str {
        match self.sort {
            Sort::App => "MOBILE_APPLICATION",
            Sort::Kiosk => "CUSTOM_APPLICATION",
            _ => "WEB_APPLICATION",
        }
    }

    /// Returns the user experience: by the share of frustrated actions; a crash or rage always frustrates.
    pub(crate) fn experience(&self) -> &'static str {
        if self.sort == Sort::Robot {
            return "UNDEFINED";
        }
        let frustrated =
            self.actions.iter().filter(|action| action.apdex() == "FRUSTRATED").count();
        match frustrated * 100 / self.actions.len().max(1) {
            _ if self.crashed() || self.rages() > 0 => "FRUSTRATED",
            0..10 => "SATISFIED",
            10..40 => "TOLERATED",
            _ => "FRUSTRATED",
        }
    }

    pub(crate) fn end_reason(&self) -> &'static str {
        match self.sort {
            _ if self.more => "USER_ACTION_LIMIT",
            Sort::Monitor if self.errors() > 3 => "TEST_FAILED",
            Sort::Monitor => "END_EVENT",
            _ => match self.bits & 31 {
                0..=23 => "TIMEOUT",
                24..=29 => "END_EVENT",
                30 => "EXTENDED_TIMEOUT",
                _ => "DURATION_LIMIT",
            },
        }
    }

    pub(crate) fn page(&self, number: u8) -> &'static shares::Page {
        let pages = self.application.pages;
        pages.get(usize::from(number)).unwrap_or(&pages[0])
    }
}
