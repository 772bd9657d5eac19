//! What a server's error says about its state (SDAM "not writable primary and node is recovering").
//!
//! A code, where there is one, decides alone; the message counts only without it.

/// The server is not the primary that it was taken for.
pub fn is_not_writable_primary(code: Option<i32>, message: &str) -> bool {
    match code {
        Some(code) => matches!(code, 10107 | 13435 | 10058),
        None => !is_recovering(None, message) && message.contains("not master"),
    }
}

/// The server cannot serve anybody now.
pub fn is_recovering(code: Option<i32>, message: &str) -> bool {
    match code {
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
