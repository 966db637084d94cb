//! A session as a line of JSON, in each generation of the format.
//!
//! Written straight into the buffer: texts are of tables that need no escaping, numbers go through
//! itoa. Fields that a session has no value for are left out; fields that a user action has no value
//! for are null, as the exporter writes them.

use super::session::{Action, Ip, Session, Type};
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

    /// `before`, a text of the tables in quotes.
    #[inline]
    fn text(&mut self, before: &str, text: &str) -> &mut Self {
        self.raw(before).raw("\"").raw(text).raw("\"")
    }

    /// The same, left out when there is no text.
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
            self.text(",\"appVersion\":", self_version(session));
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

    /// `"name":…,"domain":…,"targetUrl":…,"type":…`
    fn what(&mut self, action: &Action, classic: bool) {
        let session = self.session;
        let application = session.application;
        let (page, from) = (session.page(action.page), session.page(action.from));
        self.raw("{\"name\":\"");
        match action.kind {
            Type::Load => self.raw("loading of page ").raw(page.path),
            Type::Xhr => {
                self.raw("click on \\\"").raw(page.label).raw("\\\" on page ").raw(from.path)
            }
            Type::Custom => self.raw("Touch on ").raw(page.label),
        };
        if !classic {
            self.text("\",\"domain\":", application.domain);
            self.raw(",\"targetUrl\":\"https://").raw(application.domain);
            self.raw(if action.kind == Type::Custom { "/v2/" } else { "" }).raw(page.path);
            self.raw("?item=").int(action.bits >> 32 & 0xf_ffff);
            self.raw("&lang=").raw(if action.bits & 64 == 0 { "en" } else { "de" });
        }
        self.raw("\",\"type\":").raw(match action.kind {
            Type::Load => "\"Load\"",
            Type::Xhr => "\"Xhr\"",
            Type::Custom => "\"Custom\"",
        });
        self.raw(",\"startTime\":").int(action.start).raw(",\"endTime\":").int(action.end());
        self.raw(",\"duration\":").int(action.duration());
        self.text(",\"application\":", application.name);
    }

    fn action(&mut self, action: &Action, first: bool) {
        let session = self.session;
        let application = session.application;
        let key = action.page == application.key.0;
        self.what(action, false);
        self.text(",\"internalApplicationId\":", application.id);
        if key {
            self.text(",\"internalKeyUserActionId\":", application.key.1);
        } else {
            self.raw(",\"internalKeyUserActionId\":null");
        }
        let times = Timeline::of(action);
        self.raw(",\"speedIndex\":").maybe(times.speed_index);
        self.text(",\"apdexCategory\":", action.apdex());
        self.raw(",\"matchingConversionGoals\":[");
        if action.goal {
            self.text("", application.goal.1);
        }
        self.raw("],\"networkTime\":");
        let quote = if first && self.has(drift::TEXT_NETWORK) { "\"" } else { "" };
        self.raw(quote).int(action.network).raw(quote);
        self.times(action, &times);
        if session.sort == Sort::Monitor {
            self.raw(",\"syntheticEvent\":\"").step(action).raw("\",\"syntheticEventId\":\"");
            self.step_id(action).raw("\"");
        } else {
            self.raw(",\"syntheticEvent\":null,\"syntheticEventId\":null");
        }
        self.flag(",\"keyUserAction\":", key);
        self.raw(",\"stringProperties\":[");
        if action.property {
            self.raw("{\"key\":\"sorting\",\"value\":");
            self.raw(if action.bits & 8 == 0 { "\"price\"}" } else { "\"departure\"}" });
        }
        self.raw("],\"longProperties\":[],\"doubleProperties\":[],\"dateProperties\":[]");
        self.raw(",\"userActionPropertyCount\":").int(u8::from(action.property));
        self.raw(",\"customErrorCount\":").int(action.custom_errors);
        self.raw(",\"javascriptErrorCount\":").int(action.script_errors);
        self.raw(",\"requestErrorCount\":").int(action.request_errors);
        self.raw(",\"largestContentfulPaint\":").maybe(times.largest_paint);
        if action.kind == Type::Load {
            self.raw(",\"firstInputDelay\":").int(1 + (action.bits >> 48 & 31));
            self.raw(",\"totalBlockingTime\":").int(action.frontend / 6);
            let shift = action.bits >> 40 & 0xfff;
            self.raw(",\"cumulativeLayoutShift\":0.").raw(match shift {
                0..10 => "000",
                10..100 => "00",
                100..1000 => "0",
                _ => "",
            });
            self.int(shift);
        } else {
            self.raw(",\"firstInputDelay\":null,\"totalBlockingTime\":null");
            self.raw(",\"cumulativeLayoutShift\":null");
        }
        if first && self.has(drift::NEW_ACTION_FIELD) {
            self.raw(",\"interactionToNextPaint\":").int(action.bits & 511);
        }
        self.raw("}");
    }

    fn classic_action(&mut self, action: &Action) {
        self.what(action, true);
        let times = Timeline::of(action);
        self.raw(",\"speedIndex\":").maybe(times.speed_index);
        self.raw(",\"errorCount\":").int(action.errors());
        self.text(",\"apdexCategory\":", action.apdex());
        self.raw(",\"networkTime\":").int(action.network);
        self.times(action, &times);
        let web = action.kind != Type::Custom;
        let failed = action.request_errors;
        self.raw(",\"failedImages\":").maybe(web.then_some(failed / 2));
        self.raw(",\"failedXhrRequests\":").maybe(web.then_some(failed - failed / 2));
        self.raw(",\"httpRequestsWithErrors\":").maybe(web.then_some(failed));
        self.flag(",\"hasCrash\":", action.crash).raw("}");
    }

    /// Everything timed between `networkTime` and `visuallyCompleteTime`.
    fn times(&mut self, action: &Action, times: &Timeline) {
        self.raw(",\"serverTime\":").int(action.server);
        self.raw(",\"frontendTime\":").int(action.frontend);
        self.raw(",\"documentInteractiveTime\":").maybe(times.interactive);
        if action.kind == Type::Custom {
            self.raw(
                ",\"thirdPartyResources\":null,\"thirdPartyBusyTime\":null,\"cdnResources\":null,\
                 \"cdnBusyTime\":null,\"firstPartyResources\":null,\"firstPartyBusyTime\":null",
            );
        } else {
            let load = action.kind == Type::Load;
            let (third, cdn, own) = match load {
                true => (action.bits >> 4 & 31, action.bits >> 9 & 7, 5 + (action.bits >> 12 & 63)),
                false => (action.bits >> 4 & 3, 0, 1 + (action.bits >> 12 & 3)),
            };
            let busy = |count: u64, part: u32| (count > 0).then_some(action.frontend / part);
            self.raw(",\"thirdPartyResources\":").int(third);
            self.raw(",\"thirdPartyBusyTime\":").maybe(busy(third, 3));
            self.raw(",\"cdnResources\":").int(cdn);
            self.raw(",\"cdnBusyTime\":").maybe(busy(cdn, 5));
            self.raw(",\"firstPartyResources\":").int(own);
            self.raw(",\"firstPartyBusyTime\":").maybe(busy(own, 2));
        }
        self.raw(",\"domCompleteTime\":").maybe(times.complete);
        self.raw(",\"domContentLoadedTime\":").maybe(times.content_loaded);
        self.raw(",\"loadEventStart\":").maybe(times.complete);
        self.raw(",\"loadEventEnd\":").maybe(times.load_end);
        match times.navigation {
            Some(start) => self.raw(",\"navigationStart\":").int(start),
            None => self.raw(",\"navigationStart\":null"),
        };
        self.raw(",\"requestStart\":").maybe(times.request_start);
        self.raw(",\"responseStart\":").maybe(times.response_start);
        self.raw(",\"responseEnd\":").maybe(times.response_end);
        self.raw(",\"visuallyCompleteTime\":").maybe(times.visually_complete);
    }

    #[inline]
    fn maybe(&mut self, number: Option<u32>) -> &mut Self {
        match number {
            Some(number) => self.int(number),
            None => self.raw("null"),
        }
    }

    fn step(&mut self, action: &Action) -> &mut Self {
        let page = self.session.page(action.page);
        match action.kind {
            Type::Load => self.raw("navigate to ").raw(page.path),
            _ => self.raw("click on \\\"").raw(page.label).raw("\\\""),
        }
    }

    fn step_id(&mut self, action: &Action) -> &mut Self {
        let id = super::mix(u64::from(action.page) << 8 | action.kind as u64);
        self.raw("SYNTHETIC_TEST_STEP-").hex(id)
    }

    /// The application, as entries of lists name it.
    fn belongs(&mut self) {
        let application = self.session.application;
        self.text(",\"application\":", application.name);
        self.text(",\"internalApplicationId\":", application.id);
        self.text(",\"domain\":", application.domain);
    }

    fn events(&mut self) {
        let session = self.session;
        if self.has(drift::OBJECT_EVENTS) {
            self.raw(",\"events\":{\"count\":").int(session.actions.len()).raw("}");
            return;
        }
        let mut comma = "";
        self.raw(",\"events\":[");
        if let Some((name, number)) = session.user.name {
            self.raw("{\"type\":\"UserTag\",\"name\":\"").raw(name).raw(".").int(number);
            self.raw("@mail.example\",\"startTime\":").int(session.start);
            self.belongs();
            self.raw("}");
            comma = ",";
        }
        let mut before = None;
        for action in &session.actions {
            let page = session.page(action.page);
            if action.kind == Type::Load && before != Some(action.page) {
                self.raw(comma).raw("{\"type\":\"PageChange\",\"name\":\"").raw(page.path);
                self.raw("\",\"startTime\":").int(action.start);
                self.belongs();
                self.text(",\"page\":", page.path).text(",\"pageGroup\":", page.path);
                if let Some(before) = before {
                    self.text(",\"pageReferrer\":", session.page(before).path);
                }
                self.raw("}");
                comma = ",";
                before = Some(action.page);
            }
            if action.rage {
                let app = session.sort == Sort::App;
                self.raw(comma).raw("{\"type\":").raw(if app {
                    "\"RageTap\""
                } else {
                    "\"RageClick\""
                });
                self.text(",\"name\":", page.label);
                self.raw(",\"startTime\":").int(action.start);
                self.belongs();
                self.raw("}");
                comma = ",";
            }
        }
        self.raw("]");
    }

    fn errors(&mut self) {
        let session = self.session;
        let mut comma = "";
        self.raw(",\"errors\":[");
        for action in &session.actions {
            let kinds = [
                (action.script_errors, "JavaScript", shares::SCRIPT_ERRORS),
                (action.request_errors, "Request", shares::REQUEST_ERRORS),
                (action.custom_errors, "Custom", &[(1, "Booking refused: seat taken")]),
                (u32::from(action.crash), "Crash", shares::CRASHES),
            ];
            for (count, kind, names) in kinds {
                for number in 0..count {
                    let bits = (action.bits >> 24) + u64::from(number);
                    let name = names[(bits % names.len() as u64) as usize].1;
                    self.raw(comma);
                    self.text("{\"type\":", kind).text(",\"name\":", name);
                    self.raw(",\"startTime\":").int(action.end());
                    self.belongs();
                    self.raw("}");
                    comma = ",";
                }
            }
        }
        self.raw("]");
    }

    fn monitor_steps(&mut self) {
        let session = self.session;
        self.raw(",\"syntheticEvents\":[");
        if session.sort == Sort::Monitor {
            for (number, action) in session.actions.iter().enumerate() {
                self.raw(if number == 0 { "{\"name\":\"" } else { ",{\"name\":\"" }).step(action);
                self.raw("\",\"syntheticEventId\":\"").step_id(action);
                self.raw("\",\"sequenceNumber\":").int(number + 1);
                self.raw(",\"timestamp\":").int(action.start).raw(",\"type\":");
                self.raw(if action.kind == Type::Load { "\"navigate\"" } else { "\"click\"" });
                if action.request_errors > 0 {
                    self.raw(",\"errorCode\":500,\"errorName\":\"Internal Server Error\"");
                }
                self.raw("}");
            }
        }
        self.raw("]");
    }
}

fn self_version(session: &Session) -> &'static str {
    // Two of three are on the newest.
    let place = match session.user.id % 6 {
        0 => 2,
        1 => 1,
        _ => 0,
    };
    shares::APP_VERSIONS[place].1
}

/// What happened when during a user action, in milliseconds after its start; in this order:
/// ```text
///  request start ≤ response start ≤ response end = network + server
///  ≤ interactive ≤ content loaded ≤ complete ≤ load end = duration
/// ```
#[derive(Default)]
struct Timeline {
    navigation: Option<i64>,
    request_start: Option<u32>,
    response_start: Option<u32>,
    response_end: Option<u32>,
    interactive: Option<u32>,
    content_loaded: Option<u32>,
    complete: Option<u32>,
    load_end: Option<u32>,
    speed_index: Option<u32>,
    largest_paint: Option<u32>,
    visually_complete: Option<u32>,
}

impl Timeline {
    fn of(action: &Action) -> Timeline {
        let (network, server, frontend) = (action.network, action.server, action.frontend);
        let request = Timeline {
            navigation: Some(action.start),
            request_start: Some(network / 2),
            response_start: Some(network / 2 + server),
            response_end: Some(network + server),
            ..Timeline::default()
        };
        let after = |part: u32| {
            Some(network + server + (u64::from(frontend) * u64::from(part) / 100) as u32)
        };
        match action.kind {
            Type::Custom => Timeline::default(),
            Type::Xhr => Timeline { visually_complete: after(90), ..request },
            Type::Load => Timeline {
                interactive: after(40),
                content_loaded: after(48),
                complete: after(88),
                load_end: after(100),
                speed_index: after(55),
                largest_paint: after(62),
                visually_complete: after(80),
                ..request
            },
        }
    }
}
