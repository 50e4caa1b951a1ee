//! The line that is typed: editing, history, completion and hints, by rustyline.

use std::{env, path::PathBuf};

use rustyline::{
    Config, Context, Editor, Helper,
    completion::Completer,
    config::{ColorMode, CompletionType},
    error::ReadlineError,
    highlight::Highlighter,
    hint::{Hint, Hinter},
    history::FileHistory,
    validate::Validator,
};

use super::assist;

/// Where the history is kept, if not in the home directory; nowhere if empty.
const HISTORY_VARIABLE: &str = "QUORATE_HISTORY";
const HISTORY_FILE: &str = ".quorate_history";
/// Lines that are remembered.
const HISTORY_SIZE_MAX: usize = 1000;

/// Reads lines from a terminal.
pub(super) struct LineEditor {
    editor: Editor<Assistant, FileHistory>,
    history: Option<PathBuf>,
}

/// What was typed.
pub(super) enum Typed {
    /// The end: Ctrl-D, or Ctrl-C on an empty line twice is for the user to decide.
    End,
    /// Ctrl-C: the line is given up.
    Interrupted,
    Line(String),
}

impl LineEditor {
    pub(super) fn new(colours: bool) -> Result<Self, ReadlineError> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .color_mode(if colours { ColorMode::Enabled } else { ColorMode::Disabled })
            .max_history_size(HISTORY_SIZE_MAX)?
            .history_ignore_dups(true)?
            .history_ignore_space(true)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Assistant { colours }));
        let history = history_file();
        if let Some(path) = &history {
            // The first time there is none.
            let _ = editor.load_history(path);
        }
        Ok(Self { editor, history })
    }

    /// The next line.
    pub(super) fn read(&mut self, prompt: &str) -> Result<Typed, ReadlineError> {
        match self.editor.readline(prompt) {
            Ok(line) => {
                if !line.trim().is_empty() && !assist::is_secret(&line) {
                    self.editor.add_history_entry(line.as_str())?;
                }
                Ok(Typed::Line(line))
            }
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(ReadlineError::Interrupted) => Ok(Typed::Interrupted),
            Err(error) => Err(error),
        }
    }

    pub(super) fn clear(&mut self) -> Result<(), ReadlineError> {
        self.editor.clear_screen()
    }

    /// Keeps what was typed for the next time. A history that can't be kept is no reason to fail.
    pub(super) fn save(&mut self) {
        if let Some(path) = &self.history {
            let _ = self.editor.append_history(path);
        }
    }
}

fn history_file() -> Option<PathBuf> {
    match env::var_os(HISTORY_VARIABLE) {
        Some(path) if path.is_empty() => None,
        Some(path) => Some(path.into()),
        None => env::home_dir().map(|home| home.join(HISTORY_FILE)),
    }
}

/// What rustyline asks while a line is typed.
struct Assistant {
    colours: bool,
}

/// Shown behind the line; it is never taken into it, for it names parameters.
struct Usage(String);

impl Hint for Usage {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> Result<(usize, Vec<String>), ReadlineError> {
        Ok(assist::complete(line.get(..pos).unwrap_or(line)))
    }
}

impl Hinter for Assistant {
    type Hint = Usage;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<Usage> {
        // Without colours it would look as if it were typed.
        if pos < line.len() || !self.colours { None } else { assist::hint(line).map(Usage) }
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> std::borrow::Cow<'h, str> {
        if self.colours { format!("\x1b[2m{hint}\x1b[0m").into() } else { hint.into() }
    }
}

impl Validator for Assistant {}

impl Helper for Assistant {}
