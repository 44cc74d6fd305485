#![doc = include_str!("../README.md")]

mod access;
mod cache;
mod objects;

pub use access::{Access, AccessError, Client};
pub use cache::{Cache, Scope};
pub use objects::{
    Container, Ingress, Kept, Key, Labels, Namespace, Node, Owner, Pod, Service, Workload, is_excluded,
};
