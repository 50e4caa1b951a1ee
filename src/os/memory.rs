//! How much memory the process has, as far as the system tells.

use std::fs;

/// Bytes that are in memory now; `None` where the system does not tell.
pub(super) fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_some_memory() {
        let Some(bytes) = resident_bytes() else {
            return eprintln!("SKIPPED: the system has no /proc/self/status");
        };
        assert!((100_000..100_000_000_000).contains(&bytes), "{bytes}");
    }
}
