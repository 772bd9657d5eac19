//! What a server's error says about its state (SDAM "not writable primary and node is recovering"),
//! and which errors are worth another try.
//!
//! A code, where there is one, decides alone; the message counts only without it. The
//! specification's pseudo-code takes a code of 0 for none.

/// `MaxTimeMSExpired`: the server's time for a command was over.
pub const MAX_TIME_EXPIRED: i32 = 50;

/// The server is not the primary that it was taken for.
pub fn is_not_writable_primary(code: Option<i32>, message: &str) -> bool {
    match present(code) {
        Some(code) => matches!(code, 10107 | 13435 | 10058),
        None => !is_recovering(None, message) && message.contains("not master"),
    }
}

/// The server cannot serve anybody now.
pub fn is_recovering(code: Option<i32>, message: &str) -> bool {
    match present(code) {
        Some(code) => matches!(code, 11600 | 11602 | 13436 | 189 | 91),
        None => {
            message.contains("not master or secondary") || message.contains("node is recovering")
        }
    }
}

/// The server is shutting down: its connections are about to break.
pub fn is_shutting_down(code: Option<i32>) -> bool {
    matches!(code, Some(11600 | 91))
}

/// The server says that its state is not what the client believes.
pub fn is_state_change(code: Option<i32>, message: &str) -> bool {
    is_recovering(code, message) || is_not_writable_primary(code, message)
}

/// A read that failed with this code may be tried again (retryable-reads "Retryable Error").
pub fn is_retryable_read(code: i32) -> bool {
    const READ_CONCERN_MAJORITY_NOT_AVAILABLE_YET: i32 = 134;
    code == READ_CONCERN_MAJORITY_NOT_AVAILABLE_YET || is_retryable_write(code)
}

/// A write that a server before 4.4 failed with this code may be tried again (retryable-writes
/// "RetryableWriteError Labels"); newer servers label their errors themselves.
pub fn is_retryable_write(code: i32) -> bool {
    matches!(code, 11600 | 11602 | 10107 | 13435 | 13436 | 189 | 91 | 7 | 6 | 89 | 9001 | 262)
}

/// There is no such collection or database (NamespaceNotFound).
pub fn is_namespace_not_found(code: i32) -> bool {
    code == 26
}

fn present(code: Option<i32>) -> Option<i32> {
    code.filter(|code| *code != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECOVERING: [i32; 5] = [11600, 11602, 13436, 189, 91];
    const NOT_WRITABLE: [i32; 3] = [10107, 13435, 10058];

    #[test]
    fn a_code_decides_alone() {
        for code in -1..20_000 {
            if code == 0 {
                continue;
            }
            let misleading = "not master or secondary; node is recovering; not master";
            let (recovering, writable) = (RECOVERING.contains(&code), NOT_WRITABLE.contains(&code));
            assert_eq!(is_recovering(Some(code), misleading), recovering, "{code}");
            assert_eq!(is_not_writable_primary(Some(code), misleading), writable, "{code}");
            assert_eq!(is_state_change(Some(code), ""), recovering || writable, "{code}");
            assert_eq!(is_shutting_down(Some(code)), [11600, 91].contains(&code), "{code}");
        }
    }

    #[test]
    fn without_a_code_the_message_decides() {
        for none in [None, Some(0)] {
            for text in ["not master or secondary; x", "the node is recovering"] {
                assert!(is_recovering(none, text) && !is_not_writable_primary(none, text));
            }
            let text = "not master and slaveOk=false";
            assert!(!is_recovering(none, text) && is_not_writable_primary(none, text));
            assert!(!is_state_change(none, "not primary"), "only the specification's words count");
            assert!(!is_shutting_down(none));
        }
    }

    #[test]
    fn reads_and_writes_differ_in_one_code() {
        let reads: Vec<_> = (0..20_000).filter(|code| is_retryable_read(*code)).collect();
        let writes: Vec<_> = (0..20_000).filter(|code| is_retryable_write(*code)).collect();
        assert_eq!(writes, [6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436]);
        let only_reads: Vec<_> = reads.iter().filter(|code| !writes.contains(code)).collect();
        assert_eq!(only_reads, [&134]);
    }
}
