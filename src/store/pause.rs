//! The pause after a lost swap.

use std::time::Duration;

/// Longest pause, in ms.
const MAX_PAUSE_MS: u64 = 250;

/// Waits for a random time, longer after each lost swap, so that contenders spread out.
pub async fn pause(lost: u32) {
    let max_ms = 4_u64.saturating_mul(2_u64.saturating_pow(lost)).min(MAX_PAUSE_MS);
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=max_ms))).await;
}
