//! User actions, current and classic.

use super::super::drift;
use super::super::session::{Action, Type};
use super::super::shares::Sort;
use super::Json;

impl Json<'_> {
    /// Writes the members `"name":…,"domain":…,"targetUrl":…,"type":…`.
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

    pub(super) fn action(&mut self, action: &Action, first: bool) {
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

    pub(super) fn classic_action(&mut self, action: &Action) {
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

    /// Writes all times between `networkTime` and `visuallyCompleteTime`.
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
}

/// Times of the events during a user action, in milliseconds after its start; in this order:
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
