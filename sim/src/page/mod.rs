//! One run as a page to look at: a space-time diagram in one file that any browser opens, and the
//! same run as text for ShiViz.
//!
//! The page loads nothing. What the run holds stands in it as JSON, escaped so that no key or value
//! can end the element that it stands in. The drawing is done by the scripts beside this file.
//!
//! Only tier A keeps a tape: turmoil carries its bytes itself and does not say what became of them.

use crate::{case::Case, report::Report, tape::Tape};

mod bad;
mod data;
mod kinds;
mod promise;
mod shiviz;

pub use bad::{Bad, first_bad};
pub use shiviz::{PARSER, shiviz};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPTS: [&str; 4] = [
    include_str!("model.js"),
    include_str!("draw.js"),
    include_str!("panel.js"),
    include_str!("main.js"),
];

/// What is told of a run.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// What was played.
    pub case: &'a Case,
    /// What became of it.
    pub report: &'a Report,
    /// What was kept of it.
    pub tape: &'a Tape,
    /// The command that plays it again.
    pub again: &'a str,
}

/// The page.
#[must_use]
pub fn html(told: &Told<'_>) -> String {
    // The data comes last, so that nothing in it is taken for a place to fill in.
    let page = PAGE.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", &SCRIPTS.concat());
    page.replace("/*DATA*/", &escape(&data::of(told).to_string()))
}

/// JSON that may stand in a script element: of what HTML looks at, nothing is left.
fn escape(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", c as u32));
            }
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_json_says_the_same_without_a_bracket() {
        let value = serde_json::json!({"</script>": "<!-- & \u{2028} \\u003c"});
        let text = escape(&value.to_string());
        assert!(!text.contains(['<', '>', '&', '\u{2028}']), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).ok(), Some(value));
    }

    #[test]
    fn the_page_has_one_place_for_each_part_and_asks_for_nothing() {
        for place in ["/*STYLE*/", "/*SCRIPT*/", "/*DATA*/"] {
            assert_eq!(PAGE.matches(place).count(), 1, "{place}");
            assert!(!STYLE.contains(place) && !SCRIPTS.concat().contains(place));
        }
        let all = [PAGE, STYLE, &SCRIPTS.concat()].concat();
        for outside in ["http:", "https:", "src=", "@import", "url(", "fetch(", "XMLHttpRequest"] {
            assert!(!all.contains(outside), "{outside}");
        }
    }
}
