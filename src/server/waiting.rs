//! The bodies that wait to land, reported while a server stops.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::journal::Journal;
use crate::publish::supervisor::Pending;
use crate::status::Readiness;

/// The places that know what has not landed.
pub(super) struct Waiting {
    pub(super) journal: Journal,
    pub(super) pending: Arc<Mutex<Pending>>,
    /// The lake's address.
    pub(super) lake: String,
    pub(super) readiness: Arc<Readiness>,
}

impl Waiting {
    /// Returns what waits, and for which store, as a sentence.
    pub(super) fn sentence(&self) -> String {
        // Asks no disk, which may hang: a stop with a limit ends in any case.
        let (bodies, bytes) = self.journal.pending();
        let sealed = self.pending.lock().sealed_rolls();
        let trouble = self.readiness.trouble();
        sentence(bodies, bytes, sealed, &self.lake, &trouble)
    }
}

fn sentence(
    bodies: u64,
    journal_bytes: u64,
    sealed: usize,
    lake: &str,
    trouble: &[(&'static str, String)],
) -> String {
    if bodies == 0 {
        return "all has landed".to_owned();
    }
    let bodies =
        if bodies == 1 { "1 body waits".to_owned() } else { format!("{bodies} bodies wait") };
    let rolls = match sealed {
        0 => String::new(),
        1 => ", 1 roll of them sealed,".to_owned(),
        _ => format!(", {sealed} rolls of them sealed,"),
    };
    let mut text = format!("{bodies} for {lake}{rolls} in {journal_bytes} bytes of journal");
    for (part, why) in trouble {
        text.push_str(&format!("; {part}: {why}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_told_with_its_store_and_its_trouble() {
        assert_eq!(sentence(0, 300, 0, "/lake", &[]), "all has landed");
        let said = "1 body waits for /lake in 300 bytes of journal";
        assert_eq!(sentence(1, 300, 0, "/lake", &[]), said);
        let trouble = [("lake", "cannot be reached".to_owned())];
        assert_eq!(
            sentence(7, 300, 2, "s3://b/p", &trouble),
            "7 bodies wait for s3://b/p, 2 rolls of them sealed, in 300 bytes of journal; lake: \
             cannot be reached"
        );
    }
}
