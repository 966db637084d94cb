//! Near misses: the known word that somebody meant.

/// The least similarity of a word that may be meant, from 0 to 1.
const SIMILAR: f64 = 0.8;

/// Returns the word that is spelled most like `word`, of pairs of a spelling and the word it stands
/// for, unless none is like it. Case, `-` and `_` make no difference.
pub(crate) fn meant<'a>(
    word: &str,
    known: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace(['-', '_'], "");
    let word = plain(word);
    known
        .into_iter()
        .map(|(spelling, meant)| (similarity(&word, &plain(spelling)), meant))
        .filter(|(similar, _)| *similar >= SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, meant)| meant)
}

/// Returns the similarity of two words. Words that begin alike are more similar; of those that are
/// long and short, no one is.
fn similarity(word: &str, other: &str) -> f64 {
    let alike = strsim::jaro_winkler(word, other);
    let distance = strsim::damerau_levenshtein(word, other);
    let longest = word.chars().count().max(other.chars().count());
    match distance <= 1 + longest / 3 {
        true => alike,
        false => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_found_and_nothing_else() {
        let known = ["endpoint", "tables", "privacy", "storage", "roll_age", "node"];
        let meant = |word| meant(word, known.map(|known| (known, known)));
        for (word, is) in [
            ("endpoints", "endpoint"),
            ("Endpoint", "endpoint"),
            ("table", "tables"),
            ("storge", "storage"),
            ("rol-age", "roll_age"),
            ("rollAge", "roll_age"),
        ] {
            assert_eq!(meant(word), Some(is), "{word}");
        }
        for word in ["server", "x", "", "endpoint_of_the_elasticsearch_form"] {
            assert_eq!(meant(word), None, "{word}");
        }
    }
}
