//! The pauses of a commit that others are in the way of.

use std::time::Duration;

/// Longest pause, in ms.
const MAX_PAUSE_MS: u64 = 250;

/// Waits for a random time, longer after each lost swap, so that contenders spread out.
pub async fn pause(lost: u32) {
    let max_ms = 4_u64.saturating_mul(2_u64.saturating_pow(lost)).min(MAX_PAUSE_MS);
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=max_ms))).await;
}

/// The time in ms, at least and at most, after which a writer looks again whether others have taken pending
/// rows along.
const LOOK_AGAIN_MS: std::ops::Range<u64> = 400..1_600;

/// Waits while others take pending rows along.
pub async fn wait_for_others() {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(LOOK_AGAIN_MS))).await;
}
