//! Places in a record that a step works on: paths that may go into lists (`items[].card`).

use crate::route::BadPath;

/// A step on the way to a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The member of this name.
    Member(String),
    /// Every item of a list.
    Items,
}

/// A place in a record, or many: like a [`crate::route::Path`], and `[]` after a name stands for
/// every item of the list there: `items[].card`, `matrix[][]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    steps: Vec<Step>,
}

impl Selector {
    /// The way, outermost first; begins with a member.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl std::str::FromStr for Selector {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let path: crate::route::Path = text.parse()?;
        Ok(Self { steps: path.parts().iter().cloned().map(Step::Member).collect() })
    }
}
