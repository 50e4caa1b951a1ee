//! Who asks: the flags of all commands that talk to nodes which may want a password.

use std::env;

use clap::Args;

use super::resp::Credentials;

/// Where the password may stand, so that no list of processes shows it.
const PASSWORD_VARIABLE: &str = "QUORATE_PASSWORD";

/// A password, and whose it is.
#[derive(Debug, Args)]
pub(super) struct Login {
    /// Password
    #[arg(short = 'a', long)]
    password: Option<String>,

    /// User, if it is not the default one
    #[arg(long)]
    user: Option<String>,
}

impl Login {
    /// What is said to a node.
    pub(super) fn credentials(&self) -> Credentials {
        let password = self.password.clone().or_else(|| env::var(PASSWORD_VARIABLE).ok());
        Credentials { user: self.user.clone(), password }
    }
}
