//! What each oracle holds the cluster to, in words for people who have not read the oracles.

use crate::oracle::{Failure, Kind};

/// What was promised and is broken.
pub(super) fn promised(failure: &Failure) -> &'static str {
    match failure.oracle {
        "acknowledged" => {
            "A write that was acknowledged is there, or a later one has taken its place; a reader on \
             the node that acknowledged it finds it or something newer."
        }
        "audit" => "What a node says of itself and goes by is so, and its parts agree.",
        "chosen" => {
            "What any majority of the replicas holds in the end is a value that a read could find now."
        }
        "convergence" => "Once all is quiet, all replicas become one, byte for byte.",
        "disk" => {
            "A disk fails only where a fault makes it; a node says so when its data is damaged, and \
             begins no life below a stamp of an earlier one."
        }
        "flushed" => "What was flushed stays flushed.",
        "growth" => {
            "A version names one body; what a replica holds of a key never gets older, and what was \
             deleted for good never comes back."
        }
        "handover" => {
            "While one node after the other is told to stop, and nothing else goes wrong, no request to \
             another node fails in the strong database."
        }
        "held" => "What a node takes to be held by a majority is.",
        "limits" => "Buffers stay within their limits.",
        "linear" => {
            "All requests of this key took effect one after the other, each at one moment between \
             its sending and its reply."
        }
        "panic" => "No input makes a node panic.",
        "replies" => "Each reply fits its request.",
        "scan" => {
            "Whoever goes through the keys of a node is shown each that is there all the time, and none \
             that nobody wrote."
        }
        "service" => {
            "Once all is quiet, every node of the core serves every database within a bounded time."
        }
        "shown" => "What a reader was shown on a node is not taken back there.",
        "spin" => "A node comes to rest without time passing.",
        "thin air" => "Every value that is read or held was written by somebody.",
        "together" => "What is written to several keys at once is seen at once.",
        "two runs differ" => "A case decides everything that happens in its run.",
        "waited" => "WAIT counts only nodes that hold what was written.",
        _ => match failure.kind {
            Kind::Harness => "The simulation itself does as it should.",
            Kind::Liveness => "What must happen happens in time.",
            Kind::Nondeterminism => "Two runs of one case are the same.",
            Kind::Safety => "What must never happen does not happen.",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_oracle_that_is_asked_has_words_of_its_own() {
        let general = promised(&Failure::new(Kind::Safety, "some other", ""));
        let sources = [
            include_str!("../oracle/acknowledged.rs"),
            include_str!("../oracle/audit.rs"),
            include_str!("../oracle/flushed.rs"),
            include_str!("../oracle/growth.rs"),
            include_str!("../oracle/handover.rs"),
            include_str!("../oracle/held.rs"),
            include_str!("../oracle/linear.rs"),
            include_str!("../oracle/scan.rs"),
            include_str!("../oracle/shown.rs"),
            include_str!("../oracle/thin_air.rs"),
            include_str!("../oracle/together.rs"),
            include_str!("../oracle/waited.rs"),
        ];
        let named = sources.iter().flat_map(|source| source.split("const ORACLE").skip(1));
        let names: Vec<&str> = named.filter_map(|after| after.split('"').nth(1)).collect();
        assert_eq!(names.len(), 13, "{names:?}");
        for name in names {
            let failure = Failure { oracle: name, ..Failure::new(Kind::Safety, "", "") };
            assert_ne!(promised(&failure), general, "{name}");
        }
    }
}
