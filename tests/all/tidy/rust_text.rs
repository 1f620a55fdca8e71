//! Just enough reading of Rust source as text for the tidy rules.
//!
//! Not a parser: it blanks comments and literals, then counts braces.

/// A function and its length.
pub(super) struct Function {
    /// Its name.
    pub(super) name: String,
    /// The line of `fn`, from 1.
    pub(super) line: usize,
    /// Lines from `fn` to the closing brace, both included.
    pub(super) lines: usize,
}

/// The text with comments, strings and character literals replaced by spaces; every line stays where it was.
pub(super) fn blank_comments_and_strings(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(c);
            at += 1;
        } else {
            let blanked = chars.get(at..end).unwrap_or_default().iter();
            out.extend(blanked.map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself when none starts there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let is = |offset: usize, c: char| chars.get(at + offset) == Some(&c);
    let word_before = at > 0 && chars.get(at - 1).is_some_and(|c| c.is_alphanumeric() || *c == '_');
    if is(0, '/') && is(1, '/') {
        return (at..chars.len()).find(|i| chars.get(*i) == Some(&'\n')).unwrap_or(chars.len());
    }
    if is(0, '/') && is(1, '*') {
        return block_comment_end(chars, at);
    }
    if is(0, '"') {
        return quoted_end(chars, at + 1, '"');
    }
    if is(0, 'r') && !word_before || is(0, 'r') && at > 0 && chars.get(at - 1) == Some(&'b') {
        return raw_string_end(chars, at);
    }
    if is(0, '\'') {
        // A character, not a lifetime: 'x' or an escape.
        if is(1, '\\') || (is(2, '\'') && !is(1, '\'')) {
            return quoted_end(chars, at + 1, '\'');
        }
    }
    at
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0usize, at);
    while i < chars.len() {
        match (chars.get(i), chars.get(i + 1)) {
            (Some('/'), Some('*')) => (depth, i) = (depth + 1, i + 2),
            (Some('*'), Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], from: usize, quote: char) -> usize {
    let mut i = from;
    while let Some(&c) = chars.get(i) {
        if c == quote {
            return i + 1;
        }
        i += if c == '\\' { 2 } else { 1 };
    }
    chars.len()
}

fn raw_string_end(chars: &[char], at: usize) -> usize {
    let hashes = chars.iter().skip(at + 1).take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let body = at + 2 + hashes;
    let closes = |i: usize| chars.get(i) == Some(&'"') && (1..=hashes).all(|h| chars.get(i + h) == Some(&'#'));
    (body..chars.len()).find(|i| closes(*i)).map_or(chars.len(), |i| i + 1 + hashes)
}

/// The code with every item under `#[cfg(test)]` blanked. Expects comments and strings to be gone.
pub(super) fn without_test_items(code: &str) -> String {
    let mut rest = code;
    let mut out = String::with_capacity(code.len());
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        out.push_str(before);
        let end = item_end(after);
        let (item, behind) = after.split_at(end);
        out.extend(item.chars().filter(|c| *c == '\n'));
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// The byte after the item's closing brace or semicolon.
fn item_end(code: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' | ')' | ']' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Every function with a body. Expects comments and strings to be gone.
pub(super) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let (before, after) = code.split_at(at);
        if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let name: String = after.chars().skip(3).take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let body = after.get(..item_end(after)).unwrap_or(after);
        if !name.is_empty() && body.ends_with('}') {
            let line = before.matches('\n').count() + 1;
            found.push(Function { name, line, lines: body.matches('\n').count() + 1 });
        }
    }
    found
}

#[test]
fn literals_and_comments_do_not_count_as_code() {
    let text =
        "fn a() { /* } */ let s = \"}\"; let r = r#\"}\"#; let c = '}'; let l: &'static str = s; } // }\nfn b();\n";
    let code = blank_comments_and_strings(text);
    assert_eq!(code.matches('}').count(), 1, "{code}");
    let names: Vec<String> = functions(&code).into_iter().map(|f| f.name).collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn test_items_are_cut_and_lines_stay() {
    let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { x.unwrap() }\n}\nfn c() {}\n";
    let cut = without_test_items(code);
    assert!(!cut.contains("unwrap") && cut.contains("fn c"), "{cut}");
    assert_eq!(cut.matches('\n').count(), code.matches('\n').count());
}
