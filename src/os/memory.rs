//! What the process takes, as far as the system tells: memory, and the processor's time.

use std::fs;

/// Bytes that are in memory now; `None` where the system does not tell.
pub(super) fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// Processor time in microseconds, in the process' own code and in the system's for it; `None` where the
/// system does not tell.
pub(super) fn processor_us() -> Option<(u64, u64)> {
    times(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// Reads the line of /proc/PID/stat. The name in parentheses may have any characters; the times are the
/// twelfth and thirteenth word behind it, in hundredths of a second.
fn times(stat: &str) -> Option<(u64, u64)> {
    let mut words = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut micros = || Some(words.next()?.parse::<u64>().ok()? * 10_000);
    Some((micros()?, micros()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_some_memory() {
        let Some(bytes) = resident_bytes() else {
            return eprintln!("SKIPPED: the system has no /proc/self/status");
        };
        assert!(processor_us().is_some());
        assert!((100_000..100_000_000_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn names_do_not_hide_times() {
        let stat = "7 (a) 1 ( b) R 1 7 7 0 -1 4194304 100 0 0 0 12 3 0 0 20 0 1 0 166086 3133440";
        assert_eq!(times(stat), Some((120_000, 30_000)));
        assert_eq!(times("7 (a) R 1"), None);
    }
}
