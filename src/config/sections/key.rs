//! Types of sections and their keys.

/// A section of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SectionList {
    /// Its name, without brackets.
    pub(crate) name: &'static str,
    /// There may be several: `[[name]]`.
    pub(crate) repeated: bool,
    /// Sentences about the section.
    pub(crate) help: &'static str,
    /// Its keys; of a section with keys of its user's, examples of them.
    pub(crate) keys: &'static [Key],
    /// Sections of the example file: keys, with the values that they have there. Of one that is not
    /// repeated, the second and those after it are other ways to write it.
    pub(crate) examples: &'static [&'static [(&'static str, &'static str)]],
}

/// A key of a section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// Type of the value.
    pub(crate) kind: KeyKind,
    /// The value that holds without the key, as Markdown; may be empty.
    pub(crate) default: &'static str,
    /// A value that is right, as TOML.
    pub(crate) example: &'static str,
    /// One sentence.
    pub(crate) help: &'static str,
    /// A few words beside the key in the example file; may be empty.
    pub(crate) note: &'static str,
}

/// Type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// A string, or an integer in its place.
    Text,
    /// An array of strings, or one string in its place.
    Texts,
    /// A table of strings.
    Pairs,
    /// A string, or an integer or boolean in its place; never shown.
    Secret,
    /// True or false.
    Switch,
}

impl SectionList {
    /// Returns the header in the file: `[[endpoint]]` or `[privacy]`.
    pub(crate) fn header(&self) -> String {
        match self.repeated {
            true => format!("[[{}]]", self.name),
            false => format!("[{}]", self.name),
        }
    }

    /// Returns the key with this name.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Returns a correct assignment to `key`; empty for a key that the list does not have.
    pub(crate) fn assignment(&self, key: &str) -> String {
        self.key(key).map(|key| format!("{} = {}", key.name, key.example)).unwrap_or_default()
    }
}
