#![doc = include_str!("../README.md")]

mod alert;
mod dispatch;
mod escalation;
mod id;
mod incident;
mod intent;
mod notifier;
mod outbox;
mod policy;
#[cfg(test)]
mod tests;

pub use alert::{Alert, Input, Severity};
pub use dispatch::{Attempt, Backoff, Dispatcher, DrainReport};
pub use escalation::{Command, Escalations};
pub use id::{IncidentId, IntentId};
pub use incident::{Acknowledgement, Incident, Receiver};
pub use intent::{Intent, Kind};
pub use notifier::alertmanager::{Alertmanager, AlertmanagerConfig};
pub use notifier::http::BasicAuthConfig;
pub use notifier::log::{Log, LogConfig};
pub use notifier::pagerduty::{Pagerduty, PagerdutyConfig};
pub use notifier::secret::SecretSource;
pub use notifier::webhook::{Webhook, WebhookConfig};
pub use notifier::{Notification, Notifier, NotifierConfig, Notifiers, SendError};
pub use outbox::{Outbox, Pending};
pub use policy::{ChannelName, ConfigError, Policies, PoliciesConfig, Policy, Route, Step, Target};
