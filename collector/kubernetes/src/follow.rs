//! The driver of a cache: list, watch, and again, whatever the API server does.

use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use kube::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use tokio::time::Instant;

use crate::access::Client;
use crate::cache::Cache;
use crate::failure::{Failure, Notice};
use crate::objects::Kept;

/// Objects that a page of a list holds: what is decoded at once, whatever the size of the cluster.
const PAGE: u32 = 500;

/// Pause before all is listed again because a watch could not begin where the list ended; doubled at each further time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Tries are at most so far apart: a failure after a longer time is another one, though its cause is the same.
const SAME_FAILURE: Duration = Duration::from_secs(120);

/// Which objects are watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of the cluster.
    #[default]
    All,
    /// Those that a field selector takes, such as `spec.nodeName=n1`.
    Fields(String),
}

/// How the last try went, to tell each cause once.
#[derive(Debug, Default)]
struct History(Option<(Failure, Instant)>);

impl<T: Kept> Cache<T> {
    /// Keeps the cache up to date for ever: what cannot be reached or is refused is tried again with growing pauses, and a
    /// watch that the API server has forgotten (410) begins with a new list. `on_notice` hears of each try that failed, and
    /// when it works again.
    pub async fn follow(&self, client: Client, scope: &Scope, on_notice: impl Fn(Notice)) {
        let config = watcher::Config::default().page_size(PAGE);
        let config = match scope {
            Scope::All => config,
            // From the API server's own memory: every collector asks, and etcd would read all pods for each.
            Scope::Fields(selector) => config.fields(selector).any_semantic(),
        };
        let mut history = History::default();
        let mut pause = FIRST_PAUSE;
        loop {
            let events = watcher::watcher(Api::<T::Object>::all(client.clone()), config.clone());
            let events = events.default_backoff();
            pin_mut!(events);
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        if !matches!(event, Event::Init | Event::InitApply(_)) {
                            history.succeed().into_iter().for_each(&on_notice);
                        }
                        if matches!(event, Event::Apply(_) | Event::Delete(_)) {
                            pause = FIRST_PAUSE;
                        }
                        self.apply(event);
                    }
                    Err(error) => {
                        on_notice(history.fail(Failure::of::<T>(&error)));
                        // The library would begin the same watch again and again.
                        if is_gone_at_its_beginning(&error) {
                            break;
                        }
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn is_gone_at_its_beginning(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

impl History {
    #[expect(clippy::disallowed_methods, reason = "the driver of a watch reads the clock for it")]
    fn fail(&mut self, failure: Failure) -> Notice {
        let now = Instant::now();
        let before = self.0.replace((failure.clone(), now));
        let is_news = before
            .is_none_or(|(before, at)| !before.is_like(&failure) || now.duration_since(at) > SAME_FAILURE);
        Notice::Failed { failure, is_news }
    }

    fn succeed(&mut self) -> Option<Notice> {
        self.0.take().map(|_| Notice::Recovered)
    }
}

#[cfg(test)]
mod tests;
