//! The lists beside the user actions: events, errors, steps of monitors.

use super::super::session::{Action, Type};
use super::super::shares::{self, Sort};
use super::super::{drift, mix};
use super::Json;

impl Json<'_> {
    pub(super) fn step(&mut self, action: &Action) -> &mut Self {
        let page = self.session.page(action.page);
        match action.kind {
            Type::Load => self.raw("navigate to ").raw(page.path),
            _ => self.raw("click on \\\"").raw(page.label).raw("\\\""),
        }
    }

    pub(super) fn step_id(&mut self, action: &Action) -> &mut Self {
        let id = mix(u64::from(action.page) << 8 | action.kind as u64);
        self.raw("SYNTHETIC_TEST_STEP-").hex(id)
    }

    /// Writes the application, as entries of lists name it.
    pub(super) fn belongs(&mut self) {
        let application = self.session.application;
        self.text(",\"application\":", application.name);
        self.text(",\"internalApplicationId\":", application.id);
        self.text(",\"domain\":", application.domain);
    }

    pub(super) fn events(&mut self) {
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

    pub(super) fn errors(&mut self) {
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

    pub(super) fn monitor_steps(&mut self) {
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
