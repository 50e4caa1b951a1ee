//! `quorate completions SHELL`: a script that lets a shell complete this program's arguments.

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::say;

const EXAMPLES: &str = "\
Examples:
  quorate completions bash > ~/.local/share/bash-completion/completions/quorate
  quorate completions zsh > ~/.zfunc/_quorate         with ~/.zfunc in fpath
  quorate completions fish > ~/.config/fish/completions/quorate.fish";

/// For which shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub(crate) fn run(self) {
        let mut script = Vec::new();
        generate(self.shell, &mut super::Cli::command(), "quorate", &mut script);
        say(format_args!("{}", String::from_utf8_lossy(&script)));
    }
}
