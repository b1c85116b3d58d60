//! Keys that a config refers to but never holds: fetched once, when the first record needs them.

mod aws;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::Mutex;

use aws::Aws;

/// Length of the shortest key: a shorter one could be guessed.
const MIN_KEY_BYTES: usize = 16;

/// A reference to a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// `env:NAME`, an environment variable.
    Env(String),
    /// `ssm:NAME`, a parameter of AWS Systems Manager, decrypted.
    Ssm(String),
    /// `secretsmanager:NAME-OR-ARN`, a secret of AWS Secrets Manager.
    SecretsManager(String),
}

/// A text that is not a reference to a key. It may be the key itself, so it is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not say where the key is: write env:NAME, ssm:NAME or secretsmanager:NAME-OR-ARN")]
pub struct InvalidReference;

impl std::str::FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        match text.split_once(':') {
            Some((_, "")) => Err(InvalidReference),
            Some(("env", name)) => Ok(Reference::Env(name.to_owned())),
            Some(("ssm", name)) => Ok(Reference::Ssm(name.to_owned())),
            Some(("secretsmanager", name)) => Ok(Reference::SecretsManager(name.to_owned())),
            _ => Err(InvalidReference),
        }
    }
}

/// Prints the reference as the config has it.
impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reference::Env(name) => write!(f, "env:{name}"),
            Reference::Ssm(name) => write!(f, "ssm:{name}"),
            Reference::SecretsManager(name) => write!(f, "secretsmanager:{name}"),
        }
    }
}

/// An error on the way to a key. It never holds any part of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("can't get the key {reference}: {problem}")]
pub struct KeyError {
    /// The key.
    pub reference: Reference,
    /// The problem and its remedy.
    pub problem: String,
}

/// Fetched keys.
#[derive(Clone, Default)]
pub struct Keys {
    by_reference: BTreeMap<Reference, Vec<u8>>,
}

/// Prints the references of the keys, never the keys.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.by_reference.keys()).finish()
    }
}

impl Keys {
    /// Returns the bytes of a key.
    pub fn get(&self, reference: &Reference) -> Option<&[u8]> {
        self.by_reference.get(reference).map(Vec::as_slice)
    }
}

/// A keyring that fetches keys on first use, and keeps them for the lifetime of the process.
#[derive(Debug, Default)]
pub struct Keyring {
    aws: Aws,
    fetched: Mutex<Arc<Keys>>,
}

impl Keyring {
    /// Returns the keys of `references`. A key is fetched only once.
    ///
    /// # Errors
    /// When one of them can't be fetched; the next call tries again.
    pub async fn keys(&self, references: &BTreeSet<Reference>) -> Result<Arc<Keys>, KeyError> {
        let mut fetched = self.fetched.lock().await;
        for reference in references {
            if fetched.get(reference).is_some() {
                continue;
            }
            let failed = |problem: String| KeyError { reference: reference.clone(), problem };
            let key = match reference {
                Reference::Env(name) => environment(name),
                Reference::Ssm(name) => self.aws.parameter(name).await,
                Reference::SecretsManager(name) => self.aws.secret(name).await,
            };
            let key = key.map_err(failed)?;
            if key.len() < MIN_KEY_BYTES {
                return Err(failed(format!(
                    "it is shorter than {MIN_KEY_BYTES} bytes; make a random key, for example with \
                     `openssl rand -hex 32`"
                )));
            }
            Arc::make_mut(&mut fetched).by_reference.insert(reference.clone(), key);
        }
        Ok(Arc::clone(&fetched))
    }
}

#[expect(clippy::disallowed_methods, reason = "the config says that the key is in the environment")]
fn environment(name: &str) -> Result<Vec<u8>, String> {
    match std::env::var(name) {
        Ok(key) if !key.is_empty() => Ok(key.into_bytes()),
        Ok(_) | Err(std::env::VarError::NotPresent) => {
            Err(format!("environment variable {name} is not set; set it to a random text"))
        }
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(format!("environment variable {name} is not UTF-8; set it to a random text"))
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_in_result, reason = "a test may panic")]
mod tests;
