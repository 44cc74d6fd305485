#![doc = include_str!("../README.md")]

mod access;
mod cache;
#[cfg(test)]
mod double;
mod failure;
mod follow;
mod objects;

pub use access::{Access, AccessError, Client};
pub use cache::Cache;
pub use failure::{Failure, Notice};
pub use follow::Scope;
pub use objects::{
    Container, Ingress, Kept, Key, Labels, Namespace, Node, Owner, Pod, Service, Workload, is_excluded,
};

/// A Deployment.
pub type Deployment = Workload<k8s_openapi::api::apps::v1::Deployment>;

/// A StatefulSet.
pub type StatefulSet = Workload<k8s_openapi::api::apps::v1::StatefulSet>;
