//! Tests: a cache against an API server that pages, cuts, forgets and refuses.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::access::Access;
use crate::double::ApiServer;
use crate::objects::{Key, Pod};

/// A cache that follows a server.
struct Follower {
    server: ApiServer,
    cache: Cache<Pod>,
    notices: Arc<Mutex<Vec<Notice>>>,
    task: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Follower {
    async fn of(server: ApiServer) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (cache, notices) = (Cache::default(), Arc::new(Mutex::new(Vec::new())));
        let file = dir.path().join("kubeconfig");
        server.write_kube_config(&file);
        let client = Access::KubeConfig(file).client().await.unwrap();
        let (following, heard) = (cache.clone(), notices.clone());
        let task = tokio::spawn(async move {
            let scope = Scope::Fields("spec.nodeName=n1".into());
            following.follow(client, &scope, |notice| heard.lock().unwrap().push(notice)).await;
        });
        Self { server, cache, notices, task, _dir: dir }
    }

    async fn until(&self, what: &str, so: impl Fn(&Cache<Pod>) -> bool) {
        let mut changes = self.cache.changes();
        let wait = async {
            while !so(&self.cache) {
                changes.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
        waited.unwrap_or_else(|_| panic!("waited for: {what}; heard {:?}", self.notices.lock().unwrap()));
    }

    fn heard(&self) -> Vec<Notice> {
        self.notices.lock().unwrap().clone()
    }

    /// Failures that people are told.
    fn news(&self) -> Vec<String> {
        let news = |notice: Notice| match notice {
            Notice::Failed { failure, is_news: true } => Some(failure.to_string()),
            Notice::Failed { .. } | Notice::Recovered => None,
        };
        self.heard().into_iter().filter_map(news).collect()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn pod(n: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
        "namespace": "shop", "name": format!("web-{n}"), "uid": format!("uid-{n}"), "resourceVersion": format!("{}", 100 + n),
    }, "spec": {"containers": []}})
}

fn has(cache: &Cache<Pod>, n: usize) -> bool {
    cache.all().iter().any(|pod| pod.name == format!("web-{n}"))
}

#[tokio::test]
async fn a_list_comes_in_pages_and_a_watch_follows_it() {
    let server = ApiServer::start().await;
    server.set("pods", (0..1200).map(pod).collect());
    let follower = Follower::of(server).await;
    follower.until("the list", Cache::is_complete).await;
    assert_eq!(follower.cache.all().len(), 1200);
    let pages = follower.server.requests("list", "pods");
    let continued: Vec<Option<&str>> =
        pages.iter().map(|page| page.get("continue").map(String::as_str)).collect();
    assert_eq!(continued, [None, Some("500"), Some("1000")]);
    assert!(pages.iter().all(|page| page["fieldSelector"] == "spec.nodeName=n1"));
    follower.server.asked("watch", "pods", 1).await;
    follower.server.send("pods", "ADDED", &pod(1200)).await;
    follower.server.send("pods", "DELETED", &pod(3)).await;
    follower.until("both events", |cache| has(cache, 1200) && !has(cache, 3)).await;
    assert!(follower.cache.get(&Key::Uid("uid-3".into())).is_some());
    assert_eq!(follower.heard(), []);
}

#[tokio::test]
async fn a_watch_that_is_cut_goes_on_where_it_was() {
    let server = ApiServer::start().await;
    let follower = Follower::of(server).await;
    follower.server.asked("watch", "pods", 1).await;
    follower.server.send("pods", "ADDED", &pod(1)).await;
    follower.until("an event", |cache| has(cache, 1)).await;
    follower.server.cut("pods");
    follower.server.asked("watch", "pods", 2).await;
    follower.server.send("pods", "ADDED", &pod(2)).await;
    follower.until("an event after the cut", |cache| has(cache, 1) && has(cache, 2)).await;
    let watches = follower.server.requests("watch", "pods");
    assert_eq!(watches.iter().map(|watch| &*watch["resourceVersion"]).collect::<Vec<_>>(), ["7", "101"]);
    assert_eq!(follower.server.requests("list", "pods").len(), 1);
    // That is every watch's usual end.
    assert_eq!(follower.heard(), []);
}

#[tokio::test]
async fn a_watch_that_is_forgotten_while_it_runs_begins_with_a_new_list() {
    let server = ApiServer::start().await;
    server.set("pods", vec![pod(1)]);
    let follower = Follower::of(server).await;
    follower.server.asked("watch", "pods", 1).await;
    follower.server.set("pods", vec![pod(2)]);
    let gone = json!({"kind": "Status", "status": "Failure", "message": "too old resource version", "reason": "Expired", "code": 410});
    follower.server.send("pods", "ERROR", &gone).await;
    follower.until("the new list", |cache| has(cache, 2) && !has(cache, 1)).await;
    assert_eq!(
        follower.news(),
        ["the API server has forgotten where the watch of pods was; listing them again"]
    );
}

#[tokio::test]
async fn a_watch_that_is_forgotten_before_it_begins_begins_with_a_new_list() {
    let server = ApiServer::start().await;
    server.refuse("watch", "pods", &[410]);
    let follower = Follower::of(server).await;
    follower.server.asked("list", "pods", 2).await;
    follower.server.asked("watch", "pods", 2).await;
    follower.server.send("pods", "ADDED", &pod(5)).await;
    follower.until("an event", |cache| has(cache, 5)).await;
    assert_eq!(follower.news().len(), 1);
}

#[tokio::test]
async fn a_missing_verb_is_told_once_with_verb_and_resource_and_what_is_known_stays() {
    let server = ApiServer::start().await;
    server.refuse("list", "pods", &[403]);
    let follower = Follower::of(server).await;
    follower.cache.restore([Arc::new(Pod { name: "web-9".into(), uid: "uid-9".into(), ..Pod::default() })]);
    follower.server.asked("list", "pods", 3).await;
    assert!(has(&follower.cache, 9) && !follower.cache.is_complete());
    let [told] = &follower.news()[..] else { panic!("{:?}", follower.heard()) };
    let want = "the service account may not list pods: give its ClusterRole the verb list on pods, as the chart's has; \
                the API server says: pods is forbidden: User \"x\" cannot list resource \"pods\"";
    assert_eq!(told, want);
    follower.server.refuse("list", "pods", &[]);
    follower.server.refuse("watch", "pods", &[403]);
    follower.until("the list", Cache::is_complete).await;
    assert!(follower.heard().contains(&Notice::Recovered));
    follower.server.asked("watch", "pods", 2).await;
    let news = follower.news();
    assert!(news.len() == 2 && news[1].contains("may not watch pods"), "{news:?}");
}

#[tokio::test]
async fn nobody_at_the_address_is_told_with_the_reason() {
    let server = ApiServer::start().await;
    let follower = Follower::of(server).await;
    follower.until("the list", Cache::is_complete).await;
    let address = follower.server.address();
    let client =
        kube::Client::try_from(kube::Config::new(format!("http://{address}").parse().unwrap())).unwrap();
    drop(follower);
    let (heard, mut told) = tokio::sync::mpsc::unbounded_channel();
    let lonely = Cache::<Pod>::default();
    let follow = lonely.follow(client, &Scope::All, |notice| drop(heard.send(notice)));
    let notice = tokio::select! {
        () = follow => None,
        notice = told.recv() => notice,
    };
    let Some(Notice::Failed { failure: Failure::Failed { verb: "list", reason, .. }, is_news: true }) =
        notice
    else {
        panic!("{notice:?}")
    };
    assert!(reason.contains("refused"), "{reason}");
}
