//! No message, log line or `detail` of quarantine holds payload.

/// A mark that seeds carry in their values. The blank keeps it from posing as a name or an ARN, which
/// errors may quote.
pub const CANARY: &str = "canary 5f1e7a!";

/// Fails where a text of ours holds the canary.
pub fn silent(text: &str) {
    assert!(!text.contains(CANARY), "payload in a message: {text}");
}

/// Fails if a reject lacks a reason that an alarm can match and a detail that an operator can read.
pub fn sound(reject: &lakeward::record::Reject) {
    silent(&reject.detail);
    let code = |it: u8| it.is_ascii_lowercase() || it == b'_' || it.is_ascii_digit();
    assert!(!reject.reason.is_empty() && reject.reason.bytes().all(code), "{}", reject.reason);
    assert!(!reject.detail.is_empty(), "{} says nothing", reject.reason);
    assert!(reject.detail.len() < 1_000, "a reject is a sentence: {}", reject.detail);
}
