//! The terminal of a command, and its exit codes.

use std::io::Write;

/// Everything is done.
pub(super) const DONE: u8 = 0;
/// Something failed. After a replay: a record neither landed nor is quarantined, dropped or
/// filtered.
pub(super) const FAILED: u8 = 1;
/// The arguments or the config are wrong, and nothing was done.
pub(super) const WRONG_USE: u8 = 2;
/// A condition of `--fail-on` was met, or an audit found missing records.
pub(super) const CONDITION_MET: u8 = 3;

/// The outputs that a command writes to.
#[expect(missing_debug_implementations, reason = "writers have none")]
pub struct Terminal<'a> {
    /// Takes the results of the command.
    pub out: &'a mut dyn Write,
    /// Takes the reasons why there are none.
    pub err: &'a mut dyn Write,
    /// The name by which this program was started; commands to type next begin with it.
    pub program: String,
    /// Whether standard error is a terminal, so that progress may be drawn there.
    pub progress: bool,
}
