//! The settings in force, to be compared with those that are read later.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_128;

use super::layers::Layers;
use super::list::SETTINGS;
use super::sections::{SecretText, Sections};

/// Digests of all settings and sections by name. It holds no value, of which some are secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    digests: BTreeMap<String, u128>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Takes the settings of `layers`, and the sections of their file.
    pub(super) fn of(layers: &Layers) -> Snapshot {
        let settings = SETTINGS.iter().filter_map(|setting| {
            let given = layers.get(setting)?;
            Some((setting.key.to_owned(), xxh3_128(given.text.as_bytes())))
        });
        let mut digests: BTreeMap<String, u128> = settings.collect();
        // The file is not read again: it may be another one by now, which is not in force then.
        digests.extend(layers.section_digests.iter().cloned());
        // Secrets that stand in files of their own: with the same name they may be others.
        let secrets = |values: &BTreeMap<String, SecretText>| {
            let texts = values.iter().map(|(key, SecretText(text))| (key, text.reveal()));
            texts.fold(String::new(), |all, (key, text)| format!("{all}{key:?}={text:?}\n"))
        };
        let Sections { storage, catalog, .. } = &layers.sections;
        for (name, values) in [
            ("[storage]", storage.as_ref().map(|section| &section.values.0)),
            ("[catalog]", catalog.as_ref().map(|section| &section.values.0)),
        ] {
            if let Some(values) = values {
                digests.insert(name.to_owned(), xxh3_128(secrets(values).as_bytes()));
            }
        }
        for (key, SecretText(text)) in &layers.store_secrets {
            let name = format!("{}_FILE", key.to_uppercase());
            digests.insert(name, xxh3_128(text.reveal().as_bytes()));
        }
        Snapshot { digests }
    }

    /// Returns the names of those settings and sections that are not as in `other`, sorted.
    pub(crate) fn changed<'a>(&'a self, other: &'a Snapshot) -> Vec<&'a str> {
        let names = self.digests.keys().chain(other.digests.keys());
        let changed = names.filter(|name| self.digests.get(*name) != other.digests.get(*name));
        let mut changed: Vec<&str> = changed.map(String::as_str).collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// Takes the setting or section of this name over from `other`.
    pub(crate) fn take(&mut self, name: &str, other: &Snapshot) {
        match other.digests.get(name) {
            Some(digest) => self.digests.insert(name.to_owned(), *digest),
            None => self.digests.remove(name),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::list::SERVE;
    use crate::config::section_digests;
    use crate::config::{Environment, Flags};

    fn snapshot(text: &str) -> Snapshot {
        Snapshot { digests: section_digests::sections(text).into_iter().collect() }
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_not_taken_for_the_one_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.toml");
        let write = |path| {
            let section = format!("[[endpoint]]\nname = \"a\"\npath = \"{path}\"\n");
            std::fs::write(&file, section).unwrap();
        };
        let environment = Environment::new([("SESSIONLAKE_CONFIG", file.as_os_str())]);
        let gather = || Layers::gather(&Flags::<SERVE>::default(), &environment).unwrap();
        write("/a");
        let read = gather();
        let before = Snapshot::of(&read);
        write("/b");
        assert_eq!(before.changed(&Snapshot::of(&read)), [""; 0]);
        assert_eq!(before.changed(&Snapshot::of(&gather())), ["[[endpoint]]"]);
    }

    #[test]
    fn sections_are_told_apart_by_their_values_alone() {
        let one = snapshot(
            "[storage]\nkey = \"a\"\n[[endpoint]]\npath = \"/a\"\n[privacy]\nx = \"hash\"\n",
        );
        let same = snapshot(
            "# why\n[privacy]\nx = 'hash'\n\n[storage]\nkey='a'\n[[endpoint]]\npath=\"/a\"",
        );
        assert_eq!(one.changed(&same), [""; 0]);
        let other = snapshot("[storage]\nkey = \"b\"\n[[endpoint]]\npath = \"/a\"\n[[endpoint]]\n");
        assert_eq!(one.changed(&other), ["[[endpoint]]", "[privacy]", "[storage]"]);
        let mut taken = one.clone();
        taken.take("[storage]", &other);
        assert_eq!(taken.changed(&other), ["[[endpoint]]", "[privacy]"]);
    }
}
