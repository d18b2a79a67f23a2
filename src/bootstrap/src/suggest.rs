//! "Did you mean": the known word that a misspelt one is closest to.

/// Returns the candidate that `word` was probably meant to be, if one is close enough.
///
/// Close enough is one slip (a letter more, less, other, or swapped with its neighbour) for every three
/// letters, and one in any case. Of equally close ones the first wins.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let slips_max = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_mended_and_another_word_is_not() {
        let known = ["build-dir", "cache-dir", "jobs"];
        assert_eq!(closest("buld-dir", known), Some("build-dir"));
        assert_eq!(closest("build_dir", known), Some("build-dir"));
        assert_eq!(closest("job", known), Some("jobs"));
        assert_eq!(closest("colour", known), None);
    }
}
