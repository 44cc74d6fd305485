//! The kinds of objects of a cluster that are watched.

/// A kind of object that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Namespaces.
    Namespaces,
    /// Services.
    Services,
    /// Ingresses.
    Ingresses,
    /// Pods.
    Pods,
    /// Nodes.
    Nodes,
    /// Deployments.
    Deployments,
    /// StatefulSets.
    StatefulSets,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Namespaces,
        Self::Services,
        Self::Ingresses,
        Self::Pods,
        Self::Nodes,
        Self::Deployments,
        Self::StatefulSets,
    ];

    /// As the API server calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Services => "services",
            Self::Ingresses => "ingresses",
            Self::Pods => "pods",
            Self::Nodes => "nodes",
            Self::Deployments => "deployments",
            Self::StatefulSets => "statefulsets",
        }
    }
}
