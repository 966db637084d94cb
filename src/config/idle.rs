//! Settings that are given and have no effect, since the setting that they go with is not.

use super::layers::Layers;
use super::list::{self, Setting};
use super::source::Source;
use crate::server;

/// Returns a sentence about each setting that somebody gave and that `settings` do not use.
pub(super) fn warnings(settings: &server::Settings, layers: &Layers) -> Vec<String> {
    let tables = &settings.tables;
    let pairs = [
        (&list::FLAT_COLUMNS, &list::FLAT_TABLES, tables.iter().any(|t| t.rows.parent().is_some())),
        (&list::PROMOTE_AFTER, &list::PROMOTE, !settings.promote_after.is_empty()),
        (&list::DEDUP_MAX_ROWS, &list::DEDUP, tables.iter().any(|t| t.dedup_window_ms.is_some())),
        (&list::VERIFY_WINDOW, &list::VERIFY_EVERY, settings.verify_every.is_some()),
    ];
    let idle = pairs.into_iter().filter(|(_, _, is_used)| !is_used);
    idle.filter_map(|(setting, of, _)| warning(layers, setting, of)).collect()
}

fn warning(layers: &Layers, setting: &'static Setting, of: &Setting) -> Option<String> {
    let given = layers.get(setting).filter(|given| given.source != Source::Default)?;
    // As in a file that has every setting with its default.
    if setting.default == Some(given.text.replace(' ', "").as_str()) {
        return None;
    }
    let (place, of) = (given.source.place(setting), of.key);
    let none_has = if of == list::VERIFY_EVERY.key { "" } else { ", which no table has" };
    Some(format!("{place}: has no effect without {of}{none_has}"))
}
