//! A session as a line of JSON, in each generation of the format.
//!
//! Written straight into the buffer: texts are of tables that need no escaping, numbers go through
//! itoa. Fields that a session has no value for are left out; fields that a user action has no value
//! for are null, as the exporter writes them.

mod action;
mod lists;

use super::session::{Ip, Session};
use super::shares::{self, Sort};
use super::{Format, drift};

/// Appends the document, without line feed.
pub(super) fn write(session: &Session, format: Format, tenant: &str, out: &mut Vec<u8>) {
    let mut json = Json { out, session };
    match format {
        Format::Oldest => json.oldest(),
        Format::Classic => json.document(tenant, true),
        Format::Current | Format::Mixed => json.document(tenant, false),
    }
}

struct Json<'a> {
    out: &'a mut Vec<u8>,
    session: &'a Session,
}

impl Json<'_> {
    #[inline]
    fn raw(&mut self, text: &str) -> &mut Self {
        self.out.extend_from_slice(text.as_bytes());
        self
    }

    #[inline]
    fn int(&mut self, number: impl itoa::Integer) -> &mut Self {
        let mut buffer = itoa::Buffer::new();
        self.out.extend_from_slice(buffer.format(number).as_bytes());
        self
    }

    /// Appends `before`, and a text of the tables in quotes.
    #[inline]
    fn text(&mut self, before: &str, text: &str) -> &mut Self {
        self.raw(before).raw("\"").raw(text).raw("\"")
    }

    /// Appends `before` and a text in quotes, or nothing when there is no text.
    #[inline]
    fn some(&mut self, before: &str, text: &str) -> &mut Self {
        if text.is_empty() { self } else { self.text(before, text) }
    }

    #[inline]
    fn flag(&mut self, before: &str, flag: bool) -> &mut Self {
        self.raw(before).raw(if flag { "true" } else { "false" })
    }

    fn id(&mut self) -> &mut Self {
        self.out.extend_from_slice(&self.session.id);
        self.raw("-0")
    }

    fn hex(&mut self, number: u64) -> &mut Self {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        for shift in (0..16).rev() {
            self.out.push(DIGITS[(number >> (shift * 4) & 15) as usize]);
        }
        self
    }

    fn has(&self, oddity: u32) -> bool {
        self.session.drift == Some(oddity)
    }

    fn oldest(&mut self) {
        let session = self.session;
        self.raw("{\"visitorId\":\"").hex(session.user.id).raw("\",\"visitId\":\"").id();
        self.raw("\",\"startTime\":").int(session.start);
        self.raw(",\"endTime\":").int(session.end);
        self.text(",\"visitType\":", session.user_type());
        if session.drift.is_some() {
            self.raw(",\"visitRating\":").int(session.bits % 5);
        }
        self.raw("}");
    }

    fn document(&mut self, tenant: &str, classic: bool) {
        self.head(tenant, classic);
        self.who(classic);
        self.properties(classic);
        self.raw(",\"userActions\":[");
        let session = self.session;
        for (number, action) in session.actions.iter().enumerate() {
            self.raw(if number == 0 { "" } else { "," });
            match classic {
                true => self.classic_action(action),
                false => self.action(action, number == 0),
            }
        }
        self.raw("]");
        self.events();
        self.errors();
        if !classic {
            self.monitor_steps();
            self.text(",\"endReason\":", session.end_reason());
            self.raw(",\"numberOfRageClicks\":");
            self.int(if session.sort == Sort::App { 0 } else { session.rages() });
            if session.sort == Sort::App {
                self.raw(",\"numberOfRageTaps\":").int(session.rages());
            }
            self.text(",\"userExperienceScore\":", session.experience());
            self.flag(",\"hasError\":", session.errors() > 0);
        }
        if self.has(drift::NEW_FIELD) {
            self.raw(",\"consentState\":\"granted\"");
        }
        if self.has(drift::NEW_OBJECT) {
            self.raw(",\"experiment\":{\"name\":\"late offers\",\"weights\":[1,2.5],\"on\":true}");
        }
        self.raw("}");
    }

    fn head(&mut self, tenant: &str, classic: bool) {
        let session = self.session;
        self.text("{\"tenantId\":", tenant).raw(",\"userSessionId\":\"").id().raw("\"");
        if let Some(part) = session.part.filter(|_| !classic) {
            self.raw(",\"partNumber\":").int(part);
        }
        self.raw(",\"startTime\":").int(session.start).raw(",\"endTime\":");
        if self.has(drift::ISO_END) {
            self.raw("\"2026-11-23T10:00:00.000Z\"");
        } else {
            self.int(session.end);
        }
        self.raw(",\"duration\":");
        let quote = if self.has(drift::TEXT_DURATION) { "\"" } else { "" };
        self.raw(quote).int(session.end - session.start).raw(quote);
        self.raw(",\"internalUserId\":\"").hex(session.user.id).raw("\"");
        if let Some((name, number)) = session.user.name {
            self.raw(",\"userId\":\"").raw(name).raw(".").int(number);
            self.raw("@mail.example\"");
        }
        self.text(",\"userType\":", session.user_type());
        self.text(",\"applicationType\":", session.application_type());
        if self.has(drift::NUMBER_BOUNCE) {
            self.raw(",\"bounce\":").int(u8::from(session.bounce()));
        } else {
            self.flag(",\"bounce\":", session.bounce());
        }
        self.flag(",\"newUser\":", session.new_user);
        self.raw(",\"userActionCount\":").int(session.actions.len());
        if self.has(drift::FRACTION_COUNT) {
            self.raw(".5");
        }
        self.raw(",\"totalErrorCount\":").int(session.errors());
        if !classic {
            let credit = u8::from(session.sort != Sort::Monitor && session.sort != Sort::Robot);
            self.raw(",\"totalLicenseCreditCount\":").int(credit);
            self.raw(",\"matchingConversionGoals\":[");
            if session.goal() {
                self.text("", session.application.goal.1);
            }
            self.raw("],\"matchingConversionGoalsCount\":").int(u8::from(session.goal()));
        }
        self.raw(",\"ip\":\"").ip(session.user.ip).raw("\"");
    }

    fn who(&mut self, classic: bool) {
        let session = self.session;
        let (user, place, device) = (&session.user, session.user.place, session.user.device);
        let names: [&str; 6] = match classic {
            true => [
                ",\"geolocationContinentName\":",
                ",\"geolocationCountryName\":",
                ",\"geolocationRegionName\":",
                ",\"geolocationCityName\":",
                ",\"osFamilyName\":",
                ",\"osVersionName\":",
            ],
            false => [
                ",\"continent\":",
                ",\"country\":",
                ",\"region\":",
                ",\"city\":",
                ",\"osFamily\":",
                ",\"osVersion\":",
            ],
        };
        self.text(names[0], place.continent).text(names[1], place.country);
        self.text(names[2], place.region).text(names[3], place.city);
        self.some(",\"browserType\":", device.browser_type);
        self.some(",\"browserFamily\":", device.browser);
        self.some(",\"browserMajorVersion\":", device.version);
        self.text(names[4], device.os).text(names[5], device.os_version);
        self.some(",\"manufacturer\":", device.manufacturer);
        self.some(",\"device\":", device.device);
        // A telephone is held upright, mostly.
        let upright = device.mobile() && session.sort != Sort::Kiosk && session.bits >> 8 & 15 != 0;
        let (width, height) = match upright {
            true => (device.width.min(device.height), device.width.max(device.height)),
            false => (device.width, device.height),
        };
        self.raw(",\"screenHeight\":").int(height).raw(",\"screenWidth\":");
        let quote = if self.has(drift::TEXT_WIDTH) { "\"" } else { "" };
        self.raw(quote).int(width).raw(quote);
        let orientation = if upright { "PORTRAIT" } else { "LANDSCAPE" };
        self.text(",\"screenOrientation\":", orientation);
        self.text(",\"displayResolution\":", device.resolution);
        self.text(",\"isp\":", user.provider);
        let app = session.sort == Sort::App;
        if app || classic {
            self.flag(",\"hasCrash\":", session.crashed());
        }
        if app {
            self.text(",\"appVersion\":", app_version(session));
            self.flag(",\"rootedOrJailbroken\":", session.user.id & 127 == 0);
            self.text(",\"carrier\":", user.carrier);
            if !user.wifi {
                let network = &shares::NETWORKS[(session.bits % 3) as usize].1;
                self.text(",\"networkTechnology\":", network);
            }
        }
        if classic {
            return;
        }
        self.text(",\"clientType\":", device.client);
        let connection = match session.sort {
            Sort::Monitor | Sort::Robot => "UNKNOWN",
            Sort::Kiosk => "LAN",
            _ if !device.mobile() => "UNKNOWN",
            _ if user.wifi => "WIFI",
            _ => "MOBILE",
        };
        self.text(",\"connectionType\":", connection);
        if app && session.crashed() {
            self.raw(",\"crashGroupId\":\"").hex(session.bits >> 40).raw("\"");
        }
        match session.sort {
            Sort::Monitor => {
                let number = session.user.id % 12;
                self.raw(",\"browserMonitorId\":\"SYNTHETIC_TEST-").hex(number * 0x1f35_c9a1_77e3);
                self.raw("\",\"browserMonitorName\":\"").raw(session.application.name);
                self.raw(" - way to the goal ").int(number).raw("\"");
            }
            Sort::Web => {
                self.raw(",\"clientTimeOffset\":").int((session.bits >> 16) as i16 / 20);
            }
            _ => {}
        }
        self.replay();
    }

    fn replay(&mut self) {
        let session = self.session;
        let recorded = session.sort == Sort::Web && session.bits >> 32 & 7 == 0;
        self.flag(",\"hasSessionReplay\":", recorded);
        if recorded {
            self.raw(",\"replayStart\":").int(session.start);
            self.raw(",\"replayEnd\":").int(session.end);
        } else if session.sort == Sort::Web {
            self.raw(",\"reasonForNoSessionReplay\":\"COST_CONTROL\"");
        } else if session.sort == Sort::App {
            self.raw(",\"reasonForNoSessionReplayMobile\":\"NOT_ENABLED\"");
        }
    }

    fn ip(&mut self, ip: Ip) -> &mut Self {
        match ip {
            Ip::V4([a, b, c, d]) => {
                self.int(a).raw(".").int(b).raw(".").int(c).raw(".").int(d);
            }
            Ip::V6(groups) => {
                for (number, group) in groups.into_iter().enumerate() {
                    self.raw(if number == 0 { "" } else { ":" });
                    let digits = (16 - group.leading_zeros()).div_ceil(4).max(1);
                    for digit in (0..digits).rev() {
                        self.out.push(b"0123456789abcdef"[usize::from(group >> (digit * 4) & 15)]);
                    }
                }
            }
        }
        self
    }

    fn properties(&mut self, classic: bool) {
        let session = self.session;
        let real = matches!(session.sort, Sort::Web | Sort::App);
        // Euro and cents of what was bought.
        let spent = 1_000 + session.bits % 400_000;
        // Noon of a day in the last ten years before the session, in milliseconds.
        let since = (session.start / 86_400_000 - (session.user.id % 3_600) as i64) * 86_400_000;
        if classic {
            self.raw(",\"stringTags\":{");
            if real {
                self.text("\"plan\":", session.user.plan);
                self.text(",\"campaign\":", session.campaign);
            }
            self.raw("},\"numTags\":{");
            if session.goal() {
                self.raw("\"basket\":").cents(spent);
            }
            self.raw("},\"dateTags\":{");
            if session.user.name.is_some() {
                self.raw("\"memberSince\":").int(since);
            }
            self.raw("}");
            return;
        }
        let ids = |json: &mut Self| {
            json.text(",\"applicationId\":", session.application.name);
            json.text(",\"internalApplicationId\":", session.application.id).raw("}");
        };
        self.raw(",\"stringProperties\":[");
        if real {
            self.text("{\"key\":\"plan\",\"value\":", session.user.plan);
            ids(self);
            self.text(",{\"key\":\"campaign\",\"value\":", session.campaign);
            ids(self);
        }
        self.raw("],\"longProperties\":[");
        if real {
            self.raw("{\"key\":\"searchResults\",\"value\":").int(session.bits >> 20 & 63);
            ids(self);
        }
        self.raw("],\"doubleProperties\":[");
        if session.goal() {
            self.raw("{\"key\":\"basket\",\"value\":").cents(spent);
            ids(self);
        }
        self.raw("],\"dateProperties\":[");
        if session.user.name.is_some() {
            let date = chrono::DateTime::from_timestamp_millis(since).unwrap_or_default();
            self.text("{\"key\":\"memberSince\",\"value\":", &date.format("%F").to_string());
            ids(self);
        }
        self.raw("]");
    }

    fn cents(&mut self, cents: u64) -> &mut Self {
        let (whole, part) = (cents / 100, cents % 100);
        self.int(whole).raw(if part < 10 { ".0" } else { "." }).int(part)
    }

    #[inline]
    fn maybe(&mut self, number: Option<u32>) -> &mut Self {
        match number {
            Some(number) => self.int(number),
            None => self.raw("null"),
        }
    }
}

fn app_version(session: &Session) -> &'static str {
    // Two of three are on the newest.
    let place = match session.user.id % 6 {
        0 => 2,
        1 => 1,
        _ => 0,
    };
    shares::APP_VERSIONS[place].1
}
