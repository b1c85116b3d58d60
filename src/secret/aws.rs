//! Keys in AWS Systems Manager and AWS Secrets Manager.

use aws_config::SdkConfig;
use aws_sdk_ssm::config::http::HttpResponse;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use tokio::sync::OnceCell;

use crate::aws;

/// Access to AWS, configured when the first key is fetched.
#[derive(Debug, Default)]
pub(super) struct Aws {
    config: OnceCell<SdkConfig>,
}

impl Aws {
    #[cfg(test)]
    pub(super) fn with(config: SdkConfig) -> Self {
        Self { config: OnceCell::new_with(Some(config)) }
    }

    async fn config(&self) -> &SdkConfig {
        self.config.get_or_init(|| async { aws::defaults().load().await }).await
    }

    /// Fetches the value of a parameter, decrypted.
    pub(super) async fn parameter(&self, name: &str) -> Result<Vec<u8>, String> {
        let client = aws_sdk_ssm::Client::new(self.config().await);
        let answer = client.get_parameter().name(name).with_decryption(true).send().await;
        let answer = answer.map_err(|error| failed("ssm:GetParameter", &error))?;
        let value = answer.parameter.and_then(|it| it.value);
        value.map(String::into_bytes).ok_or_else(|| "the parameter has no value".to_owned())
    }

    /// Fetches the current value of a secret.
    pub(super) async fn secret(&self, name: &str) -> Result<Vec<u8>, String> {
        let client = aws_sdk_secretsmanager::Client::new(self.config().await);
        let answer = client.get_secret_value().secret_id(name).send().await;
        let answer = answer.map_err(|error| failed("secretsmanager:GetSecretValue", &error))?;
        let text = answer.secret_string.map(String::into_bytes);
        text.or_else(|| {
            answer.secret_binary.map(aws_sdk_secretsmanager::primitives::Blob::into_inner)
        })
        .ok_or_else(|| "the secret has no value".to_owned())
    }
}

/// Describes a failed call, with the remedy.
fn failed<E>(call: &str, error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata,
{
    let text = aws::error_text(error);
    if error.code().is_some() {
        return format!("{call} answers {text}; check its name, and that the role may call it");
    }
    format!("{call} was {text}; check region, credentials and the network")
}
