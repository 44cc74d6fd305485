//! Whom a request was for: from its line where that says so, else from the pod that wrote it.

use slo::counts::{Origin, ServiceRef};

use super::format::{Format, Target};
use crate::event::Pod;

/// Namespace of applications that run without Kubernetes and name themselves.
const LOCAL_NAMESPACE: &str = "local";

/// Letters and digits that Kubernetes makes suffixes of: no vowels, so no words.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Length of a pod's random suffix.
const POD_SUFFIX: usize = 5;

/// Names the service and the kind of log. `is_controller`: the pod is an ingress controller, whose plain access lines
/// tell of requests that reached no service of its own.
pub(super) fn attribute(
    target: &Target<'_>,
    format: Format,
    pod: Option<&Pod>,
    is_controller: bool,
) -> (ServiceRef, Origin) {
    let is_access_log = matches!(format, Format::Combined | Format::NginxJson);
    match (target, pod) {
        (Target::Upstream(name), _) => (upstream(name), Origin::Ingress),
        (_, Some(_)) if is_access_log && is_controller => (ServiceRef::Unattributed, Origin::Ingress),
        (_, Some(pod)) => (named(&pod.namespace, workload(&pod.name)), Origin::Application),
        (Target::Name(name), None) if !name.is_empty() => {
            (named(LOCAL_NAMESPACE, &String::from_utf8_lossy(name)), Origin::Application)
        }
        (_, None) if is_access_log => (ServiceRef::Unattributed, Origin::Ingress),
        (_, None) => (ServiceRef::Unattributed, Origin::Application),
    }
}

/// The workload that owns a pod, as far as the pod's name tells: `web-6d4cf56db6-x7x2b` (Deployment), `agent-x7x2b`
/// (DaemonSet) and `db-0` (StatefulSet) lose their suffixes.
pub(super) fn workload(pod: &str) -> &str {
    let Some((owner, suffix)) = split_suffix(pod) else { return pod };
    if suffix.len() == POD_SUFFIX && is_random(suffix) {
        return match split_suffix(owner) {
            Some((deployment, hash)) if (6..=10).contains(&hash.len()) && is_random(hash) => deployment,
            _ => owner,
        };
    }
    if suffix.bytes().all(|byte| byte.is_ascii_digit()) { owner } else { pod }
}

fn split_suffix(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('-').filter(|(owner, suffix)| !owner.is_empty() && !suffix.is_empty())
}

fn is_random(suffix: &str) -> bool {
    suffix.bytes().all(|byte| SUFFIX_ALPHABET.contains(&byte))
}

/// nginx has names of its own for requests that match no ingress.
fn upstream(name: &[u8]) -> ServiceRef {
    match name {
        b"" | b"-" | b"internal" | b"upstream-default-backend" => ServiceRef::Unattributed,
        name => ServiceRef::Upstream(String::from_utf8_lossy(name).into_owned()),
    }
}

fn named(namespace: &str, name: &str) -> ServiceRef {
    ServiceRef::Named { namespace: namespace.to_owned(), name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use slo::counts::{Origin, ServiceRef};

    use super::{attribute, named, workload};
    use crate::event::Pod;
    use crate::transform::sli::format::{Format, Target};

    #[track_caller]
    fn check_workload(pod: &str, want: &str) {
        assert_eq!(workload(pod), want, "{pod}");
    }

    #[test]
    fn a_pod_name_gives_its_workload() {
        check_workload("web-6d4cf56db6-x7x2b", "web");
        check_workload("ingress-nginx-controller-7799c6795f-wbzjk", "ingress-nginx-controller");
        check_workload("fluent-bit-x7x2b", "fluent-bit");
        check_workload("postgres-0", "postgres");
        check_workload("my-db-12", "my-db");
        check_workload("kube-proxy-x7x2b", "kube-proxy");
        check_workload("kube-apiserver-node", "kube-apiserver-node");
        check_workload("web", "web");
        check_workload("-0", "-0");
        check_workload("web-", "web-");
        check_workload("", "");
        check_workload("ümlaut-é", "ümlaut-é");
    }

    fn upstream(name: &str) -> Target<'_> {
        Target::Upstream(Cow::Borrowed(name.as_bytes()))
    }

    fn name(name: &str) -> Target<'_> {
        Target::Name(Cow::Borrowed(name.as_bytes()))
    }

    #[track_caller]
    fn check(target: Target<'_>, format: Format, pod: Option<&str>, want: (ServiceRef, Origin)) {
        let pod = pod.map(|name| Pod {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            uid: "u".to_owned(),
            container: "c".to_owned(),
            restart: 0,
        });
        assert_eq!(attribute(&target, format, pod.as_ref(), false), want);
        let is_access_log =
            matches!(format, Format::Combined | Format::NginxJson) && target == Target::Stream;
        let in_controller = attribute(&target, format, pod.as_ref(), true);
        assert_eq!(
            in_controller.0 == ServiceRef::Unattributed,
            is_access_log || want.0 == ServiceRef::Unattributed
        );
    }

    #[test]
    fn the_ingress_names_the_upstream() {
        let web = ServiceRef::Upstream("shop-web-80".to_owned());
        check(
            upstream("shop-web-80"),
            Format::Upstreaminfo,
            Some("ctl-x7x2b"),
            (web.clone(), Origin::Ingress),
        );
        check(upstream("shop-web-80"), Format::NginxJson, None, (web, Origin::Ingress));
        for none in ["", "-", "internal", "upstream-default-backend"] {
            check(upstream(none), Format::Upstreaminfo, None, (ServiceRef::Unattributed, Origin::Ingress));
        }
    }

    #[test]
    fn a_pod_names_its_workload_whatever_the_line_says() {
        let web = (named("shop", "web"), Origin::Application);
        check(Target::Stream, Format::Combined, Some("web-6d4cf56db6-x7x2b"), web.clone());
        check(name("pds"), Format::Pino, Some("web-0"), web.clone());
        check(name("pds"), Format::Ecs, Some("web-x7x2b"), web);
    }

    #[test]
    fn a_plain_file_names_what_the_line_names() {
        check(name("pds"), Format::Pino, None, (named("local", "pds"), Origin::Application));
        check(name(""), Format::Ecs, None, (ServiceRef::Unattributed, Origin::Application));
        check(Target::Stream, Format::Pino, None, (ServiceRef::Unattributed, Origin::Application));
        check(Target::Stream, Format::Combined, None, (ServiceRef::Unattributed, Origin::Ingress));
    }
}
