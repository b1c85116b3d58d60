//! Keys in AWS Systems Manager and AWS Secrets Manager.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_ssm::config::http::HttpResponse;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use tokio::sync::OnceCell;

/// A key is asked for in the middle of an invocation.
const CONNECT: Duration = Duration::from_secs(2);
const WHOLE_CALL: Duration = Duration::from_secs(5);

/// Clients, made when the first key is asked for.
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
        self.config.get_or_init(|| async { defaults().load().await }).await
    }

    /// The value of a parameter, decrypted.
    pub(super) async fn parameter(&self, name: &str) -> Result<Vec<u8>, String> {
        let client = aws_sdk_ssm::Client::new(self.config().await);
        let answer = client.get_parameter().name(name).with_decryption(true).send().await;
        let answer = answer.map_err(|error| refused("ssm:GetParameter", &error))?;
        let value = answer.parameter.and_then(|it| it.value);
        value.map(String::into_bytes).ok_or_else(|| "the parameter has no value".to_owned())
    }

    /// The current value of a secret.
    pub(super) async fn secret(&self, name: &str) -> Result<Vec<u8>, String> {
        let client = aws_sdk_secretsmanager::Client::new(self.config().await);
        let answer = client.get_secret_value().secret_id(name).send().await;
        let answer = answer.map_err(|error| refused("secretsmanager:GetSecretValue", &error))?;
        let text = answer.secret_string.map(String::into_bytes);
        text.or_else(|| {
            answer.secret_binary.map(aws_sdk_secretsmanager::primitives::Blob::into_inner)
        })
        .ok_or_else(|| "the secret has no value".to_owned())
    }
}

/// Region, credentials and endpoints as AWS's own tools find them.
pub(super) fn defaults() -> ConfigLoader {
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(WHOLE_CALL).build();
    aws_config::defaults(BehaviorVersion::latest()).http_client(client).timeout_config(timeouts)
}

/// What kept AWS from answering: its own error code, or what happened on the way. The error prints
/// the whole answer, and a key may stand in one, so nothing of an answer but its code is told.
fn refused<E>(call: &str, error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error,
{
    if let Some(code) = error.code() {
        return format!("{call} answers {code}; check its name, and that the role may call it");
    }
    let why = match (error.raw_response(), error) {
        (Some(answer), _) => {
            format!("answered with status {} and what is no answer of AWS", answer.status())
        }
        (None, SdkError::TimeoutError(_)) => "not answered in time".to_owned(),
        (None, SdkError::DispatchFailure(it)) => match it.as_connector_error() {
            Some(error) => format!("not answered: {}", causes(error)),
            None => "not answered".to_owned(),
        },
        (None, _) => "not made".to_owned(),
    };
    format!("{call} was {why}; check region, credentials and the way to it")
}

fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |it| it.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
