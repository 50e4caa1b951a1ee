//! Open files: how many sockets the system lets us have.
//!
//! It asks for as many as the node's limit on clients needs and says so if it gets fewer. Each reactor then stops
//! accepting in time to keep some descriptors for its peers and for the process.

use tracing::{info, warn};

use crate::limits::Limits;

/// Descriptors per reactor that clients can't have: for links with peers, listeners, epoll, signals and the log.
const RESERVED: u64 = 64;
/// What we count on if the system doesn't even tell.
const ASSUMED: u64 = 256;

/// Raises the limit on open files as far as `reactors` of them in this process can use, and returns how many links each
/// of them may have at once.
#[must_use]
pub fn links_max(reactors: u64) -> usize {
    let wanted = reactors * (Limits::DEFAULT.clients_max as u64 + RESERVED);
    let granted = match rlimit::increase_nofile_limit(wanted) {
        Ok(granted) => granted,
        Err(error) => {
            warn!("can't raise the limit on open files: {error}");
            rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(ASSUMED, |(soft, _)| soft)
        }
    };
    let links = (granted / reactors).saturating_sub(RESERVED).max(RESERVED);
    if granted < wanted {
        info!(
            "{granted} open files allowed, {wanted} wanted: at most {links} connections a node; \
             raise the hard limit (ulimit -Hn) for more"
        );
    }
    usize::try_from(links).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reactors_share_what_there_is() {
        let alone = links_max(1);
        let shared = links_max(3);
        assert!(shared >= 64 && alone >= shared, "{alone} alone, {shared} each of three");
    }
}
