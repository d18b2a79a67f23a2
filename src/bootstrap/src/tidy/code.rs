//! The code of a Rust file without its comments and literals, so that a rule about code does not trip over prose.

/// Blanks out comments, strings and characters. Lines keep their numbers, and the rest its place.
pub(super) fn without_comments_and_literals(text: &str) -> String {
    let mut reader = Reader {
        rest: text,
        out: String::with_capacity(text.len()),
    };
    while let Some(c) = reader.rest.chars().next() {
        match literal_or_comment(reader.rest, reader.out.chars().next_back()) {
            Some(length) => reader.blank(length),
            None => reader.keep(c),
        }
    }
    reader.out
}

struct Reader<'a> {
    rest: &'a str,
    out: String,
}

impl Reader<'_> {
    fn keep(&mut self, c: char) {
        self.out.push(c);
        self.rest = &self.rest[c.len_utf8()..];
    }

    fn blank(&mut self, length: usize) {
        let (gone, rest) = self.rest.split_at(length);
        self.out
            .extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }
}

/// How long the comment or literal is that begins here, after the character `before`; nothing if none does.
fn literal_or_comment(text: &str, before: Option<char>) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment(text));
    }
    if let Some(inside) = text.strip_prefix('"') {
        return Some(1 + quoted(inside, '"'));
    }
    if text.starts_with('\'') {
        return character(text);
    }
    // `r` begins a raw string only where it does not end a name.
    let in_a_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let prefixes = ["r", "br", "cr"];
    let prefix = prefixes
        .iter()
        .find(|prefix| text.starts_with(**prefix))
        .filter(|_| !in_a_name)?;
    let after = &text[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(prefix.len() + hashes + 1 + length)
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Up to behind the closing quote.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// A character, and not a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut rest = text[1..].chars();
    match rest.next()? {
        '\\' => Some(1 + quoted(&text[1..], '\'')),
        c => (rest.next() == Some('\'')).then_some(2 + c.len_utf8()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left_and_in_its_place() {
        for (text, code) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x\"y", 'c', '\'', 'a)"#, r#"f(      ,    ,     , 'a)"#),
            (r###"f(r#"a " b"#, br"x", for"###, "f(          ,      , for"),
            ("\"ä\" ö '\u{fc}'", "    ö    "),
            ("\"open", "     "),
            ("/* open", "       "),
        ] {
            assert_eq!(without_comments_and_literals(text), code, "{text}");
        }
    }
}
