//! Open files: how many sockets the system lets us have.
//!
//! It asks for as many as the node's limit on clients needs and says so if it gets fewer. Each
//! reactor then stops accepting in time to keep some descriptors for its peers and for the process.

use tracing::{info, warn};

use crate::{limits::Limits, members::MEMBERS_MAX};

/// Links of one node that serves as many clients as its limits allow: two with every peer, while
/// they replace one another, and some for clients over the limit, who are told so before they are
/// closed.
const LINKS_WANTED: u64 = (Limits::DEFAULT.clients_max + 2 * MEMBERS_MAX + 64) as u64;
/// Other descriptors of a reactor: listeners, event queue, wake-up, signals; and standard streams,
/// with room to spare.
const OTHERS: u64 = 32;
/// What we count on if the system doesn't even tell.
const ASSUMED: u64 = 256;

/// Raises the limit on open files as far as `reactors` of them in this process can use, and returns
/// how many links each of them may have at once.
#[must_use]
pub fn links_max(reactors: u64) -> usize {
    let wanted = reactors * (LINKS_WANTED + OTHERS);
    let granted = match rlimit::increase_nofile_limit(wanted) {
        Ok(granted) => granted,
        Err(error) => {
            warn!("can't raise the limit on open files: {error}");
            rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(ASSUMED, |(soft, _)| soft)
        }
    };
    // With next to no descriptors it is better to try; accepting then meets the system's own
    // refusal.
    let links = (granted / reactors).saturating_sub(OTHERS).clamp(OTHERS, LINKS_WANTED);
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
        assert!(shared >= 32 && alone >= shared, "{alone} alone, {shared} each of three");
    }
}
