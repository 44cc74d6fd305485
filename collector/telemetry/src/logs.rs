//! The program's own logs: one line an event, on standard error.

use std::io::{IsTerminal, stderr};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Read first; a filter as `tracing-subscriber` writes it: `info,collector=debug`.
const OURS: &str = "HEADROOM_LOG";
/// Read where `HEADROOM_LOG` is not set.
const USUAL: &str = "RUST_LOG";
/// Holds where neither is set.
const DEFAULT: &str = "info";
/// Comes before every filter, which may name them to hear them: words of a library for each failed try of a watch, while
/// we tell each cause once.
const QUIET: &str = "kube_client=off,kube_runtime=off";

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal.
    #[default]
    Human,
    /// One JSON object a line, for log collectors.
    Json,
}

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// An environment variable holds no filter.
    #[error(
        "read {variable}={value:?}: {cause}; write a level, or target=level pairs, as in info,collector=debug"
    )]
    Filter {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What is wrong with it.
        cause: tracing_subscriber::filter::ParseError,
    },
    /// Logs go elsewhere already.
    #[error("set up logs: {0}")]
    Twice(#[from] TryInitError),
}

/// Sends every event of this process to standard error. To be called once, by `main`.
///
/// # Errors
/// [`InitError`]; an invalid filter is a configuration error.
pub fn init(format: Format) -> Result<(), InitError> {
    let set = |variable| std::env::var(variable).ok().filter(|value| !value.is_empty());
    let filter = filter([(OURS, set(OURS)), (USUAL, set(USUAL))])?;
    Ok(subscriber(format, filter, stderr().is_terminal(), stderr).try_init()?)
}

/// The filter of the first variable that is set.
fn filter(variables: [(&'static str, Option<String>); 2]) -> Result<EnvFilter, InitError> {
    let first = variables.into_iter().find_map(|(variable, value)| Some((variable, value?)));
    let Some((variable, value)) = first else { return Ok(EnvFilter::new(format!("{QUIET},{DEFAULT}"))) };
    EnvFilter::try_new(format!("{QUIET},{value}")).map_err(|cause| InitError::Filter {
        variable,
        value,
        cause,
    })
}

fn subscriber<W>(
    format: Format,
    filter: EnvFilter,
    ansi: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(ansi);
    match format {
        Format::Human => Box::new(builder.finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::sync::Arc;

    use super::*;

    #[track_caller]
    fn written(format: Format, filter: &str) -> String {
        let mut file = tempfile::tempfile().unwrap();
        let writer = Arc::new(file.try_clone().unwrap());
        let subscriber = subscriber(format, EnvFilter::new(filter), false, writer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("hidden");
            tracing::warn!(seconds = 5, "line one\nline two");
        });
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn lines_hold_message_and_fields_and_pass_the_filter() {
        let human = written(Format::Human, "info");
        assert!(
            human.contains("WARN") && human.contains("seconds=5") && !human.contains("hidden"),
            "{human}"
        );
        let json = written(Format::Json, "info");
        assert!(json.contains(r#""level":"WARN""#) && json.contains(r#""seconds":5"#), "{json}");
        assert!(json.contains(r"line one\nline two") && json.lines().count() == 1, "{json}");
        assert_eq!(written(Format::Human, "error"), "");
        assert!(written(Format::Human, "debug").contains("hidden"));
    }

    #[track_caller]
    fn check(ours: Option<&str>, usual: Option<&str>, want: &str) {
        let owned = |value: Option<&str>| value.map(str::to_owned);
        assert_eq!(filter([(OURS, owned(ours)), (USUAL, owned(usual))]).unwrap().to_string(), want);
    }

    #[test]
    fn our_variable_wins_over_the_usual_one_and_info_is_the_default() {
        const QUIET: &str = "kube_runtime=off,kube_client=off";
        check(Some("warn"), Some("debug"), &format!("{QUIET},warn"));
        check(None, Some("debug"), &format!("{QUIET},debug"));
        check(None, None, &format!("{QUIET},info"));
        check(Some("info,kube_runtime=warn"), None, "kube_runtime=warn,kube_client=off,info");
    }

    #[test]
    fn a_filter_that_is_none_is_refused_with_the_variable_that_holds_it() {
        let error = filter([(OURS, Some("collector=loud".to_owned())), (USUAL, None)]).unwrap_err();
        assert!(error.to_string().starts_with(r#"read HEADROOM_LOG="collector=loud": "#), "{error}");
    }
}
