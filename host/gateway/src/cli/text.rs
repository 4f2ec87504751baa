//! Text from elsewhere on its way to a terminal, and numbers for people.

use std::path::Path;

use unicode_width::UnicodeWidthChar as _;

/// The text on one line: every control and every character that reorders or hides text is written as its escape.
pub(crate) fn visible(text: &str) -> String {
    text.chars().fold(String::new(), |mut shown, c| {
        match escape(c) {
            Some(escape) => shown.push_str(&escape),
            None => shown.push(c),
        }
        shown
    })
}

/// The same, with its lines kept.
pub(crate) fn visible_lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// How a character is written that must not reach a terminal: controls (C0, C1, DEL) can move the cursor or be typed
/// back by it, and the bidirectional and zero-width ones make text read as what it is not (Unicode TR 36 §2).
pub(crate) fn escape(c: char) -> Option<String> {
    let hides = matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    );
    (c.is_control() || hides).then(|| c.escape_default().to_string())
}

/// Columns that a character takes on a screen.
pub(crate) fn width_of(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Columns that visible text takes on a screen.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

/// Digits in groups of three, parted by commas.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place != 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count of items or bytes.
pub(crate) fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}

/// `1 plugin`, `2 plugins`.
pub(crate) fn plural(items: usize, one: &str) -> String {
    let many = if items == 1 { "" } else { "s" };
    format!("{} {one}{many}", number(count(items)))
}

/// A path as a shell takes it in one word.
pub(crate) fn for_shell(path: &Path) -> String {
    let path = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    if !path.is_empty() && path.chars().all(plain) {
        path.into_owned()
    } else {
        format!("'{}'", visible(&path).replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_drives_a_terminal_is_left() {
        for (given, shown) in [
            ("Zoë Ångström, 54 °C, 漢字", "Zoë Ångström, 54 °C, 漢字"),
            ("a\tb\r\n", "a\\tb\\r\\n"),
            (
                "\u{1b}]0;x\u{7}\u{9c}\u{7f}",
                "\\u{1b}]0;x\\u{7}\\u{9c}\\u{7f}",
            ),
            (
                "admin\u{202e}txt.exe\u{200b}",
                "admin\\u{202e}txt.exe\\u{200b}",
            ),
        ] {
            assert_eq!(visible(given), shown);
        }
        for c in (0..=0x10_ffff_u32).filter_map(char::from_u32) {
            let shown = visible(&c.to_string());
            assert!(!shown.chars().any(char::is_control), "{:x}", u32::from(c));
        }
        assert_eq!(visible_lines("a\n\u{1b}b\n"), "a\n\\u{1b}b\n");
    }

    #[test]
    fn numbers_are_grouped() {
        for (given, shown) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (12_345, "12,345"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(number(given), shown);
        }
        assert_eq!(number(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(
            (plural(1, "plugin").as_str(), plural(0, "plugin").as_str()),
            ("1 plugin", "0 plugins")
        );
    }

    #[test]
    fn a_path_is_one_word_to_a_shell() {
        for (given, word) in [
            ("/tmp/a-b_1.x", "/tmp/a-b_1.x"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
            ("", "''"),
        ] {
            assert_eq!(for_shell(Path::new(given)), word);
        }
    }
}
