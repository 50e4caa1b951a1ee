//! The kinds of messages in groups, as the page shows and hides them.

/// The groups, in the order in which the page lists them.
pub(super) const GROUPS: [&str; 6] =
    ["replication", "leadership", "requests", "repair", "links", "clients"];

/// Where a kind belongs, as an index of [`GROUPS`]. A kind that is not named here is about links.
pub(super) fn group(kind: &str) -> usize {
    match kind {
        "Ack" | "Begin" | "Drop" | "Fill" | "Floor" | "Flush" | "Record" | "SlotClean"
        | "Together" => 0,
        "Backing" | "Canvass" | "Confirm" | "Confirmed" | "Fetch" | "Lead" | "Nack" | "Prepare"
        | "Promise" | "Pull" | "Records" | "Survey" | "Surveyed" | "Transfer" | "Versions" => 1,
        "Answer" | "Answers" | "Farewell" | "FlushSlots" | "Forward" | "FullAnswers" | "Locate"
        | "Located" | "Query" | "QueryFull" | "SlotsFlushed" => 2,
        "ColdStart" | "ColdStarting" | "Compare" | "Copy" | "Differ" | "Flushed" | "Formation"
        | "Formed" | "Gather" | "Known" | "Offer" | "Recover" | "State" | "Waiting" | "Want" => 3,
        "Request" | "Reply" => 5,
        _ => 4,
    }
}
