//! Budgets of memory that fit in what the system lets this process have.

use crate::cgroup;
use crate::config::list;
use crate::config::value::show_size;
use crate::http;
use crate::server::Settings;

/// Lowers budgets that nobody has set to what fits in the limit of the control group, if there is one that
/// they do not fit in. What was set stays as it is.
pub(super) fn fit(settings: &mut Settings) {
    if let Some(limit_bytes) = cgroup::memory_limit() {
        fit_in(settings, limit_bytes);
    }
}

fn fit_in(settings: &mut Settings, limit_bytes: u64) {
    let Some(budgets) = cgroup::budgets(limit_bytes) else { return };
    let shown = settings.shown.list();
    let is_set = |key: &str| shown.iter().any(|one| one.key == key && one.origin != "default");
    if !is_set(list::MEMORY.key) {
        // A line is a quarter of it at most.
        let lines = settings.tables.iter().filter_map(|table| table.line_limit_bytes);
        let rows = budgets.rows_bytes.max(lines.max().unwrap_or_default() * 4);
        settings.roll.memory_bytes = settings.roll.memory_bytes.min(rows);
    }
    let of_rows = settings.roll.memory_bytes;
    settings.roll.row_group_bytes = settings.roll.row_group_bytes.min(of_rows);
    settings.http.body_memory_bytes = settings.http.body_memory_bytes.min(budgets.bodies_bytes);
    if !is_set(list::INFLATED_LIMIT.key) {
        for endpoint in &mut settings.http.endpoints {
            // That of the setting; a section may have one of its own.
            if endpoint.inflated_limit_bytes != INFLATED_DEFAULT {
                continue;
            }
            // What a body needs besides depends on the form of the endpoint.
            while http::body_memory_bytes(endpoint) > budgets.bodies_bytes
                && endpoint.inflated_limit_bytes > endpoint.body_limit_bytes
            {
                let less = endpoint.inflated_limit_bytes - (1 << 20);
                endpoint.inflated_limit_bytes = less.max(endpoint.body_limit_bytes);
            }
        }
    }
}

/// The default of the setting `inflated_limit`.
const INFLATED_DEFAULT: u64 = 256 << 20;

/// Tells of budgets that were lowered, and warns of those that do not fit.
pub(super) fn tell(settings: &Settings) {
    let Some(limit) = cgroup::memory_limit() else { return };
    let (rows, bodies) = (settings.roll.memory_bytes, settings.http.memory_bytes());
    if bodies < http::BODY_MEMORY_BYTES {
        let inflated = settings.http.endpoints.iter().map(|one| one.inflated_limit_bytes).max();
        tracing::warn!(
            "the system ends this process past {} of memory (the limit of its control group), and it is \
             made for {} at least: it makes do with {} for rows (memory), {} for bodies that are being \
             received, and bodies of {} once inflated (inflated_limit); raise the limit for more",
            show_size(limit),
            show_size(cgroup::FLOOR_BYTES),
            show_size(rows),
            show_size(bodies),
            show_size(inflated.unwrap_or_default())
        );
    }
    if let Some(misfit) = cgroup::misfit(limit, rows, bodies) {
        tracing::warn!("{misfit}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment, Flags};

    fn fitted(toml: &str, limit_mib: u64) -> (u64, u64, u64, u64) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.toml");
        std::fs::write(&file, toml).unwrap();
        let environment = Environment::new([("SESSIONLAKE_CONFIG", file.as_os_str())]);
        let mut settings = config::serve(&Flags::default(), &environment).unwrap().settings;
        fit_in(&mut settings, limit_mib << 20);
        let mib = |bytes: u64| bytes >> 20;
        (
            mib(settings.roll.memory_bytes),
            mib(settings.roll.row_group_bytes),
            mib(settings.http.memory_bytes()),
            mib(settings.http.endpoints[0].inflated_limit_bytes),
        )
    }

    #[test]
    fn what_nobody_has_set_fits_in_the_limit_and_what_was_set_stays() {
        assert_eq!(INFLATED_DEFAULT, config::value::size("256MiB", 0, u64::MAX).unwrap());
        assert_eq!(fitted("", 2048), (256, 128, 272, 256));
        assert_eq!(fitted("", 512), (256, 128, 272, 256));
        assert_eq!(fitted("", 300), (75, 75, 75, 58));
        assert_eq!(fitted("", 100), (64, 64, 48, 32));
        assert_eq!(fitted("memory = \"200MiB\"\n", 300), (200, 128, 75, 58));
        assert_eq!(fitted("inflated_limit = \"90MiB\"\n", 300), (75, 75, 106, 90));
        let section = "[[endpoint]]\ninflated_limit = \"100MiB\"\n";
        assert_eq!(fitted(section, 300), (75, 75, 116, 100));
    }
}
